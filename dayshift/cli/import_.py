"""`dayshift import`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dayshift.cli.options import JsonTo

if TYPE_CHECKING:
    from pydantic import JsonValue

    from dayshift.train.authors.convert import Wish
    from dayshift.train.checkpoint import Checkpoint


def import_(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="*_net_G*.pth of pytorch-CycleGAN-and-pix2pix or CUT, *_net_G.pth of SPADE, "
            "gen_*.pt of UNIT; or a model such as day2night, to train on from it.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The checkpoint to write, .safetensors.")
    ],
    method: Annotated[
        str | None,
        typer.Option("--method", metavar="M", help="pix2pix, cyclegan, cut, unit, spade."),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option("--network", metavar="N", help="Such as resnet_9blocks; told by its keys."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting: padding=replicate."),
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(
            "--norm",
            metavar="running|batch",
            help="What batch norm uses: stored statistics, or the image's own as in the authors' "
            "test scripts.",
        ),
    ] = None,
    dropout: Annotated[
        bool, typer.Option("--dropout", help="Record that dropout draws at test time too.")
    ] = False,
    json_to: JsonTo = None,
) -> None:
    """Turn a checkpoint of the authors' repositories, or a model, into a checkpoint of dayshift.

    Nothing in the file is run: a pickle that wants more than tensors is refused.
    """
    from dayshift.cli.extras import needs

    with needs("torch", extra="train"):
        from dayshift.train.authors.convert import Wish, import_checkpoint
        from dayshift.train.checkpoint import save_checkpoint
    from dayshift.cli.output import check_json_target, emit, note

    check_json_target(json_to)
    wish = Wish(method, network, _read_settings(settings or []), _read_norm(norm), dropout)
    assumed: list[str] = []
    if _is_model(checkpoint):
        imported = _of_model(str(checkpoint), wish)
    else:
        imported, assumed = import_checkpoint(checkpoint, wish)
    save_checkpoint(out, imported)
    for line in assumed:
        note(f"assumed: {line}")
    record = imported.record()
    result: dict[str, Any] = {
        "checkpoint": str(out),
        "method": imported.method,
        "network": record.name,
        "settings": record.settings,
        "directions": list(imported.networks),
        "norm": record.norm,
        "dropout": record.dropout,
        "assumed": assumed,
    }
    rows = [(key, _shown(value)) for key, value in result.items() if key != "assumed"]
    emit(result, rows, title=f"imported {checkpoint.name}", json_to=json_to)


def _is_model(path: Path) -> bool:
    from dayshift.runtime.bundled import bundled_models
    from dayshift.runtime.model_files import SPEC_NAME

    is_bundled = str(path) in bundled_models() and not path.is_file()
    return is_bundled or (path / SPEC_NAME).is_file()


def _of_model(name: str, wish: Wish) -> Checkpoint:
    """Read the weights of a model folder back.

    Raises:
        UsageError: It is said how to read them: model.json says that.
    """
    from dayshift.cli.extras import needs
    from dayshift.runtime.bundled import model_folder
    from dayshift.runtime.errors import UsageError

    with needs("torch and onnx", extra="export"):
        from dayshift.export.read_back import read_back

    if wish.method or wish.network or wish.norm or wish.dropout:
        raise UsageError(
            f"{name} is a model, whose model.json says method, network and norm: leave --method, "
            "--network, --norm and --dropout out"
        )
    return read_back(model_folder(name), wish.settings)


def _read_settings(words: list[str]) -> dict[str, JsonValue]:
    """Read `key=value` pairs; values are JSON where they are, and words otherwise.

    Raises:
        UsageError: A word has no `=`.
    """
    from dayshift.runtime.errors import UsageError

    settings: dict[str, JsonValue] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise UsageError(f"got --set {word}, expected key=value, such as width=64")
        try:
            settings[key] = json.loads(value)
        except json.JSONDecodeError:
            settings[key] = value
    return settings


def _read_norm(text: str | None) -> Literal["running", "batch"] | None:
    from dayshift.runtime.errors import UsageError

    if text is None or text == "running" or text == "batch":
        return text  # type: ignore[return-value]  # mypy does not narrow a str to literals
    raise UsageError(f"got --norm {text}, expected running or batch")


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}={v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
