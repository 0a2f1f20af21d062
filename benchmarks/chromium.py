"""Drives a headless Chromium over its DevTools protocol, for measurements and tests of the page."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
_START_S = 30.0
_ANSWER_S = 30.0


def find_chromium() -> str | None:
    """Return the path of a Chromium; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """One page of a browser.

    Attributes:
        problems: Exceptions that its scripts did not catch.
    """

    def __init__(self, address: str) -> None:
        self._stack = contextlib.ExitStack()
        self._connection = self._stack.enter_context(connect(address, max_size=None))
        self._sent = 0
        self.problems: list[str] = []
        self.call("Page.enable")
        self.call("Runtime.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        self._connection.send(json.dumps(message))
        end = time.monotonic() + _ANSWER_S
        while True:
            answer = json.loads(self._connection.recv(timeout=max(0.1, end - time.monotonic())))
            if answer.get("method") == "Runtime.exceptionThrown":
                self.problems.append(json.dumps(answer["params"]["exceptionDetails"]))
            if answer.get("id") == self._sent:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, awaited where it is a promise."""
        result = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"]))
        return result["result"].get("value")

    def wait_for(self, expression: str, timeout_s: float = 20.0) -> Any:
        """Wait until an expression is true and return its value; it may fail until then."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            with contextlib.suppress(RuntimeError):  # the page's scripts have not run yet
                if value := self.evaluate(expression):
                    return value
            time.sleep(0.05)
        raise TimeoutError(f"still not true after {timeout_s:g} s: {expression}")

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def resize(self, width: int, height: int, *, scale: float = 1, is_phone: bool = False) -> None:
        """Take the size of a screen, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=is_phone,
        )

    def screenshot(self, path: Path) -> None:
        """Save what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """Leave the browser's end of the page."""
        self._stack.close()


class Browser:
    """A running Chromium."""

    def __init__(self, port: int) -> None:
        self._port = port

    def new_tab(self, url: str = "about:blank") -> Tab:
        """Open a page of its own."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/json/new?{url}", method="PUT"
        )
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
            address = json.load(answer)["webSocketDebuggerUrl"]
        return Tab(address)


@contextlib.contextmanager
def open_chromium() -> Iterator[Browser]:
    """Start a Chromium with a profile of its own, and end it.

    Raises:
        RuntimeError: There is none, or it does not start.
    """
    program = find_chromium()
    if program is None:
        raise RuntimeError(f"there is no {' or '.join(NAMES)}: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            program,
            "--headless=new",
            "--no-sandbox",  # containers run as root
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-timer-throttling",
            "--disable-renderer-backgrounding",
            "--disable-backgrounding-occluded-windows",
            "--no-first-run",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield Browser(_wait_for_port(Path(profile, "DevToolsActivePort"), process))
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for_port(path: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(path.read_text().splitlines()[0])
        time.sleep(0.05)
    raise RuntimeError("Chromium did not start")
