"""What runs in the process of a Ray worker: a model and the worker that uses it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname

from dayshift.runtime.bundled import model_folder
from dayshift.runtime.cores import claim_cores
from dayshift.runtime.errors import DayshiftError
from dayshift.runtime.model import load
from dayshift.tasks import Answer, Request, Task
from dayshift.worker import Worker


@dataclass(frozen=True)
class ModelOrder:
    """What `load` is asked for on every worker; the files travel along."""

    files: dict[str, bytes]
    backend: str
    precision: str
    strength: float | None
    lamps: float | None


@dataclass(frozen=True)
class Started:
    """What a worker says of itself; `engine` must be the same for all."""

    host: str
    selection: str
    engine: tuple[str, ...]


def order_model(
    name: str, backend: str, precision: str, strength: float | None, lamps: float | None
) -> ModelOrder:
    """Read a model's folder."""
    folder = model_folder(name)
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    return ModelOrder(files, backend, precision, strength, lamps)


class RayWorker:
    """An actor: made without arguments, told to start, then given one task at a time."""

    def start(self, order: ModelOrder, request: Request, lanes: int) -> Started:
        """Load the model; afterwards `do` may be called."""
        self._cores = claim_cores(lanes)
        with tempfile.TemporaryDirectory(prefix="dayshift-model-") as folder:
            for name, content in order.files.items():
                (Path(folder) / name).write_bytes(content)
            model = load(
                Path(folder),
                backend=order.backend,
                precision=order.precision,
                strength=order.strength,
                lamps=order.lamps,
                lanes=lanes,
            )
        self._worker = Worker(model, request)
        engine = (model.sha256, model.backend_name, model.backend_version, model.precision)
        return Started(gethostname(), model.selection, engine)

    def do(self, task: Task) -> Answer | DayshiftError:
        """Do a task; an error of ours is returned, since Ray would wrap it."""
        try:
            return self._worker.do(task)
        except DayshiftError as error:
            return error
