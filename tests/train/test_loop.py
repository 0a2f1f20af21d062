from __future__ import annotations

import contextlib
import csv
import os
import resource
import signal
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import cv2
import pytest
import torch
from torch import Tensor

from dayshift.runtime.errors import SinkError
from dayshift.train.checkpoint import Checkpoint, load_checkpoint
from dayshift.train.data import DataError
from dayshift.train.loop.build import make_job
from dayshift.train.loop.devices import DeviceError, Devices
from dayshift.train.loop.fit import fit, run
from dayshift.train.loop.job import Job, Metric
from dayshift.train.loop.logs import CsvLogger
from dayshift.train.loop.meter import Progress
from dayshift.train.loop.stopping import TrainingError
from dayshift.train.methods.base import Batch, Update
from dayshift.train.recipe import Recipe, RecipeError

CPU = Devices("cpu")


def _with(recipe: Recipe, **sections: dict[str, Any]) -> Recipe:
    content = recipe.as_json()
    for name, fields in sections.items():
        content[name] = {**content[name], **fields}
    return Recipe.model_validate(content)


def _stop_at(step: int, act: Callable[[], object]) -> Callable[[Progress], None]:
    def on_progress(now: Progress) -> None:
        if now.step == step:
            act()

    return on_progress


def _assert_same(one: Checkpoint, other: Checkpoint) -> None:
    assert one.step == other.step
    assert one.tensors.keys() == other.tensors.keys()
    for name, value in one.tensors.items():
        assert torch.equal(value, other.tensors[name]), name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_is_saved_and_goes_on_as_if_it_had_not_been(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path, number: signal.Signals
) -> None:
    whole = load_checkpoint(fit(tiny_recipe, data_root, tmp_path / "whole", devices=CPU))
    stop = _stop_at(3, lambda: os.kill(os.getpid(), number))
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_recipe, data_root, tmp_path / "parts", devices=CPU, on_progress=stop)
    assert load_checkpoint(tmp_path / "parts/checkpoint.safetensors").step == 3
    resumed = load_checkpoint(fit(tiny_recipe, data_root, tmp_path / "parts", devices=CPU))
    assert whole.step == 4
    _assert_same(whole, resumed)


def test_a_second_interrupt_ends_at_once_and_leaves_the_checkpoint_before(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = _with(tiny_recipe, run={"save_seconds": 1e-9})

    def interrupt_twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(recipe, data_root, tmp_path, devices=CPU, on_progress=_stop_at(3, interrupt_twice))
    assert load_checkpoint(tmp_path / "checkpoint.safetensors").step == 2


def test_averaged_batches_train_like_one_large_one(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """Without batch norm: each half would have statistics of its own."""

    class Halves(_Wrapped):
        def training_step(self, batch: Batch, step: int, update: Update) -> dict[str, Tensor]:
            x = batch["frame"][:2] if self.whole else batch["frame"][self.turn : self.turn + 1]
            self.turn = 1 - self.turn
            generator = self.modules["generator"].eval()
            gain, light = generator(x, torch.ones(len(x)), torch.ones(len(x)))
            loss = (gain + light - x).square().mean()
            update("generator", loss)
            return {"loss": loss.detach()}

        whole = True
        turn = 0

    def train(whole: bool) -> Checkpoint:
        recipe = _with(
            tiny_recipe,
            run={"accumulate": 1 if whole else 2, "precision": "fp32", "sample_images": 0},
            relight={"steps": 1},
        )

        def make() -> Job:
            job = make_job(recipe, data_root)
            method = Halves(job.method)
            method.whole = whole
            batch = next(job.source.batches(0, 0, 1))

            class Same(_WrappedSource):
                def batches(self, start: int, rank: int, world: int) -> Any:
                    while True:
                        yield batch

            return replace(job, method=method, source=Same(job.source))

        return load_checkpoint(run(recipe.run, make, tmp_path / str(whole), devices=CPU))

    one, two = train(True), train(False)
    for name in (n for n in one.tensors if n.startswith("optimizers/generator/state")):
        assert torch.allclose(one.tensors[name], two.tensors[name], atol=1e-6), name


def test_averaged_weights_are_the_mean_of_the_steps(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = _with(tiny_recipe, run={"ema": 0.2}, relight={"steps": 1})
    saved = load_checkpoint(fit(recipe, data_root, tmp_path, devices=CPU))
    torch.manual_seed(0)
    first = make_job(recipe, data_root).method.modules["generator"].state_dict()
    # The first decay is (0 + 1) / (0 + 10), less than 0.2.
    for name, value in saved.part("ema.generator").items():
        last = saved.part("generator")[name]
        expected = 0.1 * first[name] + 0.9 * last if value.is_floating_point() else last
        assert torch.allclose(value, expected, atol=1e-6), name
    assert saved.networks["a_to_b"].part == "ema.generator"


def test_training_lowers_the_supervised_loss(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = _with(
        tiny_recipe,
        relight={"steps": 24, "supervised_steps": 24, "generator_lr": 2e-2},
        data={"height": 32, "width": 40},
        run={"log_steps": 1, "loggers": [], "sample_images": 0},
    )
    seen: list[float] = []
    fit(
        recipe,
        data_root,
        tmp_path,
        devices=CPU,
        on_progress=lambda now: seen.append(now.terms["rendered_l1"]),
    )
    # Medians: each step sees one rendering, some far brighter than others.
    assert statistics.median(seen[-8:]) < 0.6 * statistics.median(seen[:8])


def test_a_folder_of_another_recipe_is_refused_and_the_field_is_named(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    fit(tiny_recipe, data_root, tmp_path / "run", devices=CPU)
    other = _with(tiny_recipe, relight={"generator_lr": 1.0})
    with pytest.raises(
        RecipeError, match=r"another recipe \(relight\.generator_lr was 0\.0005, is 1\.0\)"
    ):
        fit(other, data_root, tmp_path / "run", devices=CPU)
    harmless = _with(tiny_recipe, run={"workers": 0, "log_steps": 3})
    assert load_checkpoint(fit(harmless, data_root, tmp_path / "run", devices=CPU)).step == 4


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_good_checkpoint(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = _with(tiny_recipe, run={"save_seconds": 1e-9})

    class Poisoned(_Wrapped):
        def training_step(self, batch: Batch, step: int, update: Update) -> dict[str, Tensor]:
            terms: dict[str, Tensor] = self.method.training_step(batch, step, update)
            return {**terms, "smoothness": terms["smoothness"] * (torch.nan if step == 2 else 1)}

    def make() -> Job:
        job = make_job(recipe, data_root)
        return replace(job, method=Poisoned(job.method))

    with pytest.raises(
        TrainingError, match=r"loss term 'smoothness' became nan at step 3; .*as it was saved"
    ):
        run(recipe.run, make, tmp_path, devices=CPU)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors").step == 2


def test_a_gradient_that_is_no_number_is_told_of_where_gradients_are_clipped_too(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = _with(tiny_recipe, run={"save_seconds": 1e-9})
    assert recipe.run.clip_norm

    class Poisoned(_Wrapped):
        def training_step(self, batch: Batch, step: int, update: Update) -> dict[str, Tensor]:
            def poisoned(optimizer: str, loss: Tensor) -> None:
                update(optimizer, loss * torch.nan if step == 2 else loss)

            terms: dict[str, Tensor] = self.method.training_step(batch, step, poisoned)
            return terms

    def make() -> Job:
        job = make_job(recipe, data_root)
        return replace(job, method=Poisoned(job.method))

    with pytest.raises(TrainingError, match=r"became nan at step 3; .*as it was saved"):
        run(recipe.run, make, tmp_path, devices=CPU)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors").step == 2


def test_weights_that_are_no_numbers_are_never_saved(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    class Exploding(_Wrapped):
        def training_step(self, batch: Batch, step: int, update: Update) -> dict[str, Tensor]:
            terms: dict[str, Tensor] = self.method.training_step(batch, step, update)
            with torch.no_grad():
                next(self.modules["d_photos"].parameters()).fill_(torch.inf)
            return terms

    def make() -> Job:
        job = make_job(tiny_recipe, data_root)
        return replace(job, method=Exploding(job.method))

    with pytest.raises(TrainingError, match=r"weights of 'd_photos' .*nothing had been saved"):
        run(
            tiny_recipe.run,
            make,
            tmp_path,
            devices=CPU,
            on_progress=_stop_at(1, lambda: signal.raise_signal(signal.SIGINT)),
        )
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_unreadable_data_save_what_was_trained(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    job = _ending(tiny_recipe, data_root, 2)
    with pytest.raises(DataError, match="went away"):
        run(tiny_recipe.run, lambda: job, tmp_path, devices=CPU)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors").step == 2


def test_samples_logs_and_the_best_checkpoint_are_written_when_due(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = _with(
        tiny_recipe, run={"sample_images": 6, "validate_images": 3, "log_steps": 2, "ema": 0.0}
    )
    values = iter([3.0, 1.0, 2.0, 5.0])
    metric = Metric("l1", "lower", lambda networks: next(values))

    def make() -> Job:
        return replace(make_job(recipe, data_root), metric=metric)

    path = run(recipe.run, make, tmp_path, devices=CPU)
    assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == [
        "000000006.png",
        "000000012.png",
    ]
    sheet = cv2.imread(str(tmp_path / "samples/000000012.png"))
    assert sheet is not None
    assert sheet.shape == (2 * 256, 3 * 320, 3)
    best = load_checkpoint(tmp_path / "best.safetensors")
    assert best.step == 2
    assert load_checkpoint(path).facts["best"] == {"metric": "l1", "value": 1.0, "step": 2}
    assert {name.split("/")[0] for name in best.tensors} == {"generator"}
    best.network("a_to_b")
    with (tmp_path / "scalars.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    logged = [(row["step"], bool(row["rendered_l1"])) for row in rows]
    assert logged == [
        ("1", False),
        ("2", True),
        ("2", False),
        ("3", False),
        ("4", True),
        ("4", False),
    ]
    assert float(rows[0]["validation/l1"]) == 3.0
    assert any((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize(("better", "worse"), [("lower", 3.0), ("higher", 1.0)])
def test_what_is_no_number_is_never_the_best_and_does_not_stay_it(
    better: Literal["lower", "higher"], worse: float
) -> None:
    metric = Metric("l1", better, lambda networks: 0.0)
    assert metric.improves(2.0, None)
    assert metric.improves(2.0, worse)
    assert not metric.improves(worse, 2.0)
    assert metric.improves(2.0, torch.nan)
    assert not metric.improves(torch.nan, 2.0)
    assert not metric.improves(torch.nan, None)


@pytest.mark.parametrize(("steps_of_data", "status"), [(4, "success"), (2, "failed")])
def test_loggers_are_told_how_a_run_ended(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path, steps_of_data: int, status: str
) -> None:
    told: list[str] = []

    class Listening(CsvLogger):
        def finalize(self, status: str) -> None:
            told.append(status)

    job = _ending(tiny_recipe, data_root, steps_of_data)
    with contextlib.suppress(DataError):
        logger = Listening(tmp_path / "mine.csv")
        run(tiny_recipe.run, lambda: job, tmp_path, devices=CPU, loggers=[logger])
    assert told == [status]


@pytest.mark.parametrize("torn", ["3,1,2,3\n4,", "1"])
def test_resuming_drops_the_rows_behind_the_checkpoint(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path, torn: str
) -> None:
    recipe = _with(tiny_recipe, run={"log_steps": 1})
    fit(recipe, data_root, tmp_path / "whole", devices=CPU)
    stop = _stop_at(2, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, data_root, tmp_path / "parts", devices=CPU, on_progress=stop)
    # As after a power failure: logged further than the checkpoint, or not, and a row cut off.
    with (tmp_path / "parts/scalars.csv").open("a") as file:
        file.write(torn)
    fit(recipe, data_root, tmp_path / "parts", devices=CPU)

    def losses(run_name: str) -> list[tuple[str, str]]:
        with (tmp_path / run_name / "scalars.csv").open() as lines:
            return [(row["step"], row["rendered_l1"]) for row in csv.DictReader(lines)]

    assert losses("parts") == losses("whole")
    assert [step for step, _ in losses("whole")] == ["1", "2", "3", "4"]


def test_the_rate_of_every_optimizer_follows_the_method(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    saved = load_checkpoint(fit(tiny_recipe, data_root, tmp_path, devices=CPU))
    optimizers = saved.state["optimizers"]
    # The last of 4 steps has the factor 2 * (1 - 3 / 4).
    assert optimizers["generator"]["param_groups"][0]["lr"] == 5e-4 / 2
    assert optimizers["discriminators"]["param_groups"][0]["lr"] == 4e-4 / 2


def test_a_gpu_that_is_not_there_is_an_error_and_no_fallback(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError, match=r"--device gpu, but PyTorch .* sees none"):
        fit(tiny_recipe, data_root, tmp_path, devices=Devices("gpu"))
    half = _with(tiny_recipe, run={"precision": "fp16"})
    with pytest.raises(DeviceError, match="fp16, which needs a GPU"):
        fit(half, data_root, tmp_path, devices=CPU)


def test_a_full_disk_stops_the_run_and_keeps_the_checkpoint_before(
    data_root: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    recipe = _with(tiny_recipe, run={"save_seconds": 1e-9})
    # The kernel's limit on a file's size fails a write as a full disk does: half-way.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    fill = _stop_at(2, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1])))
    try:
        with pytest.raises(SinkError, match=r"cannot write .*checkpoint\.safetensors"):
            fit(recipe, data_root, tmp_path, devices=CPU, on_progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert load_checkpoint(tmp_path / "checkpoint.safetensors").step == 1
    assert load_checkpoint(fit(recipe, data_root, tmp_path, devices=CPU)).step == 4


class _Wrapped:
    """A method that is another one but for what a test changes."""

    def __init__(self, method: Any) -> None:
        self.method = method

    def __getattr__(self, name: str) -> Any:
        return getattr(self.method, name)

    modules: dict[str, torch.nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    translators: dict[str, str]
    total_steps: Any
    learning_rate_factor: Any
    extra_state: Any
    load_extra_state: Any


class _WrappedSource:
    """A source that is another one but for what a test changes."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    images_per_batch: int
    batches_per_epoch: Any
    facts: Any


def _ending(recipe: Recipe, data_root: Path, steps: int) -> Job:
    """Return a job whose data cannot be read after so many steps."""

    class Ending(_WrappedSource):
        def batches(self, start: int, rank: int, world: int) -> Any:
            for number, batch in enumerate(self.source.batches(start, rank, world)):
                if number == steps:
                    raise DataError("the disk went away")
                yield batch

    job = make_job(recipe, data_root)
    return replace(job, source=Ending(job.source))
