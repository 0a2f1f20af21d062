"""Updates of model folders: genuine, newer and working ones are put to use, and nothing else."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dayshift.runtime.bundled import model_folder
from dayshift.runtime.errors import GateError, UpdateError, UsageError
from dayshift.runtime.model_files import load_spec
from dayshift.runtime.updates.install import check, go_back, install
from dayshift.runtime.updates.manifest import Manifest, Reference, read_private_key
from dayshift.runtime.updates.origin import Origin
from dayshift.runtime.updates.trial import Trial, try_model
from dayshift.runtime.updates.versions import Versions

Publish = Callable[..., Path]
Update = Callable[..., object]


def no_trial(_folder: Path, _reference: Reference | None) -> Trial:
    return Trial("none", "fp32", None)


@pytest.fixture
def device(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "device")


@pytest.fixture
def update(device: Versions, signing_key: Ed25519PrivateKey) -> Update:
    """Update the device from a folder or address, without trying the model."""
    keys = [signing_key.public_key()]

    def run(origin: object, **options: Any) -> object:
        return install(device, Origin(str(origin)), keys, **{"trial": no_trial, **options})

    return run


def in_use(device: Versions) -> str:
    """What a stream that starts now would run: its files are all there and right."""
    folder = model_folder(device.folder)
    manifest = Manifest.model_validate_json((folder / "update.json").read_bytes())
    for file in manifest.files:
        assert len((folder / file.path).read_bytes()) == file.bytes
    return load_spec(folder).summary


def resign(
    folder: Path, key: Ed25519PrivateKey, change: Callable[[dict[str, Any]], object]
) -> None:
    """Change a manifest and sign it with the right key, as a signer who errs would."""
    manifest = json.loads((folder / "update.json").read_text())
    change(manifest)
    content = json.dumps(manifest).encode()
    (folder / "update.json").write_bytes(content)
    (folder / "update.sig").write_bytes(key.sign(content))


def test_the_first_update_makes_the_folder_and_the_next_is_switched_to(
    device: Versions, update: Update, publish: Publish
) -> None:
    update(publish(1))
    assert in_use(device) == "version 1"
    update(publish(2))
    assert (in_use(device), device.previous) == ("version 2", 1)
    # What began on version 1 goes on with it.
    assert load_spec(device.path(1)).summary == "version 1"


def test_the_same_update_again_changes_nothing(update: Update, publish: Publish) -> None:
    folder = publish(1)
    update(folder)
    outcome: Any = update(folder)
    assert (outcome.before, outcome.version, outcome.reason) == (1, 1, "it is up to date")


@pytest.mark.parametrize(
    "damage", ["graph", "spec", "manifest", "signature", "no signature", "link"]
)
def test_what_was_changed_on_its_way_is_refused(
    device: Versions, update: Update, publish: Publish, damage: str
) -> None:
    update(publish(1))
    folder = publish(2)
    names = {"graph": "fp32.onnx", "spec": "model.json", "manifest": "update.json"}
    path = folder / names.get(damage, "update.sig")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    if damage == "no signature":
        path.unlink()
    if damage == "link":
        path.unlink()
        path.symlink_to("/dev/zero")
    with pytest.raises(UpdateError, match=r"not the one that was signed|signature|cannot read"):
        update(folder)
    assert in_use(device) == "version 1"
    assert device.installed() == [1]


def test_an_update_of_another_signer_is_refused(update: Update, publish: Publish) -> None:
    folder = publish(1)
    resign(folder, Ed25519PrivateKey.generate(), lambda _: None)
    with pytest.raises(UpdateError, match="was not made with the key given"):
        update(folder)


def test_one_of_several_keys_is_enough(
    device: Versions, publish: Publish, signing_key: Ed25519PrivateKey
) -> None:
    keys = [Ed25519PrivateKey.generate().public_key(), signing_key.public_key()]
    install(device, Origin(str(publish(1))), keys, trial=no_trial)
    assert in_use(device) == "version 1"


def test_an_old_update_is_refused_unless_asked_for(
    device: Versions, update: Update, publish: Publish
) -> None:
    old = publish(1)
    update(publish(2))
    with pytest.raises(UpdateError, match=r"has version 1, expected one above 2: .*--allow-older"):
        update(old)
    update(old, allow_older=True)
    assert in_use(device) == "version 1"
    # Having gone back does not open the way for what lies between.
    with pytest.raises(UpdateError, match="expected one above 2"):
        update(device.path(2))


def test_a_version_that_was_rolled_back_does_not_come_again(
    device: Versions, update: Update, publish: Publish
) -> None:
    folders = {version: publish(version) for version in (1, 2, 3)}
    for folder in folders.values():
        update(folder)
    assert go_back(device).version == 2
    assert in_use(device) == "version 2"
    with pytest.raises(UpdateError, match="has version 3, expected one above 3"):
        update(folders[3])
    # Once more goes further back, not to the one that was left.
    assert go_back(device).version == 1
    with pytest.raises(UpdateError, match="has no version before 1 to go back to"):
        go_back(device)
    update(publish(4))
    assert in_use(device) == "version 4"


def test_another_model_is_refused_though_it_is_signed(
    device: Versions, update: Update, publish: Publish
) -> None:
    update(publish(1))
    with pytest.raises(UpdateError, match="is of model other, expected tiny"):
        update(publish(2, name="other"))
    assert in_use(device) == "version 1"


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["files"][0].update(path="../../evil"),
        lambda m: m["files"][0].update(path="/etc/cron.d/evil"),
        lambda m: m["files"][0].update(path=".hidden"),
        lambda m: m["files"][0].update(bytes=1 << 40),
        lambda m: m.update(version=10**30),
        lambda m: m.update(version=-1),
        lambda m: m.update(files=[]),
        lambda m: m.update(kind="letter"),
    ],
)
def test_a_manifest_that_leaves_its_folder_or_its_bounds_is_refused(
    device: Versions,
    update: Update,
    publish: Publish,
    signing_key: Ed25519PrivateKey,
    change: Callable[[dict[str, Any]], object],
) -> None:
    folder = publish(1)
    resign(folder, signing_key, change)
    with pytest.raises(UpdateError, match="is signed, but "):
        update(folder)
    assert device.installed() == []


def test_a_model_that_does_not_work_is_not_put_to_use(
    device: Versions, update: Update, publish: Publish, signing_key: Ed25519PrivateKey
) -> None:
    update(publish(1))
    folder = publish(2)
    for graph in folder.glob("*.onnx"):
        graph.write_bytes(b"\x3a\x05\x5a\x03not")
    _list_anew(folder, signing_key)
    with pytest.raises(UpdateError, match=r"does not work here: .*refused the graph"):
        update(folder, trial=functools.partial(try_model, backend="openvino"))
    assert in_use(device) == "version 1"
    assert device.installed() == [1]


def _list_anew(folder: Path, key: Ed25519PrivateKey) -> None:
    from dayshift.runtime.model_files import describe_file
    from dayshift.runtime.updates.sign import sign_model

    spec = json.loads((folder / "model.json").read_text())
    for form in spec["forms"].values():
        for precision, file in form["files"].items():
            form["files"][precision] = describe_file(folder / file["path"]).model_dump()
    (folder / "model.json").write_text(json.dumps(spec))
    sign_model(folder, key, json.loads((folder / "update.json").read_text())["version"])


def test_an_engine_that_crashes_takes_the_trial_along_and_not_the_update(
    publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dayshift.runtime.updates import trial

    monkeypatch.setattr(trial, "_START", "import os; os.kill(os.getpid(), 11)")
    with pytest.raises(UpdateError, match="ended the process with signal 11"):
        try_model(publish(1), None)


def test_a_trial_without_an_end_is_ended(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    from dayshift.runtime.updates import trial

    monkeypatch.setattr(trial, "_START", "import time; time.sleep(600)")
    monkeypatch.setattr(trial, "TIMEOUT_S", 0.5)
    with pytest.raises(UpdateError, match=r"was tried for 0\.5 s without an end"):
        try_model(publish(1), None)


def test_modules_of_the_working_folder_are_not_run(
    publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('evil')")
    (tmp_path / "numpy.py").write_text("raise SystemExit('evil')")
    monkeypatch.chdir(tmp_path)
    assert try_model(publish(1), None).backend == "openvino"


def test_the_image_is_compared_with_the_one_where_it_was_signed(
    update: Update,
    device: Versions,
    publish: Publish,
    signing_key: Ed25519PrivateKey,
    tmp_path: Path,
    street: Callable[[int, int], Any],
) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "street.png"), street(96, 128))
    folder = publish(1, frame=tmp_path / "street.png")
    outcome: Any = update(folder, trial=try_model)
    assert outcome.trial.psnr_db is None or outcome.trial.psnr_db > 30
    other = publish(2, frame=tmp_path / "street.png")
    # Signed where the model painted something else.
    cv2.imwrite(str(other / "reference.image.png"), 255 - street(96, 128))
    content = (other / "reference.image.png").read_bytes()
    resign(other, signing_key, lambda m: _describe(m, "reference.image.png", content))
    with pytest.raises(
        GateError, match="dB from the one where it was signed, expected at least 30"
    ):
        update(other, trial=try_model)
    assert in_use(device) == "version 1"


def _describe(manifest: dict[str, Any], name: str, content: bytes) -> None:
    import hashlib

    for file in manifest["files"]:
        if file["path"] == name:
            file.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def test_a_check_goes_back_to_the_last_version_that_works(
    device: Versions, update: Update, publish: Publish
) -> None:
    for version in (1, 2, 3):
        update(publish(version))
    assert check(device, trial=no_trial).version == 3
    (device.path(3) / "int8.onnx").write_bytes(b"the disk forgot")
    shutil.rmtree(device.path(2))
    outcome = check(device, trial=no_trial)
    assert (outcome.version, in_use(device)) == (1, "version 1")
    assert "3: cannot read" in outcome.reason or "3: int8.onnx is not" in outcome.reason
    (device.path(1) / "model.json").unlink()
    with pytest.raises(UpdateError, match=r"no version in .* works: 1: "):
        check(device, trial=no_trial)


def test_a_few_versions_are_kept_and_the_rest_removed(
    device: Versions, update: Update, publish: Publish
) -> None:
    for version in range(1, 7):
        update(publish(version))
    assert device.installed() == [4, 5, 6]
    names = {path.name for path in device.folder.iterdir()}
    assert names == {".lock", "current", "previous", "versions"}


def test_two_updates_at_once_are_one(device: Versions, update: Update, publish: Publish) -> None:
    folder = publish(1)
    with device.lock(), pytest.raises(UpdateError, match=r"another update of .* is running"):
        update(folder)


def test_a_model_folder_is_not_taken_for_a_folder_of_versions(publish: Publish) -> None:
    with pytest.raises(UpdateError, match="is a model folder: expected a new name"):
        Versions(publish(1))


@pytest.mark.parametrize("target", ["/etc", "versions/../..", "versions/x", "../versions/1"])
def test_a_link_that_leads_elsewhere_is_no_version(device: Versions, target: str) -> None:
    with device.lock():
        (device.folder / "current").symlink_to(target)
    assert device.current is None


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server for what is published."""
    folder = tmp_path / "published"
    folder.mkdir(exist_ok=True)
    handler = functools.partial(_Handler, directory=str(folder))
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_an_update_comes_from_a_web_server(
    device: Versions, update: Update, publish: Publish, web: str
) -> None:
    update(f"{web}/{publish(1).name}/")
    assert in_use(device) == "version 1"


def test_a_server_that_sends_more_than_was_signed_is_not_read_to_its_end(
    device: Versions, update: Update, publish: Publish, web: str
) -> None:
    folder = publish(1)
    with (folder / "fp16.onnx").open("ab") as file:
        os.truncate(file.fileno(), 1 << 36)  # sparse: it takes no room here
    with pytest.raises(UpdateError, match=r"fp16\.onnx has more than \d+ bytes"):
        update(f"{web}/{folder.name}")
    with pytest.raises(UpdateError, match="expected at most"):
        update(folder)
    assert device.installed() == []


def test_what_cannot_be_fetched_is_told(update: Update, web: str) -> None:
    with pytest.raises(UpdateError, match=r"cannot fetch .*update\.json \(File not found\)"):
        update(f"{web}/nowhere")
    with pytest.raises(UpdateError, match="Connection refused"):
        update("http://127.0.0.1:9")


@pytest.mark.parametrize(
    "place", ["ftp://x/y", "https://ann:secret@x/y", "http://x/y?token=secret"]
)
def test_an_address_with_a_secret_or_of_another_kind_is_refused(place: str) -> None:
    with pytest.raises(UsageError) as caught:
        Origin(place)
    assert "secret" not in str(caught.value)


def test_keys_that_are_none_are_told(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(UsageError, match="cannot read the key"):
        read_private_key(path, None)
    path.write_text("not a key")
    with pytest.raises(UsageError, match="is no private key"):
        read_private_key(path, None)


# The commands


def test_sign_and_update_from_the_command_line(
    dayshift_command: Callable[..., Any], tiny_model: Path, tmp_path: Path, key_files: Any
) -> None:
    private, public = key_files
    source = shutil.copytree(tiny_model, tmp_path / "source")
    done = dayshift_command("sign", source, "--key", private)
    assert (done.code, done.err) == (0, "")
    # Without a number the time is the version: the next is above it.
    assert json.loads((source / "update.json").read_text())["version"] > 20260101000000
    words = ["update", tmp_path / "device", "--from", source, "--key", public, "--json", "-"]
    done = dayshift_command(*words)
    told = json.loads(done.out)
    assert (done.code, told["version_before"], told["trial"]["backend"]) == (0, None, "openvino")
    done = dayshift_command("info", tmp_path / "device")
    assert f"versions/{told['version']}" in done.out.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize(
    "words", [[], ["--rollback", "--check"], ["--from", "x"], ["--from", "x", "--key", "nothing"]]
)
def test_half_a_request_is_a_usage_error(
    dayshift_command: Callable[..., Any], tmp_path: Path, words: list[str]
) -> None:
    done = dayshift_command("update", tmp_path / "device", *words)
    assert done.code == 2
    assert "expected" in done.error
    assert not (tmp_path / "device").exists()


def test_going_back_where_nothing_is(dayshift_command: Callable[..., Any], tmp_path: Path) -> None:
    done = dayshift_command("update", tmp_path / "device", "--rollback")
    assert (done.code, "has no version to go back to" in done.error) == (1, True)
