"""The picture of an X display: `screen://[:DISPLAY[+X,Y]]?size=WxH&fps=N`, taken by FFmpeg."""

from __future__ import annotations

import os
from collections.abc import Mapping

from dayshift.runtime.errors import SourceError
from dayshift.runtime.sources.network import Address

DEFAULT_FPS = 30.0


def screen_address(
    display: str,
    size: tuple[int, int] | None,
    fps: float | None,
    environment: Mapping[str, str] = os.environ,
) -> Address:
    """Return what to open for the picture of a display.

    Args:
        display: Such as `:0.0`, with `+100,200` behind it the corner to begin at; that of the
            environment when empty.
        size: (width, height) of the part; None takes all of it.
        fps: Frames per second.
        environment: Where DISPLAY is looked up.

    Raises:
        SourceError: There is no X display.
    """
    shown = display or environment.get("DISPLAY", "")
    if shown.startswith("+"):
        shown = environment.get("DISPLAY", "") + shown
    if not shown or shown.startswith("+"):
        raise SourceError(
            "there is no X display to take the screen of (DISPLAY is not set): name one, "
            "screen://:0.0; under Wayland share a window through XWayland or a virtual camera"
        )
    options = {"framerate": f"{fps or DEFAULT_FPS:g}"}
    if size is not None:
        options["video_size"] = f"{size[0]}x{size[1]}"
    return Address(f"screen {shown}", shown, "x11grab", options, never_ends=True)
