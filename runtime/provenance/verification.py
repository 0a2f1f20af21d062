"""Is this file marked as made by a model, and is it still what was marked?"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from dayshift.runtime.errors import SourceError
from dayshift.runtime.provenance.marking import MIME, can_sign
from dayshift.runtime.provenance.tags import Format, Tags, find_format

Status = Literal["authentic", "marked", "tampered", "unmarked"]


@dataclass(frozen=True)
class Verification:
    """What could be found out about a file.

    Attributes:
        file: Its path.
        status: `authentic`: signed as made with a model, and unchanged since. `marked`: its tags
            say so; whether it was changed cannot be told. `tampered`: it was changed after it was
            signed, or the signature was taken out. `unmarked`: it does not say so.
        detail: The same in a sentence.
        signer: Who signed, as the certificate says.
        trust: `trusted`, `this machine` or `unknown`: who vouches for the signer.
        model: The model's name.
        model_sha256: Of the graph that ran.
        settings: How it ran.
        problems: What does not match, in C2PA's codes.
    """

    file: str
    status: Status
    detail: str
    signer: str | None = None
    trust: str | None = None
    model: str | None = None
    model_sha256: str | None = None
    settings: str | None = None
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data for `json.dumps`."""
        return asdict(self)


def verify_file(path: Path, *, authorities: bytes | None = None) -> Verification:
    """Read the marks of an image or video and check them against its content.

    Args:
        path: PNG, JPEG or MP4.
        authorities: PEM certificates to trust, beside this machine's own.

    Raises:
        SourceError: It cannot be read, or is of another kind.
    """
    try:
        kind = find_format(path)
        tags = Tags(path)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SourceError(f"cannot read {path} ({reason}): name an image or a video") from error
    if kind is None:
        raise SourceError(f"{path} is neither PNG, JPEG nor MP4: only these carry marks")
    if tags.has_manifest and can_sign():
        return _by_manifest(path, kind, tags, authorities)
    return _by_tags(path, tags)


def _by_manifest(path: Path, kind: Format, tags: Tags, authorities: bytes | None) -> Verification:
    from dayshift.runtime.provenance.manifest import ManifestError, read_manifest

    try:
        verdict = read_manifest(path, MIME[kind], authorities)
    except ManifestError as error:
        return _tagged(path, tags, "tampered", f"its manifest cannot be read ({error})")
    if verdict is None:
        return _tagged(path, tags, "tampered", "its manifest is damaged")
    status: Status = "authentic"
    detail = f"signed as AI-translated and unchanged since; the signer is {_TRUST[verdict.trust]}"
    if not verdict.is_intact:
        status, detail = "tampered", "it was changed after it was signed"
    elif not verdict.is_translated:
        status, detail = "unmarked", "signed and unchanged, but not as made with a trained model"
    said = verdict.translation.get("settings")
    settings = said if isinstance(said, dict) else {}
    return Verification(
        file=str(path),
        status=status,
        detail=detail,
        signer=verdict.signer,
        trust=verdict.trust,
        model=_text(verdict.translation.get("model")),
        model_sha256=_text(verdict.translation.get("model_sha256")),
        settings="; ".join(f"{key} {value}" for key, value in sorted(settings.items())) or None,
        problems=list(verdict.problems),
    )


def _by_tags(path: Path, tags: Tags) -> Verification:
    if tags.has_manifest:
        status: Status = "marked" if tags.is_marked else "unmarked"
        detail = (
            "it has a C2PA manifest that was not checked: pip install 'dayshift[provenance]'; "
            f"its tags {'say' if tags.is_marked else 'do not say'} that it is AI-translated"
        )
        return _tagged(path, tags, status, detail)
    if tags.says_signed:
        return _tagged(path, tags, "tampered", "its tags say that it was signed, and it is not")
    if tags.is_marked:
        detail = "its tags say that it is AI-translated; unsigned, so a change would not show"
        return _tagged(path, tags, "marked", detail)
    return _tagged(path, tags, "unmarked", "nothing in it says that it is AI-translated")


def _tagged(path: Path, tags: Tags, status: Status, detail: str) -> Verification:
    return Verification(
        file=str(path),
        status=status,
        detail=detail,
        model=tags.values.get("Model"),
        model_sha256=tags.values.get("ModelSha256"),
        settings=tags.values.get("Settings"),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


_TRUST = {
    "trusted": "vouched for by an authority that you trust",
    "this machine": "this machine itself, vouched for by nobody else",
    "unknown": "unknown: nobody that you trust vouches for it",
}
