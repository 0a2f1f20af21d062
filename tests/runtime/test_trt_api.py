"""Every call into TensorRT and CUDA exists in the oldest and the newest version, with that arity.

The signatures are NVIDIA's own: see `tests/data/tensorrt/README.md`.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "tensorrt"
SOURCES = [ROOT / "runtime" / "backends" / name for name in ("trt.py", "trt_build.py")]
CUDA_SOURCE = ROOT / "runtime" / "backends" / "cuda.py"

VERSIONS = ("10.3.0", "11.4.0.106")
CUDA_NAME = re.compile(r"cudart(\.\w+)+")
CUDA_VERSIONS = ("12.9.6", "13.4.4")

# What our names stand for. A call through a name that is not here does not count as one of
# TensorRT, so the last test holds that none is missing.
CLASS_OF = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "parser.get_error(index)": "ParserError",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "timings": "ITimingCache",
    "tensor": "ITensor",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "self._engine": "ICudaEngine",
    "inspector": "EngineInspector",
    "self._context": "IExecutionContext",
}


def api(version: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((DATA / f"api-{version}.json").read_text())
    return content


def trees() -> Iterator[ast.Module]:
    for path in SOURCES:
        yield ast.parse(path.read_text())


def uses() -> Iterator[tuple[str, str, int | None]]:
    """Yield class, attribute and, of a call, how many arguments it has."""
    for tree in trees():
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            if not isinstance(node, ast.Attribute):
                continue
            owner = ast.unparse(node.value)
            name = owner.removeprefix("trt.") if owner.startswith("trt.") else CLASS_OF.get(owner)
            if name is None:
                continue
            call = calls.get(id(node))
            yield name, node.attr, None if call is None else len(call.args) + len(call.keywords)


def parameters(signature: str) -> list[str] | None:
    """Return the parameters of a signature without self; None where it is overloaded."""
    inside = signature[signature.index("(") + 1 : signature.rindex(")")]
    if "*args" in inside:
        return None
    # Types may hold commas in brackets, defaults may hold "<X: 0>".
    flat = re.sub(r"\[[^\[\]]*\]", "", re.sub(r"\[[^\[\]]*\]", "", inside))
    return [part.strip() for part in flat.split(",") if part.strip() not in ("", "/")][1:]


def least_and_most(signature: str) -> tuple[int, int] | None:
    found = parameters(signature)
    if found is None:
        return None
    return sum("=" not in parameter for parameter in found), len(found)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_of_the_module_exists(version: str) -> None:
    names = {
        node.attr
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "trt"
    }
    assert {"Builder", "Runtime", "IProgressMonitor"} <= names
    module_level = {*api(version)["module_attributes"], "__version__", "nptype"}
    assert names <= module_level


@pytest.mark.parametrize("version", VERSIONS)
def test_every_attribute_and_call_exists_with_that_arity(version: str) -> None:
    classes = api(version)["classes"]
    seen = list(uses())
    assert len(seen) > 50
    wrong = []
    for owner, attribute, count in seen:
        members = classes.get(owner)
        if members is None:
            wrong.append(f"{owner}: no such class in the data")
        elif attribute not in members:
            # ILogger.Severity's members stand on the class itself in both.
            wrong.append(f"{owner}.{attribute}")
        elif count is not None and members[attribute] and attribute != "__init__":
            arity = least_and_most(members[attribute])
            if arity is not None and not arity[0] <= count <= arity[1]:
                wrong.append(f"{owner}.{attribute}: {count} arguments, takes {arity}")
    assert wrong == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_constructor_is_called_as_it_must_be(version: str) -> None:
    classes = api(version)["classes"]
    made = {
        ast.unparse(node.args[0]): len(node.args) - 1
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "_made"
    }
    assert made.keys() == {"trt.Builder", "trt.OnnxParser", "trt.Runtime"}
    for name, count in made.items():
        arity = least_and_most(classes[name.removeprefix("trt.")]["__init__"])
        assert arity is not None
        assert arity[0] <= count <= arity[1], name


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("method", ["phase_start", "step_complete", "phase_finish"])
def test_the_monitor_takes_what_tensorrt_gives_it(version: str, method: str) -> None:
    """Its bindings call these by position, under these names."""
    signature = api(version)["classes"]["IProgressMonitor"][method]
    expected = [parameter.split(":")[0] for parameter in parameters(signature) or ()]
    tree = ast.parse(SOURCES[1].read_text())
    ours = next(
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == method
    )
    assert [argument.arg for argument in ours.args.args][1:] == expected


@pytest.mark.usefixtures("fake_tensorrt")
@pytest.mark.parametrize("version", VERSIONS)
def test_the_fake_has_nothing_that_tensorrt_lacks(version: str) -> None:
    import tensorrt as fake

    classes, wrong = api(version)["classes"], []
    for name, kind in vars(fake).items():
        if not inspect.isclass(kind) or kind.__module__ != fake.__name__ or name.startswith("_"):
            continue
        for attribute, value in vars(kind).items():
            if attribute.startswith("_"):
                continue
            if attribute not in classes[name]:
                wrong.append(f"{name}.{attribute}")
            elif inspect.isfunction(value):
                theirs = parameters(classes[name][attribute])
                ours = list(inspect.signature(value).parameters)[1:]
                if theirs is not None and ours != [p.split(":")[0] for p in theirs][: len(ours)]:
                    wrong.append(f"{name}.{attribute}{ours}")
    assert wrong == []


def test_no_call_of_tensorrts_hides_behind_a_name_that_is_not_listed() -> None:
    """Whatever has the name of one of TensorRT's methods is called on an object that we know."""
    classes = api(VERSIONS[0])["classes"]
    methods = {
        name
        for owner in set(CLASS_OF.values())
        for name, signature in classes[owner].items()
        if signature and not name.startswith("_")
    }
    ours = {"log()", "self._stream", "self", "monitor", "buffer"}  # these are not TensorRT's
    unknown = {
        ast.unparse(node.func)
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in methods
        and ast.unparse(node.func.value) not in {*CLASS_OF, *ours}
    }
    assert unknown == set()


# CUDA


def cuda_calls() -> dict[str, set[int]]:
    """Return how many arguments each function of the CUDA runtime is called with."""
    calls: dict[str, set[int]] = {}
    for node in ast.walk(ast.parse(CUDA_SOURCE.read_text())):
        if isinstance(node, ast.Call) and CUDA_NAME.fullmatch(ast.unparse(node.func)):
            calls.setdefault(ast.unparse(node.func)[7:], set()).add(len(node.args))
    return calls


@pytest.mark.parametrize("version", CUDA_VERSIONS)
def test_every_cuda_call_exists_with_that_arity(version: str) -> None:
    functions = json.loads((DATA / f"cuda-runtime-{version}.json").read_text())["functions"]
    calls = cuda_calls()
    assert len(calls) > 15
    for name, counts in calls.items():
        inside = functions[name].partition("(")[2].rstrip(")")
        assert counts == {len([part for part in inside.split(",") if part])}, name


@pytest.mark.usefixtures("fake_tensorrt")
@pytest.mark.parametrize("version", CUDA_VERSIONS)
def test_the_fake_cuda_has_the_real_ones_arity(version: str) -> None:
    from cuda.bindings import runtime as fake

    functions = json.loads((DATA / f"cuda-runtime-{version}.json").read_text())["functions"]
    ours = {
        name: len(inspect.signature(value).parameters)
        for name, value in vars(fake).items()
        if name.startswith("cuda") and inspect.isfunction(value)
    }
    expected = {
        name: len([part for part in text.partition("(")[2].rstrip(")").split(",") if part])
        for name, text in functions.items()
        if name in ours
    }
    assert ours == expected


def real_cuda() -> Any:
    return pytest.importorskip(
        "cuda.bindings.runtime", reason="needs cuda-bindings: pip install cuda-bindings"
    )


def test_the_real_cuda_bindings_have_every_name_that_we_use() -> None:
    cudart = real_cuda()
    for node in ast.walk(ast.parse(CUDA_SOURCE.read_text())):
        if isinstance(node, ast.Attribute) and CUDA_NAME.fullmatch(ast.unparse(node)):
            value: Any = cudart
            for part in ast.unparse(node).split(".")[1:]:
                value = getattr(value, part)
    signatures = {name: getattr(cudart, name).__doc__.strip() for name in cuda_calls()}
    kept = json.loads((DATA / "cuda-runtime-13.4.4.json").read_text())["functions"]
    for name, text in signatures.items():
        assert text.splitlines()[0] == kept[name]
    assert {"name", "major", "minor"} <= set(dir(cudart.cudaDeviceProp))


def test_without_a_gpu_the_real_cuda_bindings_lead_to_our_error() -> None:
    cudart = real_cuda()
    if cudart.cudaGetDeviceCount()[0] == cudart.cudaError_t.cudaSuccess:
        pytest.skip("there is a GPU")
    from dayshift.runtime.backends.cuda import first_device
    from dayshift.runtime.errors import BackendError

    with pytest.raises(BackendError, match=r"no NVIDIA GPU can be used \(CUDA: .*cudaError"):
        first_device()
