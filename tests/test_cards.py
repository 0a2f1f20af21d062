"""Model cards: what stands in `model.json`, as a person reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dayshift.card import model_card, model_page
from dayshift.runtime.bundled import bundled_clip, bundled_models, model_folder
from dayshift.runtime.model_files import load_spec
from dayshift.runtime.spec import Card, FullForm, ModelSpec

Dayshift = Callable[..., Any]

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "benchmarks/results/epyc-2core.json"


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> ModelSpec:
    return load_spec(tiny_model)


def changed(spec: ModelSpec, **update: Any) -> ModelSpec:
    return spec.model_copy(update=update)


def test_the_page_of_the_bundled_models_is_the_one_that_is_made(
    dayshift_command: Dayshift,
) -> None:
    done = dayshift_command("models", "--card")
    assert done.code == 0, done.err
    # Else: make cards
    assert done.out == (ROOT / "models/README.md").read_text(encoding="utf-8")


def test_every_bundled_model_says_what_it_is_for_and_where_it_is_weak() -> None:
    for name in bundled_models():
        card = load_spec(model_folder(name)).card
        assert card is not None, name
        assert all((card.uses, card.misuse, card.limits, card.data)), name


def test_a_card_has_what_was_measured_and_what_was_said(tiny: ModelSpec) -> None:
    card = Card(
        uses="trying things.", misuse="anything else.", limits="It is tiny.", measured="1 | 2 fps."
    )
    told = model_card(changed(tiny, card=card, refused={"fp16": "not faster"}), folder="here/")
    for line in (
        "# tiny",
        "**For** trying things.",
        "**Not for** anything else.",
        "**Limits.** It is tiny.",
        "**Measured.** 1 | 2 fps.",
        "No fp16: not faster.",
        "| translates | day to night |",
        "| method | written by hand |",
        f"| network | `{tiny.network.name}`, {tiny.network.parameters:,} parameters |",
    ):
        assert line in told.splitlines()
    (int8,) = (line for line in told.splitlines() if line.startswith("| int8"))
    assert "| 41.5 |" in int8
    assert "maps.int8.onnx" in int8


def test_a_card_that_nobody_wrote_says_so(tiny: ModelSpec) -> None:
    told = model_card(tiny)
    assert "**For**" not in told
    assert "**Limits.** Nobody has written them down" in told
    assert "**Not for** evidence" in told


def test_a_line_break_or_a_bar_does_not_leave_its_cell(tiny: ModelSpec) -> None:
    training = tiny.training.model_copy(update={"licence": "mine\n| alone"})
    assert r"| licences | mine \| alone |" in model_card(changed(tiny, training=training))


def test_a_model_that_paints_labels_takes_labels_and_has_no_strength(tiny: ModelSpec) -> None:
    files = tiny.forms.full.files
    full = FullForm(files=files, input="labels", label_count=35, size=(128, 256))
    forms = tiny.forms.model_copy(update={"full": full, "maps": None})
    told = model_card(changed(tiny, forms=forms))
    assert "| takes | maps of 35 labels of 256x128; smaller ones are padded |" in told
    assert "strength" not in told


def test_several_models_stand_one_after_the_other(tiny: ModelSpec, tmp_path: Path) -> None:
    page = model_page({"a": tiny, "b": changed(tiny, preview="p.jpg")}, tmp_path / "none.md")
    assert page.count("\n## tiny\n") == 2
    assert "(b/p.jpg)" in page
    assert model_page({}, bundled_clip().with_name("README.md")).endswith("(clips/LICENSE).\n")


def test_figures_of_a_benchmark_join_the_card(dayshift_command: Dayshift) -> None:
    told = dayshift_command("info", "day2night", "--card", "--bench", REPORT).out
    assert told.startswith("# day2night\n")
    assert "**How fast.** AMD EPYC" in told
    assert "| day2night | openvino | int8 | 1280x720 |" in told
    assert "resnet_9blocks" not in told


def test_what_is_no_report_of_the_model_is_refused_in_a_line(
    dayshift_command: Dayshift, tmp_path: Path, tiny_model: Path
) -> None:
    def complaint(report: Path, model: object = "day2night") -> str:
        done = dayshift_command("info", model, "--card", "--bench", report)
        assert done.code == 2
        return str(done.error)

    other = tmp_path / "other.json"
    assert "cannot read" in complaint(other)
    other.write_text(json.dumps([1]))
    assert "is not a report of dayshift bench --json" in complaint(other)
    assert "has no row of tiny: run dayshift bench" in complaint(REPORT, tiny_model)
    done = dayshift_command("info", "day2night", "--bench", REPORT)
    assert (done.code, "--bench is for --card" in done.error) == (2, True)


def test_a_strangers_card_does_not_steer_the_terminal(
    dayshift_command: Dayshift, tiny_model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "strange"))
    content = json.loads((folder / "model.json").read_text())
    content["card"] = {"limits": "none\x1b[2J"}
    (folder / "model.json").write_text(json.dumps(content))
    assert "\x1b" not in dayshift_command("info", folder, "--card").out


def test_a_card_that_is_not_there_is_missed_before_an_export_begins(
    dayshift_command: Dayshift, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    words = ("export", "none.safetensors", "--out", tmp_path / "out", "--frames", tmp_path)
    done = dayshift_command(*words, "--card", tmp_path / "card.toml")
    assert (done.code, "card.toml: expected a TOML file" in done.error) == (2, True)
