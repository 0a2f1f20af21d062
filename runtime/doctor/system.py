"""The machine itself: its release, power, clocks, heat, memory, disk, port and cache."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from dayshift.runtime.backends.nvidia import nvidia_driver
from dayshift.runtime.cache import FOLDER_VARIABLE, cache_root
from dayshift.runtime.doctor.check import Check
from dayshift.runtime.doctor.host import Host, read_number, read_text, version_of
from dayshift.runtime.doctor.processes import listener_of

PAGE_PORT = 8080
_GIB = 2**30
_DISK_GIB = 2
# Building an engine, and the system beside it, were seen to need more than a small Jetson has.
_MEMORY_GIB = 8
_JETPACKS = {36: "JetPack 6", 38: "JetPack 7", 39: "JetPack 7"}
_OLDEST_L4T = (36,)
# Cooling by a fan is no throttling.
_THROTTLES = re.compile(r"cpufreq|devfreq|throttle|Processor|cpu-sustainable", re.IGNORECASE)


def check_system(host: Host) -> Check:
    """Say what machine this is, and whether a Jetson's release is one that we support."""
    model = host.read("proc/device-tree/model")
    release = host.read("etc/os-release") or ""
    name = re.search(r'^PRETTY_NAME="?([^"\n]*)', release, re.MULTILINE)
    system = f"{name[1] if name else 'unknown system'}, {os.uname().machine}"
    if host.l4t is None:
        return Check("system", True, f"{model or 'no Jetson'}, {system}")
    version = version_of(host.l4t)
    jetpack = _JETPACKS.get(version[0], "unknown JetPack")
    detail = f"{model or 'Jetson'}, L4T {host.l4t} ({jetpack}), {system}"
    if version >= _OLDEST_L4T:
        return Check("system", True, detail)
    fix = "flash JetPack 6.1 or newer: older ones have neither Python 3.10 nor TensorRT 10.3"
    return Check("system", False, detail, fix)


def check_gpu(host: Host) -> Check:
    """Say whether there is an NVIDIA GPU, and a driver for it."""
    driver = nvidia_driver(host.root)
    if driver is not None:
        return Check("gpu", True, f"NVIDIA, driver {driver}")
    if host.has_gpu:
        fix = "sudo ubuntu-drivers install (Debian: apt-get install nvidia-driver) && sudo reboot"
        return Check("gpu", False, "an NVIDIA GPU without its driver", fix)
    fix = "none needed; in a container: docker run --gpus all, on a Jetson --runtime nvidia"
    return Check("gpu", False, "no NVIDIA GPU: models run on the CPU", fix)


def check_power_mode(host: Host) -> Check | None:
    """Say which power mode a Jetson is in; None elsewhere."""
    if host.l4t is None:
        return None
    config = host.read("etc/nvpmodel.conf") or ""
    modes = dict(re.findall(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", config, re.MULTILINE))
    status = re.search(r"\d+", host.read("var/lib/nvpmodel/status") or "")
    if status is None:
        return Check("power mode", False, "nvpmodel does not tell it", "sudo nvpmodel -q")
    mode = str(int(status[0]))
    best = next((number for number, name in modes.items() if name.startswith("MAXN")), "0")
    detail = f"{modes.get(mode, 'mode')} ({mode})"
    if mode == best:
        return Check("power mode", True, detail)
    fix = f"sudo nvpmodel -m {best}"
    return Check("power mode", False, f"{detail}: the fastest is {modes.get(best, best)}", fix)


def check_clocks(host: Host) -> Check:
    """Say whether the clocks may fall: on a Jetson by their limits, elsewhere by the governor."""
    folders = sorted(host.root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq"))
    if not folders:
        return Check("clocks", True, "not shown by this machine")
    if host.l4t:
        free = [
            folder
            for folder in folders
            if read_text(folder / "scaling_min_freq") != read_text(folder / "scaling_max_freq")
        ]
        if not free:
            return Check("clocks", True, "held at their highest (jetson_clocks)")
        detail = f"{len(free)} of {len(folders)} cores may clock down between frames"
        return Check("clocks", False, detail, "sudo jetson_clocks")
    governors = sorted({read_text(folder / "scaling_governor") or "?" for folder in folders})
    drivers = {read_text(folder / "scaling_driver") or "" for folder in folders}
    slow = "powersave" in governors and not drivers & {"intel_pstate", "amd-pstate-epp"}
    fix = "sudo cpupower frequency-set -g schedutil" if slow else None
    return Check("clocks", not slow, f"governor {', '.join(governors)}", fix)


def check_heat(host: Host) -> Check:
    """Say whether the machine is held back by its heat or its supply."""
    hot = max(_zones(host), default=None)
    held = sorted(
        read_text(cooler / "type") or cooler.name
        for cooler in host.root.glob("sys/class/thermal/cooling_device*")
        if _THROTTLES.search(read_text(cooler / "type") or "")
        and (read_number(cooler / "cur_state") or 0) > 0
    )
    over_current = sum(
        read_number(path) or 0 for path in host.root.glob("sys/class/hwmon/hwmon*/oc*_event_cnt")
    )
    detail = f"hottest: {hot[1]} {hot[0]:.0f} °C" if hot else "no sensor to read"
    if held:
        fix = "cool it (fan, heat sink), or choose a lower power mode: sudo nvpmodel -m ID"
        return Check("heat", False, f"{detail}; throttled: {', '.join(held)}", fix)
    if over_current:
        fix = "a stronger power supply, or a lower power mode: sudo nvpmodel -m ID"
        return Check("heat", False, f"{detail}; {over_current} over-current events", fix)
    return Check("heat", True, f"{detail}, not throttled" if hot else detail)


def _zones(host: Host) -> Iterator[tuple[float, str]]:
    for zone in host.root.glob("sys/class/thermal/thermal_zone*"):
        value = read_number(zone / "temp")
        if value is not None:
            yield value / 1e3, read_text(zone / "type") or zone.name


def check_memory(host: Host) -> Check:
    """Say whether there is memory, or swap, enough to build an engine."""
    lines = re.findall(r"^(\w+):\s+(\d+) kB", host.read("proc/meminfo") or "", re.MULTILINE)
    gib = {name: int(value) / 2**20 for name, value in lines}
    if "MemTotal" not in gib:
        return Check("memory and swap", True, "not shown by this machine")
    memory, swap = gib["MemTotal"], gib.get("SwapTotal", 0.0)
    detail = f"{memory:.1f} GiB, {swap:.1f} GiB of swap"
    if memory >= _MEMORY_GIB or swap > 0:
        return Check("memory and swap", True, detail)
    fix = (
        "sudo fallocate -l 8G /swapfile && sudo chmod 600 /swapfile && sudo mkswap /swapfile && "
        "sudo swapon /swapfile && echo '/swapfile none swap sw 0 0' | sudo tee -a /etc/fstab"
    )
    return Check("memory and swap", False, f"{detail}: building an engine may run out", fix)


def check_disk(folder: Path) -> Check:
    """Say whether there is room for engines and recordings."""
    place = _nearest(folder)
    free = shutil.disk_usage(place).free / _GIB
    if free >= _DISK_GIB:
        return Check("disk", True, f"{free:.1f} GiB free for {folder}")
    fix = f"make room, or: export {FOLDER_VARIABLE}=/another/disk/dayshift"
    return Check("disk", False, f"{free:.1f} GiB free for {folder}, {_DISK_GIB} are wanted", fix)


def check_cache(folder: Path | None = None) -> Check:
    """Say whether the folder of compiled engines is this user's, private and writable."""
    folder = folder or cache_root() / "tensorrt"
    quoted = shlex.quote(str(folder))
    place = _nearest(folder)
    if place != folder:
        if os.access(place, os.W_OK):
            return Check("engine cache", True, f"{folder}, made when it is needed")
        fix = f"export {FOLDER_VARIABLE}=/a/folder/of/yours"
        return Check("engine cache", False, f"{folder} cannot be made: no write to {place}", fix)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        detail = f"{folder} is not a folder of this user's own, so it is refused"
        return Check("engine cache", False, detail, f"sudo rm -r {quoted}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        detail = f"{folder} is open to other users (mode {stat.S_IMODE(status.st_mode):04o})"
        return Check("engine cache", False, detail, f"rm -r {quoted}")
    if not os.access(folder, os.W_OK | os.X_OK):
        detail = f"{folder} cannot be written to"
        return Check("engine cache", False, detail, f"chmod 700 {quoted}")
    engines = len(list(folder.glob("*.engine")))
    return Check("engine cache", True, f"{folder}, private, {engines} engines")


def _nearest(folder: Path) -> Path:
    """Return the folder itself, or the nearest one above that is there."""
    return next(place for place in (folder, *folder.parents) if os.path.lexists(place))


def check_port(host: Host, port: int = PAGE_PORT) -> Check:
    """Say whether the browser page's port is free."""
    name = f"port {port}"
    with contextlib.closing(socket.socket()) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind(("", port))
        except OSError as error:
            user = listener_of(host.root, port) or "another program"
            fix = f"dayshift run SOURCE http://:{port + 1}"
            return Check(name, False, f"{error.strerror}: {user} has it", fix)
    return Check(name, True, "free")
