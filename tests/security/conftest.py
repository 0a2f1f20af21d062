"""Models as a stranger would make them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from dayshift.runtime.model_files import describe_file


@pytest.fixture
def stranger(tiny_model: Path, tmp_path: Path) -> Path:
    """A model folder to be made worse."""
    return Path(shutil.copytree(tiny_model, tmp_path / "stranger"))


@pytest.fixture
def edit_graphs(stranger: Path) -> Callable[[Callable[[onnx.ModelProto], object]], Path]:
    """Change every graph of the stranger's folder; `model.json` has the new hashes."""

    def edit(change: Callable[[onnx.ModelProto], object]) -> Path:
        spec = json.loads((stranger / "model.json").read_text())
        for form in spec["forms"].values():
            for precision, file in form["files"].items():
                path = stranger / file["path"]
                model = onnx.load(path)
                change(model)
                path.write_bytes(model.SerializeToString())
                form["files"][precision] = describe_file(path).model_dump()
        (stranger / "model.json").write_text(json.dumps(spec))
        return stranger

    return edit
