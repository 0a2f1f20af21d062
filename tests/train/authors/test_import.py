"""Checkpoints of the authors' repositories: recognised, read as data, refused with a reason."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="import needs torch: pip install 'dayshift[train]'")

import torch
from torch import Tensor

from dayshift.runtime.errors import UsageError
from dayshift.train.authors.convert import Wish, import_checkpoint
from dayshift.train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from dayshift.train.networks.inference import set_inference
from dayshift.train.networks.presets import build_network

GOLDEN = Path(__file__).parents[2] / "data" / "golden"

GENERATORS = {
    "cyclegan_resnet_9blocks": ("cyclegan", "resnet_9blocks"),
    "cyclegan_resnet_6blocks": ("cyclegan", "resnet_6blocks"),
    "pix2pix_resnet_9blocks_batch_dropout": ("pix2pix", "resnet_9blocks"),
    "pix2pix_unet_256": ("pix2pix", "unet_256"),
    "pix2pix_unet_128": ("pix2pix", "unet_128"),
    "cut_resnet_9blocks": ("cut", "cut_resnet_9blocks"),
    "spade_generator": ("spade", "spade"),
    "unit_gen": ("unit", "unit"),
}


def find(file: str) -> Path:
    folders = [GOLDEN, *(Path(f) for f in [os.environ.get("DAYSHIFT_GOLDEN", "")] if f)]
    for folder in folders:
        if (folder / file).exists():
            return folder / file
    pytest.skip(f"{file} is too large for git: set DAYSHIFT_GOLDEN to a folder that has it")


def resnet_state(**settings: object) -> dict[str, Tensor]:
    torch.manual_seed(0)
    network = build_network("resnet_6blocks", width=4, blocks=2, **settings)  # type: ignore[arg-type]
    return network.state_dict()


def write(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("name", GENERATORS)
def test_a_golden_file_is_recognised_by_its_keys_and_gives_the_stored_output(
    name: str, tmp_path: Path
) -> None:
    golden = np.load(find(f"{name}.npz"))
    imported, _ = import_checkpoint(find(f"{name}.pth"))
    save_checkpoint(tmp_path / "it.safetensors", imported)
    read = load_checkpoint(tmp_path / "it.safetensors")
    assert (read.method, read.record().name) == GENERATORS[name]
    assert read.step == 0
    assert read.facts["imported_from"] == f"{name}.pth"
    network = read.network()
    set_inference(network)
    with torch.no_grad():
        output = network(torch.from_numpy(golden["input0"]))
    np.testing.assert_allclose(output.numpy(), golden["output"], atol=1e-4)


def test_both_directions_of_unit_are_imported() -> None:
    imported, _ = import_checkpoint(find("unit_gen.pth"))
    assert list(imported.networks) == ["a_to_b", "b_to_a"]
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        there, back = (imported.network(direction)(x) for direction in imported.networks)
    assert not torch.allclose(there, back)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "netG_A.", "module.netG."])
def test_prefixes_of_wrappers_are_taken_off(tmp_path: Path, prefix: str) -> None:
    state = resnet_state()
    path = write(tmp_path / "G.pth", {f"{prefix}{key}": value for key, value in state.items()})
    imported, _ = import_checkpoint(path)
    assert imported.part(imported.record().part).keys() == state.keys()


def test_statistics_that_instance_norm_of_old_pytorch_left_are_dropped(tmp_path: Path) -> None:
    state = resnet_state()
    state |= {"model.2.running_mean": torch.zeros(4), "model.2.running_var": torch.ones(4)}
    imported, _ = import_checkpoint(write(tmp_path / "latest_net_G_B.pth", state))
    assert list(imported.networks) == ["b_to_a"]
    assert imported.record().settings["norm"] == "instance"


def test_batch_norm_without_statistics_uses_the_images_own(tmp_path: Path) -> None:
    state = {k: v for k, v in resnet_state(norm="batch").items() if "running" not in k}
    path = write(tmp_path / "G.pth", state)
    imported, told = import_checkpoint(path)
    assert imported.record().norm == "batch"
    assert "batch norm: statistics of the image itself, since none are stored" in told
    with pytest.raises(CheckpointError, match=r"no running statistics .* --norm batch"):
        import_checkpoint(path, Wish(norm="running"))


def test_batch_norm_of_pytorch_before_it_counted_batches_is_read(tmp_path: Path) -> None:
    state = {k: v for k, v in resnet_state(norm="batch").items() if "num_batches" not in k}
    imported, _ = import_checkpoint(write(tmp_path / "G.pth", state), Wish(norm="batch"))
    assert (imported.record().norm, imported.record().dropout) == ("batch", False)


def test_a_setting_that_keys_cannot_tell_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "G.pth", resnet_state())
    imported, _ = import_checkpoint(path, Wish(settings={"padding": "replicate"}))
    assert imported.record().settings["padding"] == "replicate"


def test_another_network_is_refused_with_the_keys_that_differ_and_the_one_that_fits(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "G.pth", resnet_state())
    with pytest.raises(CheckpointError) as caught:
        import_checkpoint(path, Wish(network="unet_256"))
    message = str(caught.value)
    assert "is not of network unet_256: it lacks model.model.0.weight" in message
    assert "has besides model.1.weight" in message
    assert "these keys are of --network resnet_9blocks --set" in message
    assert "--set blocks=2" in message


def test_a_setting_that_contradicts_the_weights_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "G.pth", resnet_state())
    with pytest.raises(CheckpointError, match=r"has other shapes at model\.1\.weight"):
        import_checkpoint(path, Wish(settings={"width": 8}))


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(ran),))

    path = tmp_path / "G.pth"
    path.write_bytes(pickle.dumps({"model.1.weight": Trap()}, protocol=2))
    with pytest.raises(CheckpointError, match=r"would run \w+\.mkdir .*refused.*state_dict"):
        import_checkpoint(path)
    path = write(tmp_path / "H.pth", {"model.1.weight": Trap()})
    with pytest.raises(CheckpointError, match=r"would run \w+\.mkdir"):
        import_checkpoint(path)
    assert not ran.exists()


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "G.pth", resnet_state()).read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"cannot read .*cut\.pth .*cut off or damaged"):
        import_checkpoint(tmp_path / "cut.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list, expected a state dict"),
        ({"epoch": 3}, "holds 1 entries of int, expected a state dict"),
        ({"x": torch.zeros(2), "y": torch.ones(3)}, "cannot tell which network .* begin x, y"),
        (
            {"model.0.weight": torch.zeros(8, 3, 4, 4), "model.2.weight": torch.zeros(1, 8, 4, 4)},
            "is a discriminator's, which translates nothing",
        ),
    ],
)
def test_what_is_no_generator_is_refused_by_what_it_is(
    tmp_path: Path, content: object, message: str
) -> None:
    path = write(tmp_path / "it.pth", content)
    with pytest.raises((CheckpointError, UsageError), match=message):
        import_checkpoint(path)


def test_a_missing_file_and_a_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint .*none\.pth"):
        import_checkpoint(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="is a folder"):
        import_checkpoint(tmp_path)
