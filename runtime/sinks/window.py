"""A window on the screen, with the stream's desk under its keys (`keys.py`; h shows them).

The Qt inside OpenCV's wheel aborts the whole process where it finds no display, so nothing here
calls OpenCV's window functions before `find_display_problem` has found none.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dayshift.runtime.dependencies import missing_dependency
from dayshift.runtime.errors import SinkError
from dayshift.runtime.frame import Frame, Pixels
from dayshift.runtime.sinks.base import Sink, StreamStopped
from dayshift.runtime.sinks.keys import KEYS, turn
from dayshift.runtime.sinks.view import draw_view
from dayshift.runtime.streaming.control import Control

try:
    import cv2
except ImportError as error:
    raise missing_dependency("cv2", error) from error

_INSTEAD = "see it in a browser (http://), or write a file instead (out.mp4)"
_NO_KEY = 0xFF  # what waitKey gives where none was pressed
_CONNECT_TIMEOUT_S = 2.0
# Starting Python, OpenCV and Qt takes half a second; a slow device or network display more.
_PROBE_TIMEOUT_S = 30.0
_PROBE = "import cv2; cv2.namedWindow('dayshift'); cv2.destroyAllWindows()"


class WindowSink(Sink):
    """A window that shows the newest image. Must be written and closed by one thread.

    Args:
        title: Of the window.
        control: What the keys turn; one of its own by default.

    Raises:
        SinkError: There is no display to open a window on.
    """

    name = "window"

    def __init__(self, title: str = "dayshift", *, control: Control | None = None) -> None:
        problem = find_display_problem()
        if problem is not None:
            raise SinkError(f"cannot open a window: {problem}; {_INSTEAD}")
        self._title = title
        self._control = control or Control()
        self._shows_keys = False
        self._width = 1
        self._is_shown = False
        self._is_over = False

    def write(self, image: Pixels, frame: Frame) -> None:
        """Show an image and look at the keyboard.

        Raises:
            StreamStopped: q or Esc was pressed, or the window closed.
        """
        if self._is_over:
            return
        view = draw_view(
            image,
            frame.pixels,
            self._control.settings,
            self._control.status,
            effect=self._control.effect,
            keys=KEYS if self._shows_keys else (),
        )
        if not self._is_shown:
            self._open(image)
        cv2.imshow(self._title, view)
        # waitKey also runs the window's events: without it nothing is drawn.
        code = cv2.waitKey(1) & 0xFF
        key = "" if code == _NO_KEY else chr(code)
        self._shows_keys ^= key in ("h", "H")
        pressed = key != "" and turn(key, self._control)
        if pressed or not self._is_visible():
            self.close()
            raise StreamStopped

    def _open(self, image: Pixels) -> None:
        height, self._width = image.shape[:2]
        flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
        cv2.namedWindow(self._title, flags)
        cv2.resizeWindow(self._title, self._width, height)
        cv2.setMouseCallback(self._title, self._drag)
        self._is_shown = True

    def _drag(self, event: int, x: int, y: int, flags: int, _: object) -> None:
        """Move the split with the mouse."""
        if flags & cv2.EVENT_FLAG_LBUTTON and self._control.settings.split is not None:
            self._control.change(split=min(1.0, max(0.0, x / self._width)))

    def close(self) -> None:
        """Close the window."""
        self._is_over = True
        if self._is_shown:
            self._is_shown = False
            # Whoever closed the window by hand was faster; OpenCV calls that an error.
            with contextlib.suppress(cv2.error):
                cv2.destroyWindow(self._title)
            cv2.waitKey(1)

    def abort(self) -> None:
        """Close the window."""
        self.close()

    def _is_visible(self) -> bool:
        try:
            return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # Qt has gone with its last window
            return False


def find_display_problem(
    environment: Mapping[str, str] = os.environ, *, build: str | None = None
) -> str | None:
    """Say why no window can be opened here; None where one can.

    Args:
        environment: Where DISPLAY and WAYLAND_DISPLAY are looked up.
        build: OpenCV's build information; by default that of the OpenCV in use.
    """
    is_linux = sys.platform.startswith("linux")  # elsewhere whoever is logged in has a display
    absent = _unreachable_display(environment) if is_linux else None
    if _gui_of(cv2.getBuildInformation() if build is None else build) == "NONE":
        headless = (
            "this OpenCV was built without windows (opencv-python-headless); "
            "for a window, pip install 'dayshift[desktop]' in place of the headless one"
        )
        return f"{absent}, and {headless}" if absent else headless
    if not is_linux:
        return None
    return absent or _probe_problem(environment)


def _gui_of(build: str) -> str:
    """Return the window toolkit in OpenCV's build information, such as QT5 or NONE."""
    line = re.search(r"^[ \t]*GUI:[ \t]*(\S*)", build, re.MULTILINE)
    return line[1] if line else ""


def _unreachable_display(environment: Mapping[str, str]) -> str | None:
    display = environment.get("DISPLAY", "")
    wayland = environment.get("WAYLAND_DISPLAY", "")
    if not display and not wayland:
        return "there is no display (DISPLAY and WAYLAND_DISPLAY are not set)"
    runtime_folder = environment.get("XDG_RUNTIME_DIR", "")
    if display and _answers(_x_addresses(display)):
        return None
    if wayland and _answers([str(Path(runtime_folder, wayland))]):
        return None
    named = f"DISPLAY={display!r}" if display else f"WAYLAND_DISPLAY={wayland!r}"
    return f"no display answers at {named}"


def _x_addresses(display: str) -> list[str | tuple[str, int]]:
    """Return where an X server listens for `[HOST]:NUMBER[.SCREEN]`: local sockets, or TCP."""
    match = re.fullmatch(r"(?P<host>.*):(?P<number>\d+)(\.\d+)?", display)
    if match is None:
        return []
    number = int(match["number"])
    if match["host"] in ("", "unix"):
        path = f"/tmp/.X11-unix/X{number}"
        return [path, f"\0{path}"]
    return [(match["host"], 6000 + number)]


def _answers(addresses: list[str | tuple[str, int]] | list[str]) -> bool:
    """Say whether anything accepts a connection at one of the addresses."""
    for address in addresses:
        try:
            if isinstance(address, tuple):
                socket.create_connection(address, timeout=_CONNECT_TIMEOUT_S).close()
            else:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(_CONNECT_TIMEOUT_S)
                    connection.connect(address)
        except OSError:
            continue
        return True
    return False


def _probe_problem(environment: Mapping[str, str]) -> str | None:
    """Open a window in another process, which may abort: a display can answer and still refuse."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the display does not answer within {_PROBE_TIMEOUT_S:g} s"
    if done.returncode == 0:
        return None
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    # Qt says the cause first, Python last.
    cause = said[-1 if said[0].startswith("Traceback") else 0] if said else f"{done.returncode}"
    return f"the display refuses windows ({cause})"
