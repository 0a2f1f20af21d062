"""What an update consists of, signed with Ed25519.

`update.json` lists every file of the model folder with its hash; `update.sig` holds the signature
of its bytes, raw, as `openssl pkeyutl -verify -rawin` reads it. Both lie in the model folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import UpdateError, UsageError
from dayshift.runtime.spec import GraphFile, PlainName

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
except ImportError as error:
    raise missing_dependency("cryptography", error) from error

MANIFEST_NAME, SIGNATURE_NAME = "update.json", "update.sig"
MOST_MANIFEST_BYTES = 1 << 20
SIGNATURE_BYTES = 64

Version = Annotated[int, Field(ge=1, lt=10**18)]


class Reference(BaseModel):
    """A frame, and what the model made of it where it was signed.

    `image` is what a device must come near to: by `min_psnr_db` at least.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    frame: PlainName
    image: PlainName
    min_psnr_db: Annotated[float, Field(gt=0, le=100)]


class Manifest(BaseModel):
    """The content of `update.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["dayshift-model-update"] = "dayshift-model-update"
    format_version: Literal[1] = 1
    model: PlainName
    version: Version
    files: Annotated[list[GraphFile], Field(min_length=1, max_length=64)]
    reference: Reference | None = None


def parse_manifest(content: bytes, signature: bytes, keys: Sequence[Ed25519PublicKey]) -> Manifest:
    """Return what a manifest says, after its signature was found to be right.

    Raises:
        UpdateError: None of the keys made the signature, or it says what this dayshift cannot read.
    """
    if not any(_is_signed(content, signature, key) for key in keys):
        raise UpdateError(
            f"the signature of {MANIFEST_NAME} was not made with the key given: the update was "
            "changed on its way, or is someone else's; nothing was installed"
        )
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(key) for key in first["loc"]) or "the file"
        raise UpdateError(
            f"{MANIFEST_NAME} is signed, but {field}: {first['msg']}: it was made by another "
            "version of dayshift; update that here first"
        ) from error


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key, PEM.

    Raises:
        UsageError: It cannot be read, or is no Ed25519 key.
    """
    expected = "expected the PEM file of openssl pkey -in KEY -pubout"
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read the key {path} ({error.strerror}): {expected}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path} is no public key: {expected}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path} is not an Ed25519 key: {expected}")
    return key


def read_private_key(path: Path, passphrase: str | None) -> Ed25519PrivateKey:
    """Read a private key, PEM, perhaps protected by a passphrase.

    Raises:
        UsageError: It cannot be read, is no Ed25519 key, or the passphrase is wrong or missing.
    """
    expected = "expected the PEM file of openssl genpkey -algorithm ed25519"
    secret = passphrase.encode() if passphrase else None
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), secret)
    except OSError as error:
        raise UsageError(f"cannot read the key {path} ({error.strerror}): {expected}") from error
    except TypeError as error:  # the passphrase is missing, or there is none to give
        raise UsageError(f"{path}: {error}; it is taken from DAYSHIFT_KEY_PASSPHRASE") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"{path} is no private key, or its passphrase is another: {expected}"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is not an Ed25519 key: {expected}")
    return key


def _is_signed(content: bytes, signature: bytes, key: Ed25519PublicKey) -> bool:
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True
