"""The training loop: read top to bottom. Rerunning it on the same folder resumes exactly."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers.logger import Logger
from torch import Tensor, distributed

from dayshift.runtime.sinks.base import make_folder, write_file
from dayshift.train.checkpoint import load_checkpoint, save_checkpoint
from dayshift.train.loop.agreement import Agreement, explained_loss
from dayshift.train.loop.build import make_job
from dayshift.train.loop.devices import Devices, open_fabric
from dayshift.train.loop.job import Job
from dayshift.train.loop.logs import finalized, open_loggers
from dayshift.train.loop.meter import Meter, Progress
from dayshift.train.loop.session import Session
from dayshift.train.loop.settings import RunSection
from dayshift.train.loop.stopping import FiniteCheck, StopRequest, TrainingError, check_weights
from dayshift.train.methods.base import Batch
from dayshift.train.recipe import Recipe, check_same_recipe

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
SAMPLES = "samples"
OnProgress = Callable[[Progress], None]

_GPU_LOOK_STEPS = 10  # looking at losses makes a GPU wait; on the CPU it costs nothing


def fit(
    recipe: Recipe,
    data_root: Path,
    out: Path,
    *,
    devices: Devices | None = None,
    loggers: Sequence[Logger] = (),
    on_progress: OnProgress | None = None,
) -> Path:
    """Train what a recipe says; see `run`, and `recipe` for where images are under `data_root`."""
    return run(
        recipe.run,
        lambda: make_job(recipe, data_root),
        out,
        devices=devices,
        loggers=loggers,
        on_progress=on_progress,
    )


def run(
    settings: RunSection,
    make_job: Callable[[], Job],
    out: Path,
    *,
    devices: Devices | None = None,
    loggers: Sequence[Logger] = (),
    on_progress: OnProgress | None = None,
) -> Path:
    """Train until the method's last step and return the checkpoint's path.

    A run that was stopped goes on from its last checkpoint as if it had not been: data and chance
    depend on the step alone, and the rest is in the checkpoint. Ctrl-C and SIGTERM save first.

    Args:
        settings: how to run.
        make_job: makes what is trained; called in every process, after its start.
        out: folder for checkpoint.safetensors, best.safetensors, scalars.csv and samples/.
        devices: where to compute.
        loggers: besides those that the settings name.
        on_progress: called after each step, on the first process.

    Raises:
        DeviceError: The devices cannot be had.
        RecipeError: `out` holds a run of another recipe.
        DataError: Images are missing.
        TrainingError: A loss is not finite.
        LostProcess: Another process of the run ended.
        SinkError: `out` cannot be written to; the checkpoint before stays whole.
        KeyboardInterrupt: The run was stopped, and saved.
    """
    make_folder(out)
    fabric = open_fabric(devices or Devices(), settings.precision)
    with explained_loss(), _deterministic(settings.deterministic), StopRequest() as stop:
        torch.manual_seed(settings.seed)
        session = Session(make_job(), fabric)
        path = out / CHECKPOINT
        if path.exists():
            saved = load_checkpoint(path)
            check_same_recipe(path, saved.recipe, session.job.recipe)
            session.restore(saved)
        _Loop(session, out, stop, loggers, on_progress).run()
        if stop.wanted:
            raise KeyboardInterrupt
    return path


class _Loop:
    """One run from where its session stands to its last step, or to the wish to stop."""

    def __init__(
        self,
        session: Session,
        out: Path,
        stop: StopRequest,
        loggers: Sequence[Logger],
        on_progress: OnProgress | None,
    ) -> None:
        self._session, self._out, self._stop, self._on_progress = session, out, stop, on_progress
        self._fabric: Fabric = session.fabric
        job, world = session.job, session.fabric.world_size
        self._settings = job.settings
        batches_per_epoch = job.source.batches_per_epoch(world)
        self._steps_per_epoch = max(1, batches_per_epoch // job.settings.accumulate)
        self._steps = job.method.total_steps(self._steps_per_epoch)
        self._images_per_step = job.source.images_per_batch * job.settings.accumulate * world
        self._meter = Meter(self._images_per_step)
        self._check, self._agreement = FiniteCheck(), Agreement(world)
        self._loggers = [*loggers]
        if session.fabric.is_global_zero:
            self._loggers += open_loggers(job.settings.loggers, out, session.step)
        self._terms: dict[str, float] = {}
        self._seconds_before = float(session.facts.get("seconds", 0.0))
        self._began_at = self._saved_at = time.monotonic()

    def run(self) -> None:
        """Train; save at the end, and now and then before."""
        with finalized(self._loggers):
            self._train()

    def _train(self) -> None:
        session, look = self._session, 1 if self._fabric.device.type == "cpu" else _GPU_LOOK_STEPS
        batches = session.job.source.batches(
            session.step * self._settings.accumulate,
            self._fabric.global_rank,
            self._fabric.world_size,
        )
        while session.step < self._steps:
            terms = session.train_step(self._take(batches), self._steps_per_epoch)
            self._meter.step_done()
            self._check.note(session.step, terms)
            self._tell(terms)
            if (session.step % look == 0 or session.step == self._steps) and self._look():
                break
        self._save()

    def _take(self, batches: Iterator[Batch]) -> list[Batch]:
        asked_at, taken, error = time.monotonic(), list[Batch](), None
        try:
            taken = [next(batches) for _ in range(self._settings.accumulate)]
        except Exception as raised:  # the other processes are told before it is raised again
            error = raised
        self._meter.waited(time.monotonic() - asked_at)
        if (failure := self._agreement.failure(error)) is not None:
            self._save()  # nothing was half done: what was trained is kept
            self._agreement.wait()
            raise failure
        return taken

    def _look(self) -> bool:
        """Look at the losses, save if it is time; return whether to stop. All processes agree."""
        broken = self._check.broken()
        is_due = time.monotonic() - self._saved_at > self._settings.save_seconds
        wishes = torch.tensor([self._stop.wanted, is_due, broken is not None], dtype=torch.int32)
        if self._fabric.world_size > 1:
            wishes = wishes.to(self._fabric.device)
            distributed.all_reduce(wishes, distributed.ReduceOp.MAX)
        stop, save, is_broken = (bool(wish) for wish in wishes.tolist())
        if is_broken:
            self._check_finite(broken or "a loss term of another process was not finite")
        if save and not stop:
            self._save()
        self._stop.wanted = stop
        return stop

    def _check_finite(self, broken: str | None) -> None:
        broken = broken or self._check.broken()
        broken = broken or check_weights(self._session.step, self._session.job.method.modules)
        if broken is None:
            return
        path = self._out / CHECKPOINT
        kept = (
            f"{path} is as it was saved before"
            if path.exists()
            else "nothing had been saved before"
        )
        raise TrainingError(
            f"{broken}; {kept}: take a lower learning rate, run.clip_norm, or precision fp32"
        )

    def _save(self) -> None:
        self._check_finite(None)
        elapsed = time.monotonic() - self._began_at
        self._session.facts["seconds"] = self._seconds_before + elapsed
        self._session.facts["data"] = self._session.job.source.facts()
        with self._meter.paused():
            checkpoint = self._session.checkpoint()
            if self._fabric.is_global_zero:
                save_checkpoint(self._out / CHECKPOINT, checkpoint)
        self._saved_at = time.monotonic()

    def _tell(self, terms: dict[str, Tensor]) -> None:
        """Log, draw samples, validate and report, each when it is time."""
        step = self._session.step
        is_last = step == self._steps
        if step % self._settings.log_steps == 0 or is_last:
            self._terms = self._mean_over_processes(terms)
            rate, wait = self._meter.read()
            row = {**self._terms, "images_per_s": rate, "wait_share": wait}
            for logger in self._loggers:
                logger.log_metrics(row, step)
        if self._fabric.is_global_zero:
            with self._meter.paused():
                if is_last or self._is_time(self._settings.sample_images):
                    self._draw_samples()
                if is_last or self._is_time(self._settings.validate_images):
                    self._validate()
            self._report()

    def _is_time(self, every_images: int) -> bool:
        if not every_images:
            return False
        images = self._session.step * self._images_per_step
        return images // every_images > (images - self._images_per_step) // every_images

    def _mean_over_processes(self, terms: dict[str, Tensor]) -> dict[str, float]:
        values = torch.stack([*terms.values()]).float()
        if self._fabric.world_size > 1:
            distributed.all_reduce(values)
            values /= self._fabric.world_size
        return dict(zip(terms, values.tolist(), strict=True))

    @torch.no_grad()
    def _draw_samples(self) -> None:
        draw = self._session.job.draw_samples
        if draw is None or not self._settings.sample_images:
            return
        sheet = draw(self._session.translators())
        images = self._session.step * self._images_per_step
        path = self._out / SAMPLES / f"{images:09d}.png"
        write_file(path, cv2.imencode(".png", sheet)[1].tobytes())

    @torch.no_grad()
    def _validate(self) -> None:
        metric = self._session.job.metric
        if metric is None or not self._settings.validate_images:
            return
        value = metric.measure(self._session.translators())
        for logger in self._loggers:
            logger.log_metrics({f"validation/{metric.name}": value}, self._session.step)
        best = self._session.facts.get("best")
        if metric.improves(value, best["value"] if best else None):
            self._session.facts["best"] = {
                "metric": metric.name,
                "value": value,
                "step": self._session.step,
            }
            save_checkpoint(self._out / BEST, self._session.inference_checkpoint())

    def _report(self) -> None:
        if self._on_progress is None:
            return
        step = self._session.step
        rate, wait = self._meter.read()
        left = (self._steps - step) * self._images_per_step / rate if rate else None
        self._on_progress(
            Progress(
                step=step,
                steps=self._steps,
                epoch=step / self._steps_per_epoch,
                images=step * self._images_per_step,
                images_per_s=rate,
                wait_share=wait,
                left_s=left,
                terms=self._terms,
            )
        )


@contextlib.contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    """Take only algorithms that repeat exactly, if wanted; else let cuDNN look for the fastest."""
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.benchmark = not wanted
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]
