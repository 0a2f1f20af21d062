"""C2PA manifests (c2pa.org) through c2pa-python: signed, and read with a verdict.

Importing this module needs c2pa-python, which is an extra; whoever has none does without manifests.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.provenance.certificates import (
    Credentials,
    find_credentials,
    local_authority,
)
from dayshift.runtime.provenance.mark import SOURCE_TYPE, Mark, software

try:
    import c2pa
except ImportError as error:
    raise missing_dependency("c2pa", error) from error

ASSERTION = "dayshift.translation"
# One signature per file, no thumbnails of what is the picture itself, and nothing from the network.
_SETTINGS = {
    "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}
_UNTRUSTED = "signingCredential.untrusted"

Trust = Literal["trusted", "this machine", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """What a manifest says, and whether it still fits its file.

    Attributes:
        is_intact: Signature and hashes match the file.
        is_translated: It says that a trained model had a part in the picture.
        problems: What does not match, in C2PA's codes.
        signer: Who signed, as the certificate says.
        trust: Whether the certificate is vouched for: by the authorities given, by this machine's
            own authority, or by nobody known.
        translation: What dayshift said of model and settings; empty in other programs' files.
    """

    is_intact: bool
    is_translated: bool
    problems: tuple[str, ...]
    signer: str
    trust: Trust
    translation: dict[str, Any]


class ManifestError(Exception):
    """The library could not sign or read; its own words are the message."""


def sign_bytes(content: bytes, mime: str, mark: Mark) -> bytes:
    """Return an image with a signed manifest.

    Raises:
        ManifestError: It cannot be signed.
        UsageError: The user's certificate cannot be used.
    """
    signed = io.BytesIO()
    sign_stream(io.BytesIO(content), mime, mark, signed)
    return signed.getvalue()


def sign_stream(source: IO[bytes] | io.RawIOBase, mime: str, mark: Mark, target: IO[bytes]) -> None:
    """Write a signed copy; the errors are those of `sign_bytes`."""
    try:
        with _builder(mark) as builder, _signer(find_credentials()) as signer:
            builder.sign(signer, mime, source, target)
    except (c2pa.C2paError, OSError) as error:
        raise ManifestError(str(error)) from error


def read_manifest(path: Path, mime: str, authorities: bytes | None = None) -> Verdict | None:
    """Return the verdict on a file's manifest; None where it has none.

    Args:
        path: The file.
        mime: Its format.
        authorities: PEM certificates to trust, beside this machine's own.

    Raises:
        ManifestError: There is one and it cannot be read at all.
    """
    try:
        found = _read(path, mime, authorities)
        if found is None:
            return None
        # Trust is asked for one authority after the other: the answer names which one it was.
        trust: Trust = "trusted" if authorities and _is_trusted(found) else "unknown"
        own = local_authority()
        if trust == "unknown" and own is not None:
            by_own = _read(path, mime, own)
            trust = "this machine" if by_own is not None and _is_trusted(by_own) else "unknown"
    except c2pa.C2paError as error:
        raise ManifestError(str(error)) from error
    return _verdict(found, trust)


def _verdict(store: dict[str, Any], trust: Trust) -> Verdict:
    manifest = store.get("manifests", {}).get(store.get("active_manifest"))
    if manifest is None:
        raise ManifestError(", ".join(_failures(store)) or "it is damaged")
    assertions = {one["label"]: one["data"] for one in manifest.get("assertions", [])}
    problems = tuple(code for code in _failures(store) if code != _UNTRUSTED)
    signature = manifest.get("signature_info", {})
    # Any program may have written an assertion of that name.
    translation = assertions.get(ASSERTION)
    names = (signature.get("common_name"), signature.get("issuer"))
    return Verdict(
        is_intact=not problems and store.get("validation_state") in ("Valid", "Trusted"),
        is_translated="trainedalgorithmicmedia" in json.dumps(assertions).lower(),
        problems=problems,
        signer=", ".join(str(name) for name in names if name) or "unnamed",
        trust=trust,
        translation=translation if isinstance(translation, dict) else {},
    )


def _read(path: Path, mime: str, authorities: bytes | None) -> dict[str, Any] | None:
    settings: dict[str, Any] = dict(_SETTINGS)
    if authorities is not None:
        settings["trust"] = {"user_anchors": authorities.decode(errors="replace")}
    with c2pa.Context.from_dict(settings) as context, path.open("rb") as file:
        reader = c2pa.Reader.try_create(mime, file, context=context)
        if reader is None:
            return None
        with reader:
            store: dict[str, Any] = json.loads(reader.json())
    return store


def _failures(store: dict[str, Any]) -> list[str]:
    found = store.get("validation_results", {}).get("activeManifest", {}).get("failure", [])
    return sorted({str(one["code"]) for one in found})


def _is_trusted(store: dict[str, Any]) -> bool:
    return _UNTRUSTED not in _failures(store)


def _builder(mark: Mark) -> c2pa.Builder:
    name, _, number = software().partition(" ")
    agent = {"name": name, "version": number or "unknown"}
    created = {
        "action": "c2pa.created",
        "digitalSourceType": SOURCE_TYPE,
        "softwareAgent": agent,
        "description": mark.comment,
    }
    translation = {
        "model": mark.model,
        "model_sha256": mark.model_sha256,
        "settings": dict(mark.settings),
    }
    manifest = {
        "claim_generator_info": [agent],
        "title": f"translated with {mark.model}",
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": ASSERTION, "data": translation},
        ],
    }
    return c2pa.Builder.from_json(manifest, c2pa.Context.from_dict(_SETTINGS))


def _signer(credentials: Credentials) -> c2pa.Signer:
    return c2pa.Signer.from_info(
        c2pa.C2paSignerInfo(
            credentials.algorithm.encode(),
            credentials.chain,
            credentials.private_key,
            None,  # no time stamp: signing must work without a network
        )
    )
