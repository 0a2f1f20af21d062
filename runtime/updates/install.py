"""An update, from its signature to its use.

Nothing is believed before the signature over the list of hashes was found right, nothing is written
that is not on that list, and nothing is put to use before it translated a frame on this machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dayshift.runtime.errors import DayshiftError, UpdateError
from dayshift.runtime.model_files import load_spec
from dayshift.runtime.plain_files import read_plain
from dayshift.runtime.spec import GraphFile
from dayshift.runtime.updates.manifest import (
    MANIFEST_NAME,
    MOST_MANIFEST_BYTES,
    SIGNATURE_BYTES,
    SIGNATURE_NAME,
    Manifest,
    Reference,
    parse_manifest,
)
from dayshift.runtime.updates.origin import Origin
from dayshift.runtime.updates.trial import Trial, try_model
from dayshift.runtime.updates.versions import Versions
from dayshift.runtime.whole_folder import whole_folder

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TryModel = Callable[[Path, Reference | None], Trial]


@dataclass(frozen=True)
class Outcome:
    """What came of an update, a check or a rollback.

    Attributes:
        model: Its name.
        before: The version that was in use; None for the first.
        version: The one that is now.
        trial: How it did here; None where it was not tried.
        reason: In one line.
    """

    model: str
    before: int | None
    version: int
    trial: Trial | None
    reason: str


def install(
    versions: Versions,
    origin: Origin,
    keys: Sequence[Ed25519PublicKey],
    *,
    allow_older: bool = False,
    trial: TryModel = try_model,
) -> Outcome:
    """Put what the origin has to use, where it is genuine, newer, and works here.

    Raises:
        UpdateError: It is not; what was in use still is.
        GateError: Its image is too far from the reference.
        SinkError: The disk is full.
    """
    content = origin.read(MANIFEST_NAME, MOST_MANIFEST_BYTES)
    signature = origin.read(SIGNATURE_NAME, SIGNATURE_BYTES)
    manifest = parse_manifest(content, signature, keys)
    with versions.lock():
        before = versions.current
        _check_model(versions, manifest)
        if manifest.version == before and _installed(versions, before) == content:
            return Outcome(manifest.model, before, before, None, "it is up to date")
        _check_version(versions, manifest, allow_older=allow_older)
        with whole_folder(versions.path(manifest.version)) as part:
            for file in manifest.files:
                (part / file.path).write_bytes(_fetch(origin, file))
            (part / MANIFEST_NAME).write_bytes(content)
            (part / SIGNATURE_NAME).write_bytes(signature)
            if load_spec(part).name != manifest.model:
                raise UpdateError(f"the model in the update is not {manifest.model}: sign it anew")
            went = trial(part, manifest.reference)
        versions.switch(manifest.version)
        versions.prune()
        return Outcome(manifest.model, before, manifest.version, went, "it works here, and is used")


def go_back(versions: Versions) -> Outcome:
    """Put the version that was in use before to use again.

    Raises:
        UpdateError: There is none.
    """
    with versions.lock():
        before = versions.current
        version = versions.rollback()
        name = load_spec(versions.path(version)).name
        return Outcome(name, before, version, None, "rolled back")


def check(versions: Versions, *, trial: TryModel = try_model) -> Outcome:
    """Try what is in use; where it does not work any more, go back to the last that does.

    Raises:
        UpdateError: No version that is there works.
    """
    with versions.lock():
        before, problems = versions.current, []
        if before is None:
            raise UpdateError(f"{versions.folder} has no version in use: install one with --from")
        others = [one for one in reversed(versions.installed()) if one < before]
        for version in (before, *others):
            folder = versions.path(version)
            try:
                manifest = Manifest.model_validate_json(_read(folder, MANIFEST_NAME))
                for file in manifest.files:
                    _verified(file, _read(folder, file.path, file.bytes))
                went = trial(folder, manifest.reference)
            except (DayshiftError, ValueError, OSError) as error:
                problems.append(f"{version}: {' '.join(str(error).split())[:200]}")
                continue
            if version != before:
                versions.switch(version)
            reason = "; ".join([*problems, "it works here"])
            return Outcome(manifest.model, before, version, went, reason)
    raise UpdateError(f"no version in {versions.folder} works: {'; '.join(problems)}")


def _check_model(versions: Versions, manifest: Manifest) -> None:
    """Refuse another model, which may well be signed with the same key."""
    if versions.current is None:
        return
    try:
        name = load_spec(versions.path(versions.current)).name
    except DayshiftError:
        return  # what is in use is broken: an update is what mends it
    if name != manifest.model:
        raise UpdateError(f"the update is of model {manifest.model}, expected {name}")


def _check_version(versions: Versions, manifest: Manifest, *, allow_older: bool) -> None:
    if manifest.version <= versions.floor and not allow_older:
        raise UpdateError(
            f"the update has version {manifest.version}, expected one above {versions.floor}: an "
            "old one may have faults that were mended since; --allow-older takes it nevertheless"
        )


def _installed(versions: Versions, version: int) -> bytes:
    try:
        return _read(versions.path(version), MANIFEST_NAME)
    except OSError:
        return b""


def _fetch(origin: Origin, file: GraphFile) -> bytes:
    return _verified(file, origin.read(file.path, file.bytes))


def _verified(file: GraphFile, content: bytes) -> bytes:
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise UpdateError(
            f"{file.path} is not the one that was signed: it was changed or cut off on its way, "
            "or here; fetch it again"
        )
    return content


def _read(folder: Path, name: str, most: int = MOST_MANIFEST_BYTES) -> bytes:
    return read_plain(folder / name, most)
