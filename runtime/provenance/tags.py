"""XMP packets in PNG, JPEG and MP4 files: written into them and found again.

Each format has its own place for the packet (XMP specification, part 3): an iTXt chunk of a PNG, an
APP1 segment of a JPEG, a top-level uuid box of an MP4. Files are read chunk by chunk, and what is
malformed ends the search: a file from anywhere must not cost memory or raise.
"""

from __future__ import annotations

import html
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from dayshift.runtime.provenance.mark import SOURCE_TYPE

Format = Literal["png", "jpeg", "mp4"]

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"  # keyword, not compressed, no language
_JPEG_START = b"\xff\xd8"
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MP4_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_MP4_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_LARGEST_BYTES = 16 << 20  # of one chunk that is looked into: the index of a day of video
_MOST_CHUNKS = 100_000

_ATTRIBUTE = re.compile(r'(?:Iptc4xmpExt|dayshift|xmp):(\w+)\s*=\s*"([^"]*)"')


def tag_png(content: bytes, xmp: bytes) -> bytes:
    """Return a PNG with the packet behind its header."""
    start = len(_PNG_START) + 25  # IHDR: length, name, 13 bytes, checksum
    body = b"iTXt" + _PNG_XMP + xmp
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return content[:start] + chunk + content[start:]


def tag_jpeg(content: bytes, xmp: bytes) -> bytes:
    """Return a JPEG with the packet behind its JFIF header."""
    start = 2
    if content[2:4] == b"\xff\xe0":
        start += 2 + int.from_bytes(content[4:6], "big")
    body = _JPEG_XMP + xmp
    return (
        content[:start] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + content[start:]
    )


def mp4_box(xmp: bytes) -> bytes:
    """Return the packet as the box that goes to the end of an MP4."""
    body = b"uuid" + _MP4_XMP + xmp
    return (len(body) + 4).to_bytes(4, "big") + body


def find_format(path: Path) -> Format | None:
    """Return what a file is by its first bytes; None where it is none of ours.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(12)
    if start.startswith(_PNG_START):
        return "png"
    if start.startswith(_JPEG_START):
        return "jpeg"
    return "mp4" if start[4:8] == b"ftyp" else None


class Tags:
    """What the tags of a file say.

    Attributes:
        is_marked: They call it made with a trained model.
        has_manifest: There is a C2PA manifest, valid or not.
        says_signed: They say that there should be one.
        values: Attributes of the XMP packet by their names without prefix.
    """

    def __init__(self, path: Path) -> None:
        kind = find_format(path)
        self.values: dict[str, str] = {}
        self.has_manifest = False
        self._is_commented = False
        if kind is not None:
            with path.open("rb") as file:
                for chunk in _CHUNKS[kind](file):
                    self._read(kind, chunk)

    @property
    def is_marked(self) -> bool:
        """Whether they call the file made with a trained model."""
        source_type = self.values.get("DigitalSourceType", "").lower()
        return self._is_commented or "trainedalgorithmicmedia" in source_type

    @property
    def says_signed(self) -> bool:
        """Whether a manifest should be there."""
        return self.values.get("Signed") == "True"

    def _read(self, kind: Format, chunk: bytes) -> None:
        """Look into one chunk: name or marker first, as `_CHUNKS` give them."""
        match kind:
            case "png":
                xmp = chunk.startswith(b"iTXtXML:com.adobe.xmp\0")
                self.has_manifest |= chunk.startswith(b"caBX")
            case "jpeg":
                xmp = chunk.startswith(b"\xe1" + _JPEG_XMP)
                self.has_manifest |= chunk.startswith(b"\xebJP")
            case "mp4":
                xmp = chunk.startswith(b"uuid" + _MP4_XMP)
                self.has_manifest |= chunk.startswith(b"uuid" + _MP4_C2PA)
                # A recording that was killed has the comment in its index and nothing behind it.
                self._is_commented |= chunk.startswith(b"moov") and SOURCE_TYPE.encode() in chunk
        if xmp:
            text = chunk.decode("utf-8", "replace")
            self.values |= {key: html.unescape(value) for key, value in _ATTRIBUTE.findall(text)}


def _png_chunks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(len(_PNG_START))
    for _ in range(_MOST_CHUNKS):
        header = file.read(8)
        if len(header) < 8 or header[4:] == b"IEND":
            return
        yield header[4:] + _body(
            file, int.from_bytes(header[:4], "big"), skip=header[4:] == b"IDAT"
        )
        file.seek(4, 1)


def _jpeg_chunks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(len(_JPEG_START))
    for _ in range(_MOST_CHUNKS):
        header = file.read(4)
        # Behind the start of scan there are pixels only.
        if len(header) < 4 or header[0] != 0xFF or header[1] == 0xDA:
            return
        yield header[1:2] + _body(file, int.from_bytes(header[2:], "big") - 2)


def _mp4_chunks(file: BinaryIO) -> Iterator[bytes]:
    for _ in range(_MOST_CHUNKS):
        header = file.read(8)
        length = int.from_bytes(header[:4], "big") - 8
        if length == 1 - 8:
            length = int.from_bytes(file.read(8), "big") - 16
        if len(header) < 8 or length < 0:
            return
        yield header[4:] + _body(file, length, skip=header[4:] not in (b"uuid", b"moov"))


def _body(file: BinaryIO, length: int, *, skip: bool = False) -> bytes:
    """Read a chunk's body, or pass over one that is not looked into."""
    if skip or not 0 <= length <= _LARGEST_BYTES:
        # A length from a damaged file may be larger than any offset.
        file.seek(min(max(length, 0), 1 << 48), 1)
        return b""
    return file.read(length)


_CHUNKS = {"png": _png_chunks, "jpeg": _jpeg_chunks, "mp4": _mp4_chunks}
