"""What a stream tells systemd: that it runs, how it does, and that it is still alive.

The protocol is one datagram of `NAME=value` lines to the socket that the service manager names in
the environment (sd_notify(3)). A unit of `Type=notify` counts as started with the first image, and
one with `WatchdogSec=` is killed and started again when no `WATCHDOG=1` comes in time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping

from dayshift.runtime.streaming.control import Control
from dayshift.runtime.streaming.events import Event, State
from dayshift.runtime.streaming.status import Status

_log = logging.getLogger(__name__)

_OVER = (State.ENDED, State.FAILED)


class ServiceNotices:
    """Tells the service manager about one stream.

    The watchdog is fed by progress, not by a timer: by a status, which the delivering thread tells
    once a second, that has more images than the one before; and while a source is being opened
    again, since no new start would bring back a camera that is away. A stuck engine, a sink that
    hangs or a deadlock feed nothing.

    Args:
        address: Path of a Unix datagram socket; a leading @ is Linux's abstract namespace.
        has_watchdog: The service manager waits for signs of life.

    Raises:
        OSError: There is no such socket.
    """

    def __init__(self, address: str, *, has_watchdog: bool) -> None:
        self._has_watchdog = has_watchdog
        self._images = 0
        self._is_ready = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # A service manager that does not read must not hold up the stream.
        self._socket.setblocking(False)
        try:
            self._socket.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        except OSError:
            self._socket.close()
            raise

    def on_event(self, event: Event) -> None:
        """Tell of the first image and of the end."""
        if event.part != "stream":
            return
        if event.state is State.RUNNING and not self._is_ready:
            self._is_ready = True
            self._send("READY=1", f"STATUS={event.message}")
        elif event.state in _OVER:
            self._send("STOPPING=1", f"STATUS={event.message}")

    def on_status(self, status: Status) -> None:
        """Tell how the stream does; feed the watchdog where it got on."""
        images = status.frames_out + status.frames_repeated
        is_alive = images > self._images or status.state is State.RECONNECTING
        self._images = images
        told = f"STATUS={status.state}, {status.fps_out:.1f} frames/s, {status.message}"
        self._send(told, *(["WATCHDOG=1"] if self._has_watchdog and is_alive else []))

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def _send(self, *lines: str) -> None:
        text = "\n".join(" ".join(line.splitlines()) for line in lines)
        try:
            self._socket.send(text.encode())
        except OSError as error:
            _log.debug("the service manager was not told (%s)", error.strerror)


@contextlib.contextmanager
def told_to_service(
    control: Control, environment: Mapping[str, str] = os.environ
) -> Iterator[None]:
    """Tell the service manager that started this process about a stream; without one, do nothing.

    Args:
        control: Of the stream.
        environment: Has NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID where systemd set them.
    """
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        yield
        return
    ours = environment.get("WATCHDOG_PID") in (None, str(os.getpid()))
    try:
        notices = ServiceNotices(address, has_watchdog=ours and "WATCHDOG_USEC" in environment)
    except OSError as error:
        _log.warning("NOTIFY_SOCKET=%s cannot be used (%s)", address, error.strerror)
        yield
        return
    removals = [
        control.events.subscribe(notices.on_event),
        control.subscribe_status(notices.on_status),
    ]
    try:
        yield
    finally:
        for remove in removals:
            remove()
        notices.close()
