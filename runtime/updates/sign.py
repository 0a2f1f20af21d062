"""Signing a model folder, where it was made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dayshift.runtime.model_files import SPEC_NAME, describe_file, load_spec, read_graph
from dayshift.runtime.sinks.base import write_file
from dayshift.runtime.sinks.images import encode_image
from dayshift.runtime.spec import ModelSpec
from dayshift.runtime.updates.manifest import MANIFEST_NAME, SIGNATURE_NAME, Manifest, Reference
from dayshift.runtime.updates.trial import translate_frame

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_FRAME_NAME, _IMAGE_NAME = "reference.frame.png", "reference.image.png"


def sign_model(
    folder: Path,
    key: Ed25519PrivateKey,
    version: int,
    *,
    frame: Path | None = None,
    min_psnr_db: float = 30.0,
) -> Manifest:
    """Write `update.json` and `update.sig` into a model folder; it is then an update.

    Args:
        folder: A model folder.
        key: Ours.
        version: Devices only go up.
        frame: A picture to try the model with on the device; what it makes of it here is kept.
        min_psnr_db: How near the device must come to that.

    Raises:
        ModelError: A file is missing or not what `model.json` says.
        SinkError: The folder cannot be written to.
    """
    spec = load_spec(folder)
    for form in (spec.forms.full, spec.forms.maps):
        for file in form.files.values() if form else ():
            read_graph(folder, file)
    reference = None if frame is None else _keep_reference(folder, frame, min_psnr_db)
    manifest = Manifest(
        model=spec.name,
        version=version,
        files=[describe_file(folder / name) for name in sorted(_names(spec, reference))],
        reference=reference,
    )
    content = (manifest.model_dump_json(indent=2) + "\n").encode()
    # The signature last: killed in between, the folder is one that no device takes.
    write_file(folder / MANIFEST_NAME, content)
    write_file(folder / SIGNATURE_NAME, key.sign(content))
    return manifest


def _names(spec: ModelSpec, reference: Reference | None) -> Iterator[str]:
    yield SPEC_NAME
    for form in (spec.forms.full, spec.forms.maps):
        yield from (file.path for file in (form.files.values() if form else ()))
    if spec.preview is not None:
        yield spec.preview
    if reference is not None:
        yield from (reference.frame, reference.image)


def _keep_reference(folder: Path, frame: Path, min_psnr_db: float) -> Reference:
    from dayshift.runtime.sources import open_source

    with open_source(frame) as source:
        first = source.read()
    assert first is not None
    # As PNG, so that the device gets the very frame.
    write_file(folder / _FRAME_NAME, encode_image(first.pixels, Path(_FRAME_NAME)))
    image, _ = translate_frame(folder, folder / _FRAME_NAME, "auto")
    write_file(folder / _IMAGE_NAME, encode_image(image, Path(_IMAGE_NAME)))
    return Reference(frame=_FRAME_NAME, image=_IMAGE_NAME, min_psnr_db=min_psnr_db)
