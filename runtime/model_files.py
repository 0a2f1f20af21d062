"""The files of a model folder: `model.json` and the graphs that it names, read and verified.

Nothing is opened by an engine here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from dayshift.runtime.errors import ModelError
from dayshift.runtime.plain_files import read_plain
from dayshift.runtime.spec import GraphFile, ModelSpec

SPEC_NAME = "model.json"
_MOST_SPEC_BYTES = 1 << 20


def load_spec(folder: Path) -> ModelSpec:
    """Read and validate `folder/model.json`.

    Raises:
        ModelError: The folder or the file is missing, is not JSON, or a field is wrong.
    """
    path = folder / SPEC_NAME
    try:
        text = read_plain(path, _MOST_SPEC_BYTES)
    except OSError as error:
        raise ModelError(
            f"cannot read {path} ({error.strerror}): expected a model folder with a {SPEC_NAME}"
        ) from error
    try:
        return ModelSpec.model_validate_json(text)
    except ValidationError as error:
        raise ModelError(f"{path}: {_first_complaint(error)}") from error


def save_spec(folder: Path, spec: ModelSpec) -> Path:
    """Write `spec` to `folder/model.json` in one step, so that no reader sees half of it."""
    path = folder / SPEC_NAME
    part = folder / f".{SPEC_NAME}.part"
    part.write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return part.replace(path)


def describe_file(path: Path) -> GraphFile:
    """Return the entry for a graph file as it is now: name, hash and size."""
    content = path.read_bytes()
    return GraphFile(path=path.name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))


def read_graph(folder: Path, file: GraphFile) -> bytes:
    """Read a graph file and check it against its entry.

    The caller hands these very bytes to an engine: what was checked is what runs.

    Raises:
        ModelError: The file is missing, or its size or hash is not what `model.json` says.
    """
    path = folder / file.path
    remedy = "re-download or re-export the model folder"
    try:
        content = read_plain(path, file.bytes)
    except OSError as error:
        raise ModelError(f"cannot read {path} ({error.strerror}): {remedy}") from error
    if len(content) != file.bytes:
        raise ModelError(f"{path} has {len(content)} bytes, expected {file.bytes}: {remedy}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != file.sha256:
        raise ModelError(f"{path} has sha256 {digest}, expected {file.sha256}: {remedy}")
    return content


def _first_complaint(error: ValidationError) -> str:
    """Put the first of pydantic's complaints in one line: field, reason, what was got."""
    complaints = error.errors(include_url=False)
    first = complaints[0]
    # A key is whatever the file has, line breaks and all.
    keys = (" ".join(str(key).split())[:80] for key in first["loc"])
    field = ".".join(keys) or "the file"
    reason = " ".join(first["msg"].split())
    # A syntax error's input is the whole file; its message has the line and column.
    shown = "" if first["type"] in ("json_invalid", "missing") else f", got {first['input']!r:.80}"
    more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
    return f"{field}: {reason}{shown}{more}"
