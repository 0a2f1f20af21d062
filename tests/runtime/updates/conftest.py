"""A signed tiny model, and the folder that a device keeps its versions in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dayshift.runtime.updates.sign import sign_model

Publish = Callable[..., Path]


@pytest.fixture(scope="session")
def signing_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def key_files(tmp_path: Path, signing_key: Ed25519PrivateKey) -> tuple[Path, Path]:
    """The private and the public key as PEM files, as openssl writes them."""
    private, public = tmp_path / "update.key", tmp_path / "update.pub"
    private.write_bytes(
        signing_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        signing_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.fixture
def publish(tmp_path: Path, tiny_model: Path, signing_key: Ed25519PrivateKey) -> Publish:
    """Sign the tiny model as some version, its summary telling which; return its folder."""

    def make(version: int, *, name: str = "tiny", frame: Path | None = None) -> Path:
        folder = Path(shutil.copytree(tiny_model, tmp_path / "published" / f"{name}-{version}"))
        spec = json.loads((folder / "model.json").read_text())
        spec |= {"name": name, "summary": f"version {version}"}
        (folder / "model.json").write_text(json.dumps(spec))
        sign_model(folder, signing_key, version, frame=frame, min_psnr_db=30)
        return folder

    return make
