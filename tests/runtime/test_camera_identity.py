from __future__ import annotations

from pathlib import Path

import pytest

from dayshift.runtime.errors import SourceError
from dayshift.runtime.sources.camera_identity import Identity


class Machine:
    """Cameras as the kernel and udev show them, in a folder."""

    def __init__(self, root: Path) -> None:
        self.dev, self.sys = root / "dev", root / "sys"
        self.by_id = self.dev / "v4l" / "by-id"
        self.by_id.mkdir(parents=True)
        self.sys.mkdir()

    def plug(self, number: int, name: str, port: str, *, link: str | None = None) -> str:
        node = self.dev / f"video{number}"
        node.touch()
        about = self.sys / node.name
        about.mkdir()
        (about / "name").write_text(f"{name}\n")
        (about / "index").write_text("0\n")
        device = self.sys / port
        device.mkdir(exist_ok=True)
        (about / "device").symlink_to(device)
        if link is not None:
            (self.by_id / link).symlink_to(node)
        return str(node)

    def unplug(self, number: int) -> None:
        node = self.dev / f"video{number}"
        for link in self.by_id.iterdir():
            if link.resolve() == node:
                link.unlink()
        node.unlink()
        for entry in (about := self.sys / node.name).iterdir():
            entry.unlink()
        about.rmdir()

    def identify(self, node: str, named: str = "0") -> Identity:
        return Identity.of(node, named, dev=self.dev, sys=self.sys)

    def find(self, identity: Identity) -> str:
        return identity.find(dev=self.dev, sys=self.sys)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_camera_that_comes_back_by_another_number_is_found_by_its_link(machine: Machine) -> None:
    identity = machine.identify(machine.plug(0, "Cam", "usb1", link="usb-Cam-A"))
    machine.unplug(0)
    machine.plug(0, "Other", "usb2", link="usb-Other-B")
    back = machine.plug(3, "Cam", "usb1", link="usb-Cam-A")
    assert str(Path(machine.find(identity)).resolve()) == back


def test_without_links_a_camera_is_found_by_its_name_and_port(machine: Machine) -> None:
    identity = machine.identify(machine.plug(0, "Cam", "usb1"))
    machine.unplug(0)
    machine.plug(0, "Cam", "usb2")
    back = machine.plug(2, "Cam", "usb1")
    assert machine.find(identity) == back


@pytest.mark.parametrize("link", ["usb-Cam-A", None])
def test_a_camera_that_took_the_number_of_another_is_not_taken_for_it(
    link: str | None, machine: Machine
) -> None:
    identity = machine.identify(machine.plug(0, "Cam", "usb1", link=link))
    machine.unplug(0)
    machine.plug(0, "Other", "usb1", link="usb-Other-B")
    with pytest.raises(SourceError, match=r"is not there: check its cable"):
        machine.find(identity)


def test_a_link_that_was_named_is_kept(machine: Machine) -> None:
    node = machine.plug(0, "Cam", "usb1", link="usb-Cam-A")
    named = str(machine.by_id / "usb-Cam-A")
    assert machine.find(machine.identify(node, named)) == named


def test_where_the_kernel_tells_nothing_the_node_is_all_there_is(machine: Machine) -> None:
    assert machine.find(machine.identify("/dev/video7", "7")) == "/dev/video7"
