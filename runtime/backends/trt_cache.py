"""Engines in the private cache: found, or built once and kept.

The key of an engine is everything that it depends on: the graph's hash, TensorRT's version, the
device with its compute capability, driver or L4T, the shapes and the options. It is written in
full beside the engine and compared on loading.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import JsonValue

from dayshift.runtime.backends.base import (
    BuildOptions,
    BuildProgress,
    OnBuildProgress,
    Precision,
    Shapes,
)
from dayshift.runtime.backends.cuda import Device
from dayshift.runtime.backends.shapes import ShapeRange, ranges_of
from dayshift.runtime.backends.trt_build import (
    VERSION,
    BuildRequest,
    build,
    deserialize,
    inspect,
    log,
    precision_of,
)
from dayshift.runtime.cache import SealedCache
from dayshift.runtime.errors import BackendError

_log = logging.getLogger(__name__)

PURPOSE = "tensorrt"
# Raised when what is asked of TensorRT changes beyond the options: older engines are built anew.
_RECIPE = 1


@dataclass(frozen=True)
class Engine:
    """An engine in the device's memory.

    Attributes:
        engine: TensorRT's object.
        precision: What its heavy layers compute in, as TensorRT's inspector tells.
        path: Where it lies in the cache.
    """

    engine: Any
    precision: Precision
    path: Path


def find_or_build(
    graph: bytes,
    shapes: Shapes,
    device: Device,
    options: BuildOptions | None,
    on_progress: OnBuildProgress,
) -> Engine:
    """Return an engine for these shapes from the cache; build it where there is none.

    Args:
        graph: The content of an ONNX file.
        shapes: The shape of every input.
        device: What it will run on.
        options: What it must have been built with; None takes the best there is, and builds with
            the defaults.
        on_progress: Told of the build; what it raises ends that and is raised here.

    Raises:
        CacheError: The cache cannot be used.
        BackendError: TensorRT refuses the graph or the shapes, or cannot build.
    """
    asked = options or BuildOptions()
    request = BuildRequest(graph, ranges_of(shapes, asked), asked)
    cache = SealedCache(PURPOSE)
    key = _key(request, device)
    name = f"{_digest(key)}.engine"

    def find(*, tell: bool) -> Engine | None:
        others = _others(cache, request.graph, device, shapes) if options is None else ()
        names = dict.fromkeys([*others, name])
        return next(filter(None, (_load(cache, item, tell=tell) for item in names)), None)

    found = find(tell=False)
    if found is not None:
        return found

    def wait() -> None:
        on_progress(BuildProgress("waiting for another process that builds it", 0.0))

    with cache.lock(name, on_wait=wait):
        return find(tell=True) or _build(cache, name, key, request, on_progress)


def _key(request: BuildRequest, device: Device) -> dict[str, JsonValue]:
    return {
        **_place(request.graph, device, compatible=request.options.hardware_compatible),
        "shapes": {
            name: {
                "smallest": list(item.smallest),
                "best": list(item.best),
                "largest": list(item.largest),
            }
            for name, item in request.ranges.items()
        },
        "options": {
            "optimization_level": request.options.optimization_level,
            "hardware_compatible": request.options.hardware_compatible,
        },
    }


def _place(graph: bytes, device: Device, *, compatible: bool) -> dict[str, JsonValue]:
    """Return the part of the key that says of what an engine is made, and where it runs."""
    if compatible:
        device = dataclasses.replace(device, name="Ampere or newer", compute_capability="8.0 up")
    return {
        "recipe": _RECIPE,
        "graph_sha256": hashlib.sha256(graph).hexdigest(),
        "tensorrt": VERSION,
        "device": cast("JsonValue", dataclasses.asdict(device)),
    }


def _digest(value: JsonValue) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _load(cache: SealedCache, name: str, *, tell: bool) -> Engine | None:
    """Return an engine that is genuine and whole; None where one of these fails.

    That it fits was seen in its name, which is its key's, or in its sidecar, which is sealed too.
    """
    entry = cache.read(name, tell=tell)
    if entry is None:
        return None
    engine = deserialize(entry.content)
    if engine is None:
        reason = log().take()
        if tell:
            _log.warning("%s does not load (%s): it is built anew", cache.path(name), reason)
        return None
    return Engine(engine, cast("Precision", entry.facts["precision"]), cache.path(name))


def _others(cache: SealedCache, graph: bytes, device: Device, shapes: Shapes) -> Iterator[str]:
    """Yield engines of the graph that take these shapes too: of better options, or for a range.

    Those for one shape come first, of these the more optimized. Only their sidecars are read here.
    """
    places = {
        compatible: _place(graph, device, compatible=compatible) for compatible in (False, True)
    }
    fitting: list[tuple[bool, bool, int, str]] = []
    for path in cache.folder.glob("*.engine.json"):
        try:
            key = json.loads(path.read_bytes())["facts"]["key"]
            ranges = {name: ShapeRange(**item) for name, item in key.pop("shapes").items()}
            options = BuildOptions(**key.pop("options"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # not one of ours: never loaded, and replaced when its name is built
        if key != places[options.hardware_compatible] or ranges.keys() != shapes.keys():
            continue
        if all(ranges[name].covers(shape) for name, shape in shapes.items()):
            ranged = any(item.smallest != item.largest for item in ranges.values())
            order = (ranged, options.hardware_compatible, -options.optimization_level)
            fitting.append((*order, path.name.removesuffix(".json")))
    return (name for *_, name in sorted(fitting))


def _build(
    cache: SealedCache,
    name: str,
    key: dict[str, JsonValue],
    request: BuildRequest,
    on_progress: OnBuildProgress,
) -> Engine:
    """Build, prove that it loads, and keep it with its facts, its report and the timings."""
    on_progress(BuildProgress("reading the graph", 0.0))
    timings = f"{_digest([key['tensorrt'], key['device']])}.timing"
    known = cache.read(timings)
    start = time.perf_counter()
    built = build(request, b"" if known is None else known.content, on_progress)
    build_s = time.perf_counter() - start
    engine = deserialize(built.plan)
    if engine is None:
        raise BackendError(f"tensorrt cannot load the engine it built: {log().take()}")
    report = inspect(engine)
    precision = precision_of(report)
    cache.write_note(f"{name}.layers.json", report)
    cache.write(name, built.plan, {"key": key, "precision": precision, "build_s": build_s})
    cache.write(timings, built.timing_cache, {"tensorrt": key["tensorrt"]})
    return Engine(engine, precision, cache.path(name))
