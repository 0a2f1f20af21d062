"""What a run writes down: `scalars.csv`, TensorBoard events, and any other Lightning logger."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import Logger

from dayshift.runtime.errors import MissingDependency
from dayshift.train.loop.settings import LoggerName

CSV_NAME = "scalars.csv"


class CsvLogger(Logger):
    """Appends to one CSV file; rows behind the step that a run resumes from are taken away.

    Lightning's own deletes what it finds, and a resumed run would lose its past.
    """

    def __init__(self, path: Path, *, resume_step: int = 0) -> None:
        super().__init__()
        self._path = path
        rows, is_whole = _read_rows(path)
        self._columns = list(rows[0]) if rows else ["step"]
        self._rows = [row for row in rows if int(row["step"]) <= resume_step]
        if len(self._rows) < len(rows) or not is_whole:
            self._rewrite()

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self._path.name

    @property
    def version(self) -> int:
        """Return 0: there is one file for each run."""
        return 0

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row; a name that is new adds a column."""
        row: dict[str, Any] = {"step": step, **{k: f"{float(v):.6g}" for k, v in metrics.items()}}
        self._rows.append(row)
        new = [name for name in row if name not in self._columns]
        if new or len(self._rows) == 1:
            self._columns += new
            self._rewrite()
            return
        with self._path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the checkpoint holds the recipe."""

    def _rewrite(self) -> None:
        part = self._path.with_name(f".{self._path.name}.part")
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(self._rows)
        part.replace(self._path)


def open_loggers(names: Sequence[LoggerName], out: Path, resume_step: int) -> list[Logger]:
    """Open the loggers of a run folder; what was logged behind `resume_step` is dropped.

    Raises:
        MissingDependency: TensorBoard is wanted and not installed.
    """
    return [_open(name, out, resume_step) for name in names]


@contextlib.contextmanager
def finalized(loggers: Sequence[Logger]) -> Iterator[None]:
    """Finalize the loggers at the end of the block, however it ends."""
    try:
        yield
    except BaseException:
        for logger in loggers:
            with contextlib.suppress(Exception):  # why the run ended is what is told
                logger.finalize("failed")
        raise
    for logger in loggers:
        logger.finalize("success")


def _open(name: LoggerName, out: Path, resume_step: int) -> Logger:
    match name:
        case "csv":
            return CsvLogger(out / CSV_NAME, resume_step=resume_step)
        case "tensorboard":
            from lightning_fabric.loggers.tensorboard import TensorBoardLogger

            try:
                return TensorBoardLogger(
                    out, name="", version="tensorboard", purge_step=resume_step + 1
                )
            except ModuleNotFoundError as error:
                raise MissingDependency(
                    f"logging to TensorBoard needs it ({error}): pip install 'dayshift[train]', or "
                    "--set run.loggers=['csv']"
                ) from error


def _read_rows(path: Path) -> tuple[list[dict[str, str]], bool]:
    """Return the rows, and whether the file ends with one: a power failure may cut the last off."""
    if not path.exists():
        return [], True
    with path.open(newline="") as file:
        lines = file.readlines()
    is_whole = not lines or lines[-1].endswith("\n")
    whole = lines if is_whole else lines[:-1]
    rows = [row for row in csv.DictReader(whole) if (row.get("step") or "").isdigit()]
    return rows, is_whole
