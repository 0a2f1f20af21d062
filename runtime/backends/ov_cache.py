"""Compiled OpenVINO models in the private cache: a later start imports what an earlier one made.

Importing takes a third of compiling. What is imported is a program, so it comes from `SealedCache`
and never from a folder that OpenVINO would read by itself. Without the cache all works as with it,
slower: whatever is wrong with it is logged, and the graph is compiled.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import openvino as ov

from dayshift.runtime.backends.base import Shapes, one_line
from dayshift.runtime.cache import SealedCache, cache_root
from dayshift.runtime.cores import allowed_cores
from dayshift.runtime.errors import CacheError

_log = logging.getLogger(__name__)

PURPOSE = "openvino"
_SUFFIX = ".blob"
# Raised when what is done to a graph before it is compiled changes: older models are compiled anew.
_RECIPE = 1
# Each size of frame and each precision is a model of 1 to 50 MB. The longest unused go first.
_MOST_MODELS = 32


def find_or_compile(
    core: ov.Core,
    graph: bytes,
    shapes: Shapes,
    properties: Mapping[str, str],
    compile_graph: Callable[[], ov.CompiledModel],
) -> ov.CompiledModel:
    """Return the compiled model of this graph from the cache, or compile and keep it.

    Args:
        core: OpenVINO's core.
        graph: The content of an ONNX file.
        shapes: The shape of every input.
        properties: What it is compiled with, by OpenVINO's names.
        compile_graph: Compiles it; what it raises is raised here.
    """
    cache = _cache(cache_root())
    if cache is None:
        return compile_graph()
    name = _name(core, graph, shapes, properties)
    entry = cache.read(name)
    if entry is not None:
        with contextlib.suppress(OSError):
            os.utime(cache.path(name))
        try:
            return core.import_model(entry.content, "CPU", dict(properties))
        except Exception as error:  # the bindings raise whatever fits them
            _log.warning("%s does not load (%s): compiled anew", cache.path(name), one_line(error))
    compiled = compile_graph()
    try:
        cache.write(name, compiled.export_model().getvalue(), {"openvino": ov.__version__})
        _drop_oldest(cache.folder)
    except (CacheError, OSError) as error:
        _log.warning("%s", one_line(error))
    return compiled


@functools.cache
def _cache(root: Path) -> SealedCache | None:
    """Open the cache once; None, said once, where that cannot be."""
    del root  # which `SealedCache` finds out itself: another one is another cache
    try:
        return SealedCache(PURPOSE)
    except CacheError as error:
        _log.warning("%s. Until then OpenVINO compiles at every start", error)
        return None


def _name(core: ov.Core, graph: bytes, shapes: Shapes, properties: Mapping[str, str]) -> str:
    """Return the name of everything that a compiled model depends on."""
    key = {
        "recipe": _RECIPE,
        "graph_sha256": hashlib.sha256(graph).hexdigest(),
        "openvino": ov.__version__,
        "device": core.get_property("CPU", "FULL_DEVICE_NAME"),
        "capabilities": sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        "cores": allowed_cores(),
        "shapes": {name: list(shape) for name, shape in shapes.items()},
        "properties": dict(properties),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    return digest + _SUFFIX


def _drop_oldest(folder: Path) -> None:
    models = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
    for path in models[:-_MOST_MODELS]:
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.json").unlink(missing_ok=True)
