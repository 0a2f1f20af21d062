"""A real RTSP server, GStreamer's, on loopback; run by the system's Python, which has its bindings.

python3 rtsp_server.py PORT [USER PASSWORD]     serves rtsp://127.0.0.1:PORT/street in H.264
"""

from __future__ import annotations

import sys

import gi  # type: ignore[import-not-found, unused-ignore]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found, unused-ignore]  # noqa: E402

PIPELINE = (
    "( videotestsrc is-live=true pattern=smpte ! video/x-raw,width=160,height=96,framerate=25/1 ! "
    "x264enc tune=zerolatency key-int-max=10 speed-preset=ultrafast ! rtph264pay name=pay0 )"
)


def serve(port: str, user: str | None = None, password: str | None = None) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(PIPELINE)
    factory.set_shared(True)
    if user is not None:
        protect(server, factory, user, password)
    server.get_mount_points().add_factory("/street", factory)
    assert server.attach(None), f"port {port} is taken"
    print("ready", flush=True)
    GLib.MainLoop().run()


def protect(
    server: GstRtspServer.RTSPServer,
    factory: GstRtspServer.RTSPMediaFactory,
    user: str,
    password: str | None,
) -> None:
    """Let in only whoever knows the password."""
    token = GstRtspServer.RTSPToken.new()
    token.set_string("media.factory.role", "viewer")
    auth = GstRtspServer.RTSPAuth.new()
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    factory.add_role_from_structure(
        Gst.Structure.from_string(
            "viewer,media.factory.access=(boolean)true,media.factory.construct=(boolean)true"
        )[0]
    )


if __name__ == "__main__":
    serve(*sys.argv[1:])
