"""What the files of the system tell about an NVIDIA GPU, before any library is asked."""

from __future__ import annotations

import re
from pathlib import Path

# "# R36 (release), REVISION: 4.3, GCID: …" and "NVRM version: NVIDIA UNIX … Module  550.54.15  …".
_L4T = re.compile(r"R(\d+) \(release\), REVISION: ([\d.]+)")
_DRIVER = re.compile(r"Module(?: for \S+)?\s+([\d.]+)")
# A Jetson's GPU as seen from a container that lacks the release file, and Windows' WSL.
_DEVICE_NODES = ("dev/nvhost-gpu", "dev/nvgpu", "dev/nvidiactl", "dev/dxg")


def nvidia_driver(root: Path = Path("/")) -> str | None:
    """Return the version of the NVIDIA driver or of L4T, "unknown", or None without a GPU.

    Args:
        root: Where the file system begins.
    """
    release = _search(_L4T, root / "etc/nv_tegra_release")
    if release is not None:
        return f"L4T {release[1]}.{release[2]}"
    driver = _search(_DRIVER, root / "proc/driver/nvidia/version")
    if driver is not None:
        return driver[1]
    return "unknown" if any((root / node).exists() for node in _DEVICE_NODES) else None


def _search(pattern: re.Pattern[str], path: Path) -> re.Match[str] | None:
    try:
        return pattern.search(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
