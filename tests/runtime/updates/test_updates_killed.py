"""An update that is killed leaves a working model, and a stream that runs meanwhile goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dayshift.runtime.model import load
from dayshift.runtime.updates.install import install
from dayshift.runtime.updates.manifest import Reference, read_public_key
from dayshift.runtime.updates.origin import Origin
from dayshift.runtime.updates.trial import Trial
from dayshift.runtime.updates.versions import Versions

Publish = Callable[..., Path]
DRIVER = Path(__file__).with_name("killed.py")


def no_trial(_folder: Path, _reference: Reference | None) -> Trial:
    return Trial("none", "fp32", None)


@pytest.mark.parametrize("change", ["first", "update", "again", "rollback", "check"])
def test_killed_at_every_step_it_leaves_a_working_model(
    tmp_path: Path, publish: Publish, key_files: tuple[Path, Path], change: str
) -> None:
    device, keys = Versions(tmp_path / "device"), [read_public_key(key_files[1])]
    published = [publish(version) for version in (1, 2, 3, 4, 9)]
    for folder in published[:3]:
        install(device, Origin(str(folder)), keys, trial=no_trial)
    words = [sys.executable, str(DRIVER), change, str(device.folder), str(key_files[1])]
    words += map(str, published)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 10


@pytest.mark.slow
def test_the_command_killed_at_any_time_leaves_a_working_model(
    tmp_path: Path, publish: Publish, key_files: tuple[Path, Path]
) -> None:
    device, key = tmp_path / "device", key_files[1]
    install(Versions(device), Origin(str(publish(1))), [read_public_key(key)], trial=no_trial)
    words = [sys.executable, "-m", "dayshift", "update", str(device), "--key", str(key), "--from"]
    rng = random.Random(0)
    for version in range(2, 22):
        with subprocess.Popen(
            [*words, str(publish(version))], stdout=subprocess.DEVNULL, start_new_session=True
        ) as process:
            time.sleep(rng.uniform(0.2, 2.5))
            os.killpg(process.pid, signal.SIGKILL)
        load(device, backend="openvino", size=(64, 64)).close()
    assert subprocess.run([*words, str(publish(30))], check=False).returncode == 0
    assert Versions(device).current == 30


def test_a_stream_goes_on_while_its_model_is_updated(
    tmp_path: Path, publish: Publish, key_files: tuple[Path, Path]
) -> None:
    device, keys = Versions(tmp_path / "device"), [read_public_key(key_files[1])]
    install(device, Origin(str(publish(1))), keys, trial=no_trial)
    source = "synthetic://?size=160x128&fps=30&frames=90"
    stream = [sys.executable, "-m", "dayshift", "run", source, "null://", "--model"]
    with subprocess.Popen(
        [*stream, str(device.folder), "--policy", "adaptive", "--rate", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for version in range(2, 30):
            if process.poll() is not None:
                break
            install(device, Origin(str(publish(version))), keys, trial=no_trial)
            # A model that is loaded at any moment is whole.
            load(device.folder, backend="openvino", size=(64, 64)).close()
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "dayshift run" in out
    assert device.current is not None
    assert device.current > 2
