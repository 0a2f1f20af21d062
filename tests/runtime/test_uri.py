from __future__ import annotations

import pytest

from dayshift.runtime.uri import parse_uri, redact


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("rtsp://ann:secret@cam/1", "rtsp://***@cam/1"),
        ("rtsp://ann@cam/1", "rtsp://***@cam/1"),
        ("RTSP://ann:p@ss/w@rd?x@cam:554/1", "RTSP://***@cam:554/1"),
        ("http://cam/video?user=ann&pwd=secret&n=1", "http://cam/video?user=***&pwd=***&n=1"),
        ("http://cam/v?access_token=secret#x", "http://cam/v?access_token=***#x"),
        ("https://cam/v?API_KEY=secret", "https://cam/v?API_KEY=***"),
        (
            "gst:rtspsrc location=rtsp://ann:secret@cam user-id=ann user-pw=secret ! decodebin",
            "gst:rtspsrc location=rtsp://***@cam user-id=*** user-pw=*** ! decodebin",
        ),
        ("cannot open 'srt://ann:secret@cam' twice", "cannot open 'srt://***@cam' twice"),
        ("rtsp://cam/1", "rtsp://cam/1"),
        ("frames:///home/ann@work/day", "frames:///home/ann@work/day"),
        ("segments:///home/ann@work/night", "segments:///home/ann@work/night"),
        ("v4l2:///dev/v4l/by-id/usb-a@b", "v4l2:///dev/v4l/by-id/usb-a@b"),
        ("clip@home.mp4", "clip@home.mp4"),
    ],
)
def test_credentials_are_hidden_and_nothing_else(typed: str, shown: str) -> None:
    assert redact(typed) == shown


def test_an_address_is_left_whole_but_for_its_fragment() -> None:
    uri = parse_uri("rtsp://ann:secret@cam/1?channel=1#transport=udp", opaque=("rtsp",))
    assert uri.address == "rtsp://ann:secret@cam/1?channel=1"
    assert uri.options == {"transport": "udp"}
    assert uri.text == "rtsp://***@cam/1?channel=1#transport=udp"
    assert "secret" not in repr(uri)


def test_a_pipeline_is_left_whole() -> None:
    pipeline = "gst:videotestsrc pattern=18 ! video/x-raw(memory:NVMM)#?x=1 ! appsink"
    assert parse_uri(pipeline, opaque=("gst",)).address == pipeline
