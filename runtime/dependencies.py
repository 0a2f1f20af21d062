"""What to install when an optional library is missing.

Modules that need OpenCV, PyAV or an engine import it at their top and raise `missing_dependency`
when that fails; nothing imports those modules before they are needed.
"""

from __future__ import annotations

from dayshift.runtime.errors import MissingDependency

_DESKTOP = "pip install 'dayshift[desktop]', on a server or container 'dayshift[headless]'"
_TENSORRT = (
    "pip install 'dayshift[tensorrt]'; on a Jetson TensorRT comes with JetPack, so that the "
    "virtual environment must be made with --system-site-packages"
)
_REMEDY = {
    "cv2": f"{_DESKTOP}, on a Jetson use JetPack's OpenCV",
    "openvino": _DESKTOP,
    "av": _DESKTOP,
    "tensorrt": _TENSORRT,
    "cuda.bindings": _TENSORRT,
    "tritonclient": "pip install 'dayshift[serving]'",
    "prometheus_client": _DESKTOP,
    "onnxruntime": "pip install 'dayshift[onnxruntime]'",
    "starlette": _DESKTOP,
    "aiortc": "pip install 'dayshift[webrtc]'",
    "pyvirtualcam": "pip install 'dayshift[virtualcam]'",
    "c2pa": "pip install 'dayshift[provenance]'",
    "cryptography": "pip install 'dayshift[update]'",
    "ray": "pip install 'dayshift[cluster]'",
    "OpenEXR": "pip install 'dayshift[synth]'",
}


def missing_dependency(library: str, error: ImportError) -> MissingDependency:
    """Build the error that says why `library` cannot be imported and which extra brings it."""
    reason = " ".join(str(error).split())
    return MissingDependency(f"cannot import {library} ({reason}): {_REMEDY[library]}")
