"""Libraries: which OpenCV, which engines, and what else is installed, against what we support."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.metadata
import sys
from collections.abc import Iterator
from pathlib import Path

from dayshift.runtime.doctor.check import Check
from dayshift.runtime.doctor.host import Host, version_of

# From, and below. The floors are those of pyproject.toml, which a test compares.
SUPPORTED: dict[str, tuple[str, str | None]] = {
    "python": ("3.10", "3.14"),
    "opencv": ("4.8", "6"),
    "openvino": ("2024.4", None),
    "onnxruntime": ("1.18", "2"),
    "tensorrt": ("10.3", "12"),
}
OPENCV_WHEELS = tuple(
    f"opencv{contrib}-python{headless}"
    for contrib in ("", "-contrib")
    for headless in ("", "-headless")
)
_HEADLESS = "opencv-python-headless"
_TENSORRT_PACKAGES = "'tensorrt>=10.3,<12' 'cuda-bindings>=12.8,<14'"
_OPENCV = """
import re, cv2
gui = re.search(r"^[ \\t]*GUI:[ \\t]*(\\S*)", cv2.getBuildInformation(), re.MULTILINE)
told = {"version": cv2.__version__, "file": cv2.__file__, "gui": gui[1] if gui else "unknown",
        "gstreamer": cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER)}
"""
_TENSORRT = """
import tensorrt
told = {"version": tensorrt.__version__, "on": "its own library only"}
from dayshift.runtime.backends.cuda import first_device
device = first_device()
told["on"] = f"{device.name}, compute capability {device.compute_capability}"
"""


def check_python() -> Check:
    """Look at the interpreter."""
    version = ".".join(map(str, sys.version_info[:3]))
    problem = _unsupported("python", version)
    fix = "python3.12 -m venv .venv, or another Python from 3.10 to 3.13" if problem else None
    return Check("python", problem is None, problem or f"{version} in {sys.prefix}", fix)


def check_opencv(host: Host) -> Check:
    """Say which OpenCV is in use, what it can, and whether another one shadows it."""
    wheels = installed(host, OPENCV_WHEELS)
    told = host.try_python(_OPENCV)
    both = " ".join(wheels)
    if len(wheels) > 1:
        names = " and ".join(f"{name} {version}" for name, version in wheels.items())
        kept = "opencv-python" if "opencv-python" in wheels else _HEADLESS
        again = f"{host.pip(f'uninstall -y {both}')} && {host.pip(f'install {kept}')}"
        return Check("opencv", False, f"{names} overwrite each other: one may be installed", again)
    if "error" in told:
        detail = f"cv2 cannot be imported: {told['error']}"
        return Check("opencv", False, detail, opencv_fix(host, told["error"]))
    has = "GStreamer" if told["gstreamer"] else "no GStreamer"
    windows = "no windows" if told["gui"] == "NONE" else f"windows by {told['gui']}"
    origin = both or "of the system"
    detail = f"{told['version']} ({origin}), {has}, {windows}, {told['file']}"
    problem = _unsupported("opencv", told["version"])
    if host.l4t and wheels and not told["gstreamer"]:
        problem = f"{both} shadows JetPack's OpenCV, which has GStreamer for CSI cameras; {detail}"
        return Check("opencv", False, problem, host.pip(f"uninstall -y {both}"))
    if problem:
        return Check("opencv", False, problem, host.pip(f"install --upgrade {pip_range('opencv')}"))
    return Check("opencv", True, detail)


def opencv_fix(host: Host, error: str) -> str:
    """Return what brings an OpenCV: on a Jetson JetPack's, and a wheel elsewhere."""
    wheels = installed(host, OPENCV_WHEELS)
    if "numpy" in error.lower() and not wheels:
        return host.pip("install 'numpy<2'")  # a system's OpenCV is built for one of NumPy's ABIs
    if host.l4t is None or wheels:
        return host.pip(f"install --force-reinstall {pip_range('opencv')}")
    system = _in_system(host, "cv2")
    return _let_system_in(host) if system else "sudo apt-get install nvidia-opencv"


# As `quiet_openvino` does it, in a process that ends with the trial.
_QUIETLY = "import sys; sys.modules['openvino_telemetry'] = None\n"
_PLAIN = """
import {name}
told = {{"version": {name}.__version__, "on": ", ".join({devices})}}
"""
ENGINES = {
    "openvino": _QUIETLY
    + _PLAIN.format(name="openvino", devices="openvino.Core().available_devices"),
    "onnxruntime": _PLAIN.format(
        name="onnxruntime", devices="onnxruntime.get_available_providers()"
    ),
    "tensorrt": _TENSORRT,
}


def check_engines(host: Host) -> Iterator[Check]:
    """Try each engine; TensorRT also for a GPU it can use."""
    for name, code in ENGINES.items():
        told = host.try_python(code)
        if "error" not in told:
            problem = _unsupported(name, told["version"])
            fix = host.pip(f"install --upgrade {pip_range(name)}") if problem else None
            shown = problem or f"{told['version'].split('-')[0]} on {told['on']}"
            yield Check(name, problem is None, shown, fix)
        elif name == "tensorrt":
            yield _without_tensorrt(host, told["error"])
        else:
            missing = "not installed" if told["is_missing"] else told["error"]
            yield Check(name, False, missing, host.pip(f"install {pip_range(name)}"))


def _without_tensorrt(host: Host, error: str) -> Check:
    """Say why TensorRT does not work: no GPU, JetPack's not visible here, or not installed."""
    system = _in_system(host, "tensorrt")
    if not host.has_gpu:
        detail = f"{error}; nor is there an NVIDIA GPU, which it is for"
        fix = f"on a machine with one: {host.pip(f'install {_TENSORRT_PACKAGES}')}"
        return Check("tensorrt", False, detail, fix)
    if system and "No module named 'tensorrt" in error:
        theirs = f"the system's Python, in {system}"
        return Check(
            "tensorrt",
            False,
            f"JetPack's is installed for {theirs}, which this environment does not see",
            _let_system_in(host),
        )
    if host.l4t and "tensorrt" in error:
        fix = "sudo apt-get install python3-libnvinfer"
        return Check("tensorrt", False, f"JetPack's is not installed: {error}", fix)
    packages = "'cuda-bindings>=12.8,<14'" if "cuda" in error else _TENSORRT_PACKAGES
    if host.l4t and version_of(host.l4t) < (38,):
        packages = "'cuda-bindings>=12.8,<13'"  # JetPack 6 has CUDA 12
    return Check("tensorrt", False, error, host.pip(f"install {packages}"))


def _let_system_in(host: Host) -> str:
    """Return the command that lets this environment see the system's libraries."""
    config = host.prefix / "pyvenv.cfg"
    ours = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    # Debian keeps its libraries in python3/, for whichever Python 3 is the system's own.
    system = host.root / "usr/bin/python3"
    theirs = system.resolve().name if system.exists() else ours
    if not config.is_file() or theirs != ours:
        return f"{theirs} -m venv --system-site-packages .venv, and install dayshift there"
    return (
        f"sed -i 's/^include-system-site-packages.*/include-system-site-packages = true/' {config}"
    )


def check_torch(host: Host) -> Check | None:
    """Find a PyTorch without CUDA beside a GPU; None where there is nothing to say."""
    found = importlib.machinery.PathFinder.find_spec("torch", list(host.search))
    if found is None or found.origin is None:
        return None
    version, cuda = _torch_build(Path(found.origin).with_name("version.py"))
    if cuda is not None or not host.has_gpu:
        return Check("torch", True, f"{version}, CUDA {cuda or 'none, nor a GPU here'}")
    detail = f"{version} is built for the CPU only, and there is an NVIDIA GPU; models run without"
    public = version.split("+")[0]
    fix = host.pip(f"install --force-reinstall torch=={public}")
    if host.l4t:
        fix = f"{host.pip('uninstall -y torch')}, and where you train here: NVIDIA's wheel for it"
    return Check("torch", False, detail, fix)


def _torch_build(file: Path) -> tuple[str, str | None]:
    """Read version and CUDA version of PyTorch without its import, which takes seconds."""
    values: dict[str, object] = {}
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return "unknown version", None
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(node, ast.AnnAssign):
            target = node.target
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
            values[target.id] = value.value
    version, cuda = values.get("__version__"), values.get("cuda")
    return str(version or "unknown version"), None if cuda is None else str(cuda)


_EXTRAS = (
    ("video files", "av", "H.264 files in and out", "'av>=14.2,<19'"),
    ("browser page", "starlette, uvicorn", "http:// sinks", "'starlette>=1.0' 'uvicorn>=0.40'"),
    ("live video", "aiortc", "WebRTC on the page instead of JPEG", "'aiortc>=1.15' 'av>=14.2,<19'"),
    ("metrics", "prometheus_client", "--metrics", "'prometheus-client>=0.19'"),
    ("signed marks", "c2pa, cryptography", "C2PA", "'c2pa-python>=0.38' 'cryptography>=42'"),
)


def check_extras(host: Host) -> Iterator[Check]:
    """Try the libraries behind single features."""
    for name, modules, gives, packages in _EXTRAS:
        told = host.try_python(f"import {modules}; told = {{}}")
        if "error" in told:
            fix = host.pip(f"install {packages}")
            yield Check(name, False, f"{gives}: {told['error']}", fix)
        else:
            yield Check(name, True, gives)


def installed(host: Host, names: tuple[str, ...]) -> dict[str, str]:
    """Return which of these distributions are installed, with their versions."""
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=list(host.search)):
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if name in names:
            found.setdefault(name, distribution.version)
    return dict(sorted(found.items()))


def _in_system(host: Host, module: str) -> Path | None:
    """Return where the system's own Python has a library."""
    return next(iter(sorted(host.root.glob(f"usr/lib/python3*/dist-packages/{module}"))), None)


def pip_range(name: str) -> str:
    """Return what pip is to install."""
    package = {"opencv": _HEADLESS}.get(name, name)
    low, high = SUPPORTED[name]
    return f"'{package}>={low}{f',<{high}' if high else ''}'"


def _unsupported(name: str, version: str) -> str | None:
    low, high = SUPPORTED[name]
    got = version_of(version)
    if version_of(low) <= got and (high is None or got < version_of(high)):
        return None
    return f"{version} is not supported: expected {low} or newer{f', below {high}' if high else ''}"
