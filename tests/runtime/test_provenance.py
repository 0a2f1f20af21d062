from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.errors import SourceError
from dayshift.runtime.frame import Frame
from dayshift.runtime.provenance import marking, verification
from dayshift.runtime.provenance.label import VisibleLabel
from dayshift.runtime.provenance.mark import SOURCE_TYPE, Mark
from dayshift.runtime.provenance.tags import Tags
from dayshift.runtime.provenance.verification import verify_file
from dayshift.runtime.sinks import images, open_sink
from dayshift.runtime.sources import open_source

Pixels = npt.NDArray[np.uint8]
MARK = Mark('tiny & "co"', "ab" * 32, {"strength": "0.5", "precision": "int8"})
FILES = ("image.png", "image.jpg", "video.mp4")


def gradient() -> Pixels:
    y, x = np.mgrid[:48, :64]
    return np.stack([x * 4, y * 5, 255 - x * 4], axis=-1).astype(np.uint8)


def save(path: Path, mark: Mark | None = MARK) -> Path:
    """Save one picture in the format of the path's suffix, by the sinks that `run` uses."""
    frame = Frame(gradient(), 0, 0.0, 0.0, path.name)
    is_video = path.suffix == ".mp4"
    with open_sink(path if is_video else f"{path.parent}/", mark=mark) as sink:
        sink.write(gradient(), frame)
    return path


@pytest.fixture(params=FILES)
def signed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    pytest.importorskip("c2pa", reason="signing needs the extra `provenance`")
    return save(tmp_path / request.param)


@pytest.fixture(params=FILES)
def tagged(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file as it is saved where c2pa-python is not installed."""
    monkeypatch.setattr(marking, "can_sign", lambda: False)
    return save(tmp_path / request.param)


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def pixel_offset(path: Path) -> int:
    """Where pixels are stored in a file, far from any tag."""
    content = path.read_bytes()
    starts = {".png": b"IDAT", ".jpg": b"\xff\xda", ".mp4": b"mdat"}
    return content.index(starts[path.suffix]) + 60


def test_a_saved_file_is_authentic_and_says_how_it_was_made(signed: Path) -> None:
    found = verify_file(signed)
    assert (found.status, found.trust, found.problems) == ("authentic", "this machine", [])
    assert (found.model, found.model_sha256) == (MARK.model, MARK.model_sha256)
    assert found.settings == "precision int8; strength 0.5"
    assert "vouched for by nobody" in str(found.signer)


def test_a_marked_file_shows_the_same_picture(signed: Path, tmp_path: Path) -> None:
    plain = save(tmp_path / "plain" / signed.name, None)
    with open_source(signed) as one, open_source(plain) as other:
        first, second = one.read(), other.read()
    assert first is not None
    assert second is not None
    assert np.array_equal(first.pixels, second.pixels)


def test_a_changed_picture_is_tampered_with(signed: Path) -> None:
    flip(signed, pixel_offset(signed))
    found = verify_file(signed)
    assert found.status == "tampered"
    assert any("ash.mismatch" in problem for problem in found.problems)


def test_a_changed_tag_is_tampered_with(signed: Path) -> None:
    content = signed.read_bytes()
    assert b"strength 0.5" in content
    signed.write_bytes(content.replace(b"strength 0.5", b"strength 0.1"))
    assert verify_file(signed).status == "tampered"


def test_a_signature_that_was_taken_out_is_missed(signed: Path) -> None:
    content = signed.read_bytes()
    if signed.suffix == ".png":
        start = content.index(b"caBX") - 4
        length = int.from_bytes(content[start : start + 4], "big") + 12
    elif signed.suffix == ".jpg":
        start = content.index(b"\xff\xeb")
        length = int.from_bytes(content[start + 2 : start + 4], "big") + 2
    else:
        start = content.index(bytes.fromhex("d8fec3d61b0e483c92975828877ec481")) - 8
        length = int.from_bytes(content[start : start + 4], "big")
    signed.write_bytes(content[:start] + content[start + length :])
    found = verify_file(signed)
    assert found.status == "tampered"
    assert "it was signed" in found.detail


def test_pictures_of_two_authentic_files_cannot_be_exchanged(tmp_path: Path) -> None:
    pytest.importorskip("c2pa", reason="signing needs the extra `provenance`")
    path = save(tmp_path / "image.png")
    content = path.read_bytes()
    other = cv2.imencode(".png", 255 - gradient())[1].tobytes()
    ours, theirs = content.index(b"IDAT") - 4, other.index(b"IDAT") - 4
    path.write_bytes(content[:ours] + other[theirs:])
    assert verify_file(path).status == "tampered"


def test_tags_are_written_without_the_library_and_say_that_nothing_was_signed(
    tagged: Path,
) -> None:
    found = verify_file(tagged)
    assert (found.status, found.signer) == ("marked", None)
    assert found.model == MARK.model
    assert "a change would not show" in found.detail


def test_a_manifest_that_cannot_be_checked_is_not_called_authentic(
    signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "can_sign", lambda: False)
    found = verify_file(signed)
    assert found.status == "marked"
    assert "was not checked: pip install 'dayshift[provenance]'" in found.detail


@pytest.mark.parametrize("name", FILES)
def test_an_unmarked_file_is_called_so(tmp_path: Path, name: str) -> None:
    assert verify_file(save(tmp_path / name, None)).status == "unmarked"


def test_the_tags_use_the_standard_words(tagged: Path) -> None:
    assert Tags(tagged).values["DigitalSourceType"] == SOURCE_TYPE
    assert b"http://iptc.org/std/Iptc4xmpExt/2008-02-29/" in tagged.read_bytes()


def test_a_certificate_of_ones_own_signs_and_is_trusted_when_its_authority_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("c2pa", reason="signing needs the extra `provenance`")
    # Another machine's credentials are a user's own certificate here.
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other"))
    save(tmp_path / "first.png")
    own = tmp_path / "other" / "dayshift" / "provenance"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "here"))
    monkeypatch.setenv("DAYSHIFT_CERTIFICATE", str(own / "chain.pem"))
    monkeypatch.setenv("DAYSHIFT_PRIVATE_KEY", str(own / "key.pem"))
    path = save(tmp_path / "second.png")
    assert verify_file(path).trust == "unknown"
    found = verify_file(path, authorities=(own / "authority.pem").read_bytes())
    assert (found.status, found.trust) == ("authentic", "trusted")


def test_an_unusable_certificate_costs_the_signature_and_not_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("c2pa", reason="signing needs the extra `provenance`")
    monkeypatch.setenv("DAYSHIFT_CERTIFICATE", str(tmp_path / "missing.pem"))
    monkeypatch.setenv("DAYSHIFT_PRIVATE_KEY", str(tmp_path / "missing.pem"))
    for name in FILES:
        assert verify_file(save(tmp_path / name)).status == "marked"
    assert caplog.text.count("tagged but not signed: cannot sign with") == len(FILES)


def test_the_private_key_is_the_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("c2pa", reason="signing needs the extra `provenance`")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    save(tmp_path / "image.png")
    folder = tmp_path / "dayshift" / "provenance"
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "key.pem").stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "authority.pem",
        "chain.pem",
        "key.pem",
    ]


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"RIFF....WEBP"])
def test_other_kinds_of_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(SourceError, match="neither PNG, JPEG nor MP4"):
        verify_file(tmp_path / "x.png")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        verify_file(tmp_path / "none.png")


@pytest.mark.parametrize("name", FILES)
def test_no_damage_makes_the_check_fail(tmp_path: Path, name: str) -> None:
    original = save(tmp_path / name).read_bytes()
    random = np.random.default_rng(5)
    path = tmp_path / "damaged"
    for _ in range(60):
        content = bytearray(original)
        for _ in range(int(random.integers(1, 6))):
            content[int(random.integers(12, len(content)))] = int(random.integers(256))
        if random.random() < 0.3:
            del content[int(random.integers(12, len(content))) :]
        path.write_bytes(content)
        found = verify_file(path)
        if content != original:
            # Damage in what the hash leaves out, such as free space, changes nothing.
            assert found.status != "authentic" or verify_pixels(path, original)


def verify_pixels(path: Path, original: bytes) -> bool:
    same = path.with_name("original")
    same.write_bytes(original)
    with open_source(path) as one, open_source(same) as other:
        first, second = one.read(), other.read()
    return first is not None and second is not None and np.array_equal(first.pixels, second.pixels)


def test_the_label_is_in_the_corner_and_leaves_the_frame_alone() -> None:
    image = np.full((360, 640, 3), 128, np.uint8)
    labelled = VisibleLabel()(Frame(image, 0, 0.0, 0.0), image)
    assert (image == 128).all()
    changed = np.argwhere((labelled != 128).any(axis=2))
    assert changed.min(axis=0)[0] > 300
    assert 8 <= changed.min(axis=0)[1] < 20
    assert labelled.max() > 200


def test_verify_tells_by_its_exit_code(
    dayshift_command: Callable[..., Any], signed: Path, tmp_path: Path
) -> None:
    done = dayshift_command("verify", signed, "--json", "-")
    assert (done.code, json.loads(done.out)["status"]) == (0, "authentic")
    flip(signed, pixel_offset(signed))
    assert dayshift_command("verify", signed).code == 3
    assert dayshift_command("verify", tmp_path / "none.png").code == 1


def test_a_kind_of_file_that_can_hold_no_mark_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    images._tell_unmarked.cache_clear()
    for name in ("a.webp", "b.webp", "c.bmp", "d.png"):
        save(tmp_path / name)
    save(tmp_path / "e.tiff", mark=None)
    assert caplog.messages == [
        ".webp files are saved without a mark: PNG, JPEG and MP4 can have one",
        ".bmp files are saved without a mark: PNG, JPEG and MP4 can have one",
    ]
