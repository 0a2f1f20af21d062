"""The section of a recipe that says how the loop runs it, whatever the method."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from dayshift.train.methods.base import Section

Precision = Literal["fp32", "bf16", "fp16"]
LoggerName = Literal["csv", "tensorboard"]
MetricName = Literal["l1", "psnr", "ssim", "kid"]


class RunSection(Section):
    """How the loop runs a recipe.

    Attributes:
        batch_size: samples of a batch, on each process.
        accumulate: batches whose gradients are added up before each update.
        precision: of the forward pass; weights, losses and updates stay fp32.
        clip_norm: largest norm of an optimizer's gradients; 0 leaves them.
        ema: decay of the averaged weights that are used once trained; 0 averages none.
        channels_last: memory order of convolutions, faster on GPUs with tensor cores and on CPUs.
        compile: compile the networks with torch.compile.
        deterministic: only algorithms that repeat exactly; on a GPU they are slower.
        seed: of weights, samples and noise.
        workers: processes that load images; 0 loads between the steps.
        log_steps: steps between two rows of the logs.
        sample_images: training images between two sample sheets; 0 draws none.
        validate_images: training images between two validations; 0 does none.
        metric: what validation measures, and the best checkpoint is chosen by, see `metric`.
        save_seconds: between two checkpoints.
        loggers: where the loss terms go.
    """

    batch_size: PositiveInt = 1
    accumulate: PositiveInt = 1
    precision: Precision = "fp32"
    clip_norm: float = Field(default=0.0, ge=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    channels_last: bool = False
    compile: bool = False
    deterministic: bool = False
    seed: int = Field(default=0, ge=0)
    workers: int = Field(default=2, ge=0)
    log_steps: PositiveInt = 20
    sample_images: int = Field(default=4000, ge=0)
    validate_images: int = Field(default=0, ge=0)
    metric: MetricName = "l1"
    save_seconds: float = Field(default=120.0, gt=0)
    loggers: tuple[LoggerName, ...] = ("csv", "tensorboard")
