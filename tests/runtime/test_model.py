from __future__ import annotations

import math
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from onnx import parser

from dayshift.runtime.backends import BACKEND_NAMES
from dayshift.runtime.choice import setups
from dayshift.runtime.engines import Engines
from dayshift.runtime.errors import BackendError, ModelError, UsageError
from dayshift.runtime.model import load
from dayshift.runtime.model_files import describe_file, load_spec
from dayshift.runtime.quality import psnr
from dayshift.runtime.spec import FilePrecision

Pixels = npt.NDArray[np.uint8]
Street = Callable[[int, int], Pixels]
EditSpec = Callable[[Callable[[dict[str, Any]], object]], None]

SIZE = (128, 160)  # where the full graph of the fixture shrinks as its maps form does


@pytest.fixture(params=["full", "maps"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("size", [(720, 1280), (1280, 720), (359, 641), (641, 359), (16, 17)])
def test_an_image_has_the_size_of_its_frame_and_belongs_to_it(
    pristine_model: Path, street: Street, backend: str, form: str, size: tuple[int, int]
) -> None:
    frame = street(*size)
    with load(pristine_model, backend=backend, form=form, size=size) as model:
        image = model(frame)
    assert image.shape == frame.shape
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    # Padded and cropped, never squashed: what is a pixel wide in the frame stays where it is.
    assert np.corrcoef(image.ravel(), frame.ravel())[0, 1] > 0.8
    assert psnr(image, frame) < 30


@pytest.mark.parametrize("size", [SIZE, (61, 83)])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_strength_0_returns_the_very_frame(
    pristine_model: Path,
    street: Street,
    backend: str,
    form: str,
    precision: str,
    size: tuple[int, int],
) -> None:
    frame = street(*size)
    model = load(
        pristine_model, backend=backend, form=form, precision=precision, strength=0, size=size
    )
    assert np.array_equal(model(frame), frame)


# An int8 graph sees frames in steps of two levels; the forms' small frames may differ by one.
@pytest.mark.usefixtures("fake_tensorrt")
@pytest.mark.parametrize(("precision", "levels"), [("fp32", 2), ("fp16", 2), ("int8", 4)])
def test_forms_and_backends_agree_within_a_few_levels(
    pristine_model: Path, street: Street, precision: str, levels: int
) -> None:
    frame = street(*SIZE)
    images = [
        load(pristine_model, backend=backend, form=form, precision=precision, size=SIZE)(frame)
        for backend in BACKEND_NAMES
        for form in ("full", "maps")
    ]
    for image in images[1:]:
        assert np.abs(image.astype(int) - images[0]).max() <= levels


def test_precisions_are_alike_but_not_the_same_file(pristine_model: Path, street: Street) -> None:
    frame = street(*SIZE)
    models = {p: load(pristine_model, precision=p, size=SIZE) for p in ("fp32", "fp16", "int8")}
    assert len({model.sha256 for model in models.values()}) == 3
    for precision in ("fp16", "int8"):
        assert psnr(models[precision](frame), models["fp32"](frame)) > 38


def test_strength_turns_while_the_model_runs(pristine_model: Path, street: Street) -> None:
    frame = street(*SIZE)
    model = load(pristine_model, size=SIZE)
    assert model.strength == 1.0
    full = model(frame)
    model.strength = 0.5
    half = model(frame)
    model.strength = 0.3
    assert model.strength == 0.3
    assert psnr(model(frame), frame) > psnr(half, frame) > psnr(full, frame)


@pytest.mark.parametrize("strength", [-0.1, 1.01, math.nan, math.inf])
def test_a_strength_out_of_range_is_refused(pristine_model: Path, strength: float) -> None:
    with pytest.raises(UsageError, match="out of range: expected 0 to 1"):
        load(pristine_model, strength=strength, size=SIZE)
    model = load(pristine_model, strength=0.4, size=SIZE)
    with pytest.raises(UsageError, match="out of range"):
        model.strength = strength
    assert model.strength == 0.4


def test_lamps_turn_while_the_model_runs(lit_model: Path, backend: str, street: Street) -> None:
    frame = street(*SIZE)
    with load(lit_model, backend=backend, lamps=0.5, size=SIZE) as model:
        half = model(frame).mean()
        model.lamps = 1.0
        lit = model(frame).mean()
        model.lamps = 0.0
        dark = model(frame).mean()
        assert (model.lamps, model.strength) == (0.0, 1.0)
        with pytest.raises(UsageError, match="lamps nan is out of range: expected 0 to 1"):
            model.lamps = math.nan
    assert lit - half == pytest.approx(half - dark, abs=2)
    assert half > dark + 5


def test_lamps_of_a_model_without_them_are_refused(pristine_model: Path) -> None:
    with pytest.raises(UsageError, match="model tiny has no control for lamps: leave it"):
        load(pristine_model, lamps=0.5, size=SIZE)
    model = load(pristine_model, size=SIZE)
    with pytest.raises(UsageError, match="no control for lamps"):
        model.lamps = 0.5


def test_the_models_own_limits_and_default_hold(model_folder: Path, edit_spec: EditSpec) -> None:
    limits = {"default": 0.6, "minimum": 0.2, "maximum": 0.8}
    edit_spec(lambda spec: spec["controls"].update(strength=limits))
    model = load(model_folder, size=SIZE)
    assert model.strength == 0.6
    with pytest.raises(UsageError, match=r"expected 0\.2 to 0\.8"):
        model.strength = 1.0


def test_an_image_is_not_overwritten_by_later_frames(
    pristine_model: Path, street: Street, backend: str, form: str
) -> None:
    model = load(pristine_model, backend=backend, form=form, size=SIZE)
    first = model(street(*SIZE))
    kept = first.copy()
    for _ in range(3):
        model(255 - street(*SIZE))
    assert np.array_equal(first, kept)


def test_frames_are_left_alone(
    pristine_model: Path, street: Street, backend: str, form: str
) -> None:
    frame = street(*SIZE)
    frame.flags.writeable = False  # as a decoder may hand them out
    load(pristine_model, backend=backend, form=form, size=SIZE)(frame)


def test_a_strided_frame_translates_like_its_copy(
    pristine_model: Path, street: Street, form: str
) -> None:
    model = load(pristine_model, form=form, size=SIZE)
    mirrored = street(*SIZE)[:, ::-1]
    assert np.array_equal(model(mirrored), model(mirrored.copy()))


def test_a_translation_times_its_three_steps(pristine_model: Path, street: Street) -> None:
    model = load(pristine_model, size=SIZE)
    result = model.translate(street(*SIZE))
    assert np.array_equal(result.image, model(street(*SIZE)))
    assert min(result.preprocess_ms, result.infer_ms, result.postprocess_ms) > 0


def test_sizes_may_change_from_frame_to_frame(pristine_model: Path, street: Street) -> None:
    model = load(pristine_model, size=SIZE)
    sizes = [(64 + 16 * i, 96) for i in range(6)]  # more than are kept
    first = [model(street(*size)) for size in sizes]
    again = [model(street(*size)) for size in sizes]
    for a, b in zip(first, again, strict=True):
        assert np.array_equal(a, b)


def test_a_warmed_up_model_has_compiled_for_that_size(
    pristine_model: Path, monkeypatch: pytest.MonkeyPatch, street: Street
) -> None:
    model = load(pristine_model, size=SIZE)
    model.warm_up(64, 96)
    monkeypatch.setattr(Engines, "_open", None)  # compiling once more would fail
    assert model(street(64, 96)).shape == (64, 96, 3)
    with pytest.raises(TypeError):
        model(street(96, 64))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((128, 160, 3), np.float32), "expected a uint8 BGR frame .*, got float32"),
        (np.zeros((128, 160), np.uint8), r"expected a uint8 BGR frame .*, got uint8 \(128, 160\)"),
        (np.zeros((8, 160, 3), np.uint8), "at least 16x16, got 160x8"),
        ("frame.png", "expected a numpy array .*, got str"),
    ],
)
def test_what_is_not_a_frame_is_refused(pristine_model: Path, wrong: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(pristine_model, size=SIZE)(wrong)


def test_a_closed_model_says_so(pristine_model: Path, street: Street) -> None:
    with load(pristine_model, size=SIZE) as model:
        model(street(*SIZE))
    model.close()
    with pytest.raises(BackendError, match="model tiny was closed: load it again"):
        model(street(*SIZE))


def test_auto_takes_the_best_maps_on_openvino_and_says_so(pristine_model: Path) -> None:
    best: FilePrecision = "fp32" if platform.machine() == "aarch64" else "int8"
    model = load(pristine_model, size=SIZE)
    assert (model.backend_name, model.form) == ("openvino", "maps")
    assert (model.precision_requested, model.precision) == ("auto", best)
    assert model.sha256 == model.spec.form("maps").files[best].sha256
    assert model.backend_version[:2] == "20"
    assert model.device == "CPU"
    assert model.selection == (
        "backend openvino: the fastest that works here; "
        f"precision {best}: the best it has for openvino; form maps"
    )


@pytest.mark.parametrize(("machine", "best"), [("x86_64", "int8"), ("aarch64", "fp32")])
def test_the_best_precision_on_openvino_depends_on_the_processor(
    machine: str, best: str, pristine_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    (openvino,) = [s for s in setups(load_spec(pristine_model), "openvino", "auto", "auto")]
    assert openvino.precision == best


def test_auto_precision_on_onnxruntime_is_fp32(pristine_model: Path) -> None:
    model = load(pristine_model, backend="onnxruntime", size=SIZE)
    assert (model.precision_requested, model.precision) == ("auto", "fp32")


def test_a_precision_that_runs_as_another_is_told(pristine_model: Path) -> None:
    model = load(pristine_model, backend="onnxruntime", precision="fp16", size=SIZE)
    assert (model.precision_requested, model.precision) == ("fp16", "fp32")
    assert model.selection.endswith("which runs in fp32 here")


def test_auto_makes_do_with_what_the_model_has(model_folder: Path, edit_spec: EditSpec) -> None:
    def only_full_fp32(spec: dict[str, Any]) -> None:
        del spec["forms"]["maps"]
        del spec["forms"]["full"]["files"]["int8"]

    edit_spec(only_full_fp32)
    model = load(model_folder, size=SIZE)
    assert (model.form, model.precision) == ("full", "fp32")


def test_auto_falls_back_without_openvino_and_says_why(pristine_model: Path) -> None:
    code = f"""
import sys
sys.modules["openvino"] = None
from dayshift.runtime import load
model = load({str(pristine_model)!r}, size={SIZE})
print(model.backend_name, model.precision, model.selection, sep="|")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    name, precision, selection = done.stdout.split("|")
    assert (name, precision) == ("onnxruntime", "fp32")
    assert selection.startswith("cannot import openvino (")
    assert "; backend onnxruntime: the fastest that works here; " in selection
    assert done.stderr == ""


def test_without_any_engine_every_reason_is_told(pristine_model: Path) -> None:
    code = f"""
import sys
sys.modules["openvino"] = sys.modules["onnxruntime"] = None
from dayshift.runtime import BackendError, load
try:
    load({str(pristine_model)!r})
except BackendError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("no backend works here: cannot import openvino (")
    assert "cannot import onnxruntime (" in done.stdout


def test_loading_and_translating_leave_the_terminal_clean(
    pristine_model: Path, backend: str
) -> None:
    code = f"""
import numpy as np
from dayshift.runtime import load
for precision in ("fp32", "int8"):
    with load({str(pristine_model)!r}, backend={backend!r}, precision=precision) as model:
        model(np.zeros((100, 100, 3), np.uint8))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_flipped_byte_is_found_before_an_engine_reads_it(model_folder: Path) -> None:
    path = model_folder / "maps.int8.onnx"
    content = bytearray(path.read_bytes())
    content[100] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"maps\.int8\.onnx has sha256 \w{64}, expected \w{64}: "):
        load(model_folder, precision="int8", size=SIZE)
    load(model_folder, precision="fp32", size=SIZE)  # another file is as good as before


def test_a_missing_graph_file_is_named(model_folder: Path) -> None:
    (model_folder / "maps.int8.onnx").unlink()
    with pytest.raises(ModelError, match=r"cannot read .*maps\.int8\.onnx"):
        load(model_folder, precision="int8", size=SIZE)


def test_a_precision_without_a_file_is_refused(model_folder: Path, edit_spec: EditSpec) -> None:
    edit_spec(lambda spec: spec["forms"]["maps"]["files"].pop("int8"))
    with pytest.raises(ModelError, match="no int8 file of form maps: it has fp32, fp16; ask for"):
        load(model_folder, precision="int8", form="maps", size=SIZE)


def test_a_precision_that_only_the_full_form_has_takes_that_form(
    model_folder: Path, edit_spec: EditSpec
) -> None:
    edit_spec(lambda spec: spec["forms"]["maps"]["files"].pop("fp16"))
    assert load(model_folder, precision="fp16", size=SIZE).form == "full"


def test_a_graph_of_the_other_form_is_refused(model_folder: Path, edit_spec: EditSpec) -> None:
    def swap(spec: dict[str, Any]) -> None:
        forms = spec["forms"]
        forms["maps"]["files"]["int8"] = forms["full"]["files"]["int8"]

    edit_spec(swap)
    with pytest.raises(ModelError, match=r"gives image uint8 .*: expected gain and light as uint8"):
        load(model_folder, precision="int8", size=SIZE)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"backend": "tensorflow"}, "unknown backend 'tensorflow': expected auto or one of"),
        ({"precision": "fp8"}, "unknown precision 'fp8': expected auto or one of"),
        ({"form": "half"}, "unknown form 'half': expected auto or one of full, maps"),
    ],
)
def test_unknown_words_are_refused(
    pristine_model: Path, words: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load(pristine_model, **words)  # type: ignore[arg-type]


def test_an_unknown_model_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model 'noon2night': expected .* or a folder with a"):
        load("noon2night")
    with pytest.raises(ModelError, match=r"cannot read .*model\.json"):
        load(tmp_path)


def test_a_fixed_size_pads_smaller_frames_and_refuses_larger_ones(
    model_folder: Path,
    edit_spec: EditSpec,
    street: Street,
    backend: str,
) -> None:
    frame = street(80, 100)
    expected = load(model_folder, backend=backend, form="full", precision="fp32", size=(80, 100))(
        frame
    )
    edit_spec(lambda spec: spec["forms"].update(maps=None))
    edit_spec(lambda spec: spec["forms"]["full"].update(size=[128, 160]))
    with load(model_folder, backend=backend, precision="fp32") as model:
        image = model(frame)
        assert image.shape == frame.shape
        assert np.abs(image.astype(int) - expected)[:-16, :-16].max() <= 1
        with pytest.raises(UsageError, match=r"got frames of 161x128, but .* for 160x128"):
            model(street(128, 161))


def test_a_model_of_label_maps_takes_those_and_has_no_strength(
    model_folder: Path,
    edit_spec: EditSpec,
    backend: str,
) -> None:
    """Grey of ten times the label, as a graph."""
    graph = parser.parse_model("""<ir_version: 10, opset_import: ["" : 20]>
        paint (uint8[1, h, w] labels) => (uint8[1, h, w, 3] image) {
            floats = Cast<to = 1>(labels)
            axis = Constant<value = int64[1] {3}>()
            repeats = Constant<value = int64[4] {1, 1, 1, 3}>()
            ten = Constant<value = float {10.0}>()
            shades = Mul(floats, ten)
            one = Unsqueeze(shades, axis)
            three = Tile(one, repeats)
            image = Cast<to = 2>(three)
        }""")
    (model_folder / "fp32.onnx").write_bytes(graph.SerializeToString())
    entry = describe_file(model_folder / "fp32.onnx").model_dump()
    full = {"files": {"fp32": entry}, "multiple": 4, "input": "labels", "label_count": 7}
    edit_spec(lambda spec: spec["forms"].update(full=full, maps=None))
    labels = np.random.default_rng(0).integers(0, 7, (30, 41), np.uint8)
    with load(model_folder, backend=backend, size=(32, 44)) as model:
        np.testing.assert_array_equal(model(labels), np.repeat(labels[..., None] * 10, 3, axis=2))
        with pytest.raises(UsageError, match="got label 7, expected 0 to 6"):
            model(labels + np.uint8(1))


def test_a_refused_precision_says_why_it_is_not_there(
    model_folder: Path, edit_spec: EditSpec
) -> None:
    edit_spec(lambda spec: spec["forms"].update(maps=None))
    edit_spec(lambda spec: spec["forms"]["full"]["files"].pop("int8"))
    edit_spec(lambda spec: spec.update(refused={"int8": "1.1 times the time of fp32"}))
    with pytest.raises(ModelError, match=r"refused its int8 file: 1\.1 times the time"):
        load(model_folder, precision="int8", size=SIZE)
