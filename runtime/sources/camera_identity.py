"""Which camera is which: `/dev/videoN` is a number in the order of plugging in, not a name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dayshift.runtime.errors import SourceError

_DEV = Path("/dev")
_SYS = Path("/sys/class/video4linux")


@dataclass(frozen=True)
class Identity:
    """What stays the same of a camera when it is plugged in again.

    Attributes:
        link: A stable link of udev (`/dev/v4l/by-id/...`, else by-path), where there is one.
        hardware: Name, place on the bus and number of the node, as the kernel tells them.
        node: The device node, for systems that tell neither.
    """

    link: str | None
    hardware: tuple[str, str, str] | None
    node: str

    @classmethod
    def of(cls, node: str, named: str, *, dev: Path = _DEV, sys: Path = _SYS) -> Identity:
        """Tell the identity of a device node that was asked for by the name `named`."""
        stable = named if "/v4l/by-" in named else _find_link(Path(node), dev / "v4l")
        return cls(stable, _hardware_of(sys / Path(node).name), node)

    def find(self, *, dev: Path = _DEV, sys: Path = _SYS) -> str:
        """Return a name by which the same camera can be opened now.

        Raises:
            SourceError: It is not there. Another camera that took its number is not taken for it.
        """
        if self.link is not None:
            if Path(self.link).exists():
                return self.link
            raise SourceError(f"the camera {self.link} is not there: check its cable")
        if self.hardware is None:
            return self.node
        for node in sorted(sys.glob("video*")):
            if _hardware_of(node) == self.hardware:
                return str(dev / node.name)
        raise SourceError(f"the camera {self.hardware[0]!r} is not there: check its cable")


def list_cameras() -> list[str]:
    """Return the V4L2 device nodes of this machine, `/dev/video2` before `/dev/video10`."""
    nodes = [str(node) for node in _DEV.glob("video*") if node.name[5:].isdecimal()]
    return sorted(nodes, key=lambda node: int(node.removeprefix("/dev/video")))


def _find_link(node: Path, folder: Path) -> str | None:
    for kind in ("by-id", "by-path"):
        for link in sorted((folder / kind).glob("*")):
            if link.resolve() == node.resolve():
                return str(link)
    return None


def _hardware_of(node: Path) -> tuple[str, str, str] | None:
    try:
        name = (node / "name").read_text().strip()
        # One camera may have several nodes: pictures, metadata, depth.
        number = (node / "index").read_text().strip()
        return name, str((node / "device").resolve(strict=True)), number
    except OSError:
        return None
