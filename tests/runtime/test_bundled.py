from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from dayshift.runtime import bundled
from dayshift.runtime.errors import ModelError
from dayshift.runtime.model_files import load_spec


@pytest.fixture
def shelf(pristine_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package like `dayshift.models`, with a model, a clip and a folder that is neither."""
    root = tmp_path / "shelf_of_models"
    shutil.copytree(pristine_model, root / "tiny")
    (root / "clips").mkdir()
    (root / "clips" / "street.mp4").write_bytes(b"")
    (root / "__pycache__").mkdir()
    (root / "README.md").write_text("models")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(bundled, "_PACKAGE", root.name)
    monkeypatch.delitem(sys.modules, root.name, raising=False)
    return root


def test_bundled_models_are_the_folders_with_a_spec(shelf: Path) -> None:
    assert bundled.bundled_models() == ["tiny"]
    assert bundled.model_folder("tiny") == shelf / "tiny"
    assert bundled.bundled_clip() == shelf / "clips" / "street.mp4"


def test_a_bundled_name_wins_over_a_folder_of_that_name(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert bundled.model_folder("tiny") == shelf / "tiny"
    assert bundled.model_folder("./tiny") == Path("tiny")
    assert bundled.model_folder(Path("tiny")) == Path("tiny")


def test_an_unknown_name_lists_the_bundled_ones(shelf: Path) -> None:
    with pytest.raises(ModelError, match=r"no model 'large': expected a bundled model \(tiny\) or"):
        bundled.model_folder("large")


def test_an_installation_without_models_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled, "_PACKAGE", "no_such_package_of_models")
    assert bundled.bundled_models() == []
    assert bundled.model_folder(tmp_path) == tmp_path
    with pytest.raises(ModelError, match="reinstall dayshift"):
        bundled.bundled_clip()


def test_every_model_of_this_installation_is_valid() -> None:
    for name in bundled.bundled_models():
        assert load_spec(bundled.model_folder(name)).name == name
