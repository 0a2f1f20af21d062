"""What we need of linux/videodev2.h: the calls of V4L2, and their structures.

Tests compare it with the header where there is one.
"""

from __future__ import annotations

import ctypes
import sys

QUERYCAP = 0x80685600
S_FMT = 0xC0D05605 if sys.maxsize > 2**32 else 0xC0CC5605
S_PARM = 0xC0CC5616
ENUM_FMT = 0xC0405602
ENUM_FRAMESIZES = 0xC02C564A
CAP_VIDEO_CAPTURE = 0x1
CAP_VIDEO_OUTPUT = 0x2
BUF_TYPE_VIDEO_CAPTURE = 1
BUF_TYPE_VIDEO_OUTPUT = 2
FRMSIZE_TYPE_DISCRETE = 1
FIELD_NONE = 1
COLORSPACE_SRGB = 8
YCBCR_ENC_601 = 1
QUANTIZATION_LIM_RANGE = 2
YUYV = int.from_bytes(b"YUYV", "little")

MAKE_DEVICE = (
    "sudo modprobe v4l2loopback devices=1 video_nr=10 exclusive_caps=1 "
    'card_label="dayshift (AI-translated)"'
)


class Capability(ctypes.Structure):
    """struct v4l2_capability."""

    _fields_ = (
        ("driver", ctypes.c_char * 16),
        ("card", ctypes.c_char * 32),
        ("bus_info", ctypes.c_char * 32),
        ("version", ctypes.c_uint32),
        ("capabilities", ctypes.c_uint32),
        ("device_caps", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32 * 3),
    )


class PixFormat(ctypes.Structure):
    """struct v4l2_pix_format."""

    _fields_ = tuple(
        (name, ctypes.c_uint32)
        for name in (
            *("width", "height", "pixelformat", "field", "bytesperline", "sizeimage"),
            *("colorspace", "priv", "flags", "ycbcr_enc", "quantization", "xfer_func"),
        )
    )


class _FormatUnion(ctypes.Union):
    # The kernel's union holds a pointer, which gives it its alignment.
    _fields_ = (("pix", PixFormat), ("raw", ctypes.c_uint8 * 200), ("pointer", ctypes.c_void_p))


class Format(ctypes.Structure):
    """struct v4l2_format."""

    _fields_ = (("type", ctypes.c_uint32), ("fmt", _FormatUnion))


class StreamParameters(ctypes.Structure):
    """struct v4l2_streamparm, of an output."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("capability", ctypes.c_uint32),
        ("outputmode", ctypes.c_uint32),
        ("numerator", ctypes.c_uint32),
        ("denominator", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 184),
    )


class FormatDescription(ctypes.Structure):
    """struct v4l2_fmtdesc."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("description", ctypes.c_char * 32),
        ("pixelformat", ctypes.c_uint32),
        ("rest", ctypes.c_uint32 * 4),
    )


class FrameSize(ctypes.Structure):
    """struct v4l2_frmsizeenum; width and height are those of a discrete size."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("pixel_format", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("rest", ctypes.c_uint32 * 6),
    )
