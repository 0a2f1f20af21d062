from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dayshift.runtime.errors import ModelError
from dayshift.runtime.model_files import describe_file, load_spec, read_graph, save_spec
from dayshift.runtime.spec import ModelSpec

EditSpec = Callable[[Callable[[dict[str, Any]], object]], None]


def complaint(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_spec(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder / "model.json") in message
    return message


def test_a_model_folder_says_what_it_holds(model_folder: Path) -> None:
    spec = load_spec(model_folder)
    assert spec.name == "tiny"
    assert spec.domains.target == "night"
    assert spec.forms.full.multiple == 4
    assert spec.forms.maps is not None
    assert spec.forms.maps.files["int8"].path == "maps.int8.onnx"
    assert spec.quality["int8"].psnr_db == 41.5


def test_a_saved_spec_is_read_back_the_same(model_folder: Path, tmp_path: Path) -> None:
    spec = load_spec(model_folder)
    other = tmp_path / "other"
    other.mkdir()
    assert save_spec(other, spec) == other / "model.json"
    assert load_spec(other) == spec
    assert [file.name for file in other.iterdir()] == ["model.json"]


def test_identical_images_have_no_psnr_in_json(model_folder: Path, edit_spec: EditSpec) -> None:
    edit_spec(lambda spec: spec["quality"]["int8"].update(psnr_db=None, flicker=0.1))
    quality = load_spec(model_folder).quality["int8"]
    assert quality.psnr_db is None
    assert quality.model_dump()["flicker"] == 0.1


def test_a_spec_cannot_be_changed(model_folder: Path) -> None:
    spec = load_spec(model_folder)
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"


def test_a_missing_folder_says_what_was_expected(tmp_path: Path) -> None:
    message = complaint(tmp_path / "nothing")
    assert "No such file" in message
    assert "expected a model folder with a model.json" in message


def test_broken_json_names_line_and_column(model_folder: Path) -> None:
    path = model_folder / "model.json"
    lines = path.read_text().splitlines()
    lines[3] = lines[3].replace(":", "")
    path.write_text("\n".join(lines))
    assert "line 4 column" in complaint(model_folder)


def test_an_empty_file_and_a_list_are_refused(model_folder: Path) -> None:
    (model_folder / "model.json").write_text("")
    assert "Invalid JSON" in complaint(model_folder)
    (model_folder / "model.json").write_text("[]")
    complaint(model_folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.update(format_version=2), "format_version: Input should be 1, got 2"),
        (lambda s: s.pop("training"), "training: Field required"),
        (lambda s: s.update(colour="red"), "colour: Extra inputs are not permitted, got 'red'"),
        (lambda s: s["forms"].pop("full"), "forms.full: Field required"),
        (lambda s: s["forms"]["full"].update(files={}), "forms.full.files"),
        (
            lambda s: s["forms"]["maps"]["files"].update(fp8=s["forms"]["maps"]["files"]["fp16"]),
            "forms.maps.files.fp8",
        ),
        (lambda s: s["forms"]["maps"].update(short_side=None), "forms.maps.short_side"),
        (
            lambda s: s["forms"]["maps"].update(multiple=5),
            "forms.maps: Value error, expected short_side to be a multiple of 5, got 32",
        ),
        (
            lambda s: s["controls"]["strength"].update(minimum=0.5, default=0.2),
            "controls.strength: Value error, expected minimum <= default <= maximum",
        ),
        (lambda s: s["controls"]["strength"].update(maximum=1.5), "controls.strength.maximum"),
        (lambda s: s["quality"]["int8"].update(n_frames="many"), "quality.int8.n_frames"),
    ],
)
def test_a_wrong_field_is_named(
    model_folder: Path,
    edit_spec: EditSpec,
    change: Callable[[dict[str, Any]], object],
    message: str,
) -> None:
    edit_spec(change)
    assert message in complaint(model_folder)


def test_only_the_first_of_several_faults_is_told(model_folder: Path, edit_spec: EditSpec) -> None:
    edit_spec(lambda spec: spec.update(format_version=2, name="", summary=3))
    assert complaint(model_folder).endswith("(and 2 more)")


@pytest.mark.parametrize(
    "path",
    ["../evil.onnx", "/etc/passwd", "a/b.onnx", "..", ".hidden", "a\\b.onnx", "", "a\n.onnx"],
)
def test_a_file_name_cannot_leave_the_folder(
    model_folder: Path, edit_spec: EditSpec, path: str
) -> None:
    edit_spec(lambda spec: spec["forms"]["full"]["files"]["fp32"].update(path=path))
    assert "forms.full.files.fp32.path" in complaint(model_folder)


def test_a_preview_cannot_leave_the_folder_either(model_folder: Path, edit_spec: EditSpec) -> None:
    edit_spec(lambda spec: spec.update(preview="../secret.jpg"))
    assert "preview" in complaint(model_folder)


def test_a_described_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "fp32.onnx"
    path.write_bytes(b"graph")
    file = describe_file(path)
    assert (file.path, file.bytes) == ("fp32.onnx", 5)
    assert read_graph(tmp_path, file) == b"graph"


def test_one_flipped_byte_is_found(model_folder: Path) -> None:
    file = load_spec(model_folder).forms.full.files["fp32"]
    path = model_folder / file.path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_graph(model_folder, file)
    message = str(caught.value)
    assert str(path) in message
    assert f"expected {file.sha256}" in message
    assert describe_file(path).sha256 in message
    assert message.endswith("re-download or re-export the model folder")


def test_a_truncated_file_tells_both_sizes(model_folder: Path) -> None:
    file = load_spec(model_folder).forms.full.files["fp32"]
    path = model_folder / file.path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match=f"has 100 bytes, expected {file.bytes}: re-download"):
        read_graph(model_folder, file)


def test_a_missing_file_is_named(model_folder: Path) -> None:
    file = load_spec(model_folder).forms.full.files["fp32"]
    (model_folder / file.path).unlink()
    with pytest.raises(ModelError, match=r"cannot read .*fp32\.onnx \(No such file"):
        read_graph(model_folder, file)


def test_a_form_that_the_model_lacks_is_refused(model_folder: Path, edit_spec: EditSpec) -> None:
    edit_spec(lambda spec: spec["forms"].pop("maps"))
    spec = load_spec(model_folder)
    with pytest.raises(ModelError, match="model tiny has no form 'maps'"):
        spec.form("maps")


def test_a_spec_survives_json(model_folder: Path) -> None:
    spec = load_spec(model_folder)
    assert ModelSpec.model_validate(json.loads(spec.model_dump_json())) == spec


def test_a_fixed_size_and_labels_belong_together_with_what_they_need(
    model_folder: Path, edit_spec: EditSpec
) -> None:
    edit_spec(lambda spec: spec["forms"]["full"].update(size=[130, 160]))
    assert "expected size without short_side and in multiples of 4" in complaint(model_folder)
    edit_spec(lambda spec: spec["forms"]["full"].update(size=[128, 160], input="labels"))
    assert "expected label_count with input 'labels' alone" in complaint(model_folder)
    edit_spec(lambda spec: spec["forms"]["full"].update(label_count=19))
    assert load_spec(model_folder).forms.full.size == (128, 160)


def test_a_refused_precision_keeps_its_reason(model_folder: Path, edit_spec: EditSpec) -> None:
    edit_spec(lambda spec: spec.update(refused={"int8": "not faster than fp32 here"}))
    assert load_spec(model_folder).refused == {"int8": "not faster than fp32 here"}
