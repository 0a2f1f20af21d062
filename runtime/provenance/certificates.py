"""Whom a manifest is signed by: the user's certificate, or one that this machine makes for itself.

The user's is named by two environment variables, as PEM files: `DAYSHIFT_CERTIFICATE` (the chain,
own certificate first) and `DAYSHIFT_PRIVATE_KEY`. Without them a local authority and a certificate
are made once per user. Such a signature shows a change, but not who signed: nobody vouches for it.
"""

from __future__ import annotations

import datetime
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dayshift.runtime.errors import UsageError

CERTIFICATE_VARIABLE = "DAYSHIFT_CERTIFICATE"
PRIVATE_KEY_VARIABLE = "DAYSHIFT_PRIVATE_KEY"
LOCAL_ISSUER = "dayshift on this machine (vouched for by nobody)"

_VALID_DAYS = 3650
_EC_ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Credentials:
    """What signs: PEM texts, and the signature's name in C2PA."""

    chain: bytes
    private_key: bytes
    algorithm: str


def find_credentials() -> Credentials:
    """Return the user's credentials where the environment names them, else this machine's.

    Raises:
        UsageError: Only one variable is set, or what they name cannot be used.
        OSError: The local ones cannot be kept.
    """
    named = [os.environ.get(name) for name in (CERTIFICATE_VARIABLE, PRIVATE_KEY_VARIABLE)]
    if not any(named):
        return _local_credentials()
    if named[0] is None or named[1] is None:
        raise UsageError(
            f"to sign with your own certificate set both {CERTIFICATE_VARIABLE} and "
            f"{PRIVATE_KEY_VARIABLE} to PEM files"
        )
    try:
        chain, key = (Path(name).read_bytes() for name in (named[0], named[1]))
        x509.load_pem_x509_certificate(chain)
        return Credentials(chain, key, _algorithm(key))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"cannot sign with {named[0]} and {named[1]} ({error}): "
            "expected a PEM chain and its PEM key without a password"
        ) from error


def local_authority() -> bytes | None:
    """Return this machine's own authority as PEM; None where none was made yet."""
    try:
        return (_local_folder() / "authority.pem").read_bytes()
    except OSError:
        return None


def _algorithm(key: bytes) -> str:
    private = serialization.load_pem_private_key(key, None)
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _EC_ALGORITHMS:
        return _EC_ALGORITHMS[private.curve.name]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    raise ValueError("the key is none of ECDSA on P-256, P-384 or P-521, Ed25519 and RSA")


def _local_folder() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "dayshift" / "provenance"


def _local_credentials() -> Credentials:
    folder = _local_folder()
    chain, key = folder / "chain.pem", folder / "key.pem"
    if not chain.exists() or _is_expired(chain.read_bytes()):
        _make_local(folder)
    return Credentials(chain.read_bytes(), key.read_bytes(), "es256")


def _is_expired(chain: bytes) -> bool:
    end = x509.load_pem_x509_certificate(chain).not_valid_after_utc
    return end < datetime.datetime.now(datetime.timezone.utc)


def _make_local(folder: Path) -> None:
    """Make authority, chain and key, readable by the user alone, all of them at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent))  # mode 0700
    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    certificate = _certificate(key.public_key(), authority_key)
    files = {
        "authority.pem": _pem(authority),
        "chain.pem": _pem(certificate) + _pem(authority),
        # The authority's key is not kept: it has signed all that it ever will.
        "key.pem": key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    }
    for name, content in files.items():
        path = made / name
        path.touch(0o600)
        path.write_bytes(content)
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
    try:
        made.rename(folder)
    except OSError:  # another process was faster: its credentials are as good
        shutil.rmtree(made, ignore_errors=True)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return (
        _builder("authority", key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _certificate(
    key: ec.EllipticCurvePublicKey, authority: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    # What C2PA's certificate profile asks of one that signs claims.
    purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    return (
        _builder("signer", key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(purpose, critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .sign(authority, hashes.SHA256())
    )


def _builder(subject: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("authority"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # A day back: clocks of devices without a battery start late.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, LOCAL_ISSUER),
            x509.NameAttribute(NameOID.COMMON_NAME, f"dayshift {common_name}"),
        ]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
