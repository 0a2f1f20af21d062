from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from dayshift.runtime.errors import UsageError
from dayshift.train.checkpoint import (
    Checkpoint,
    CheckpointError,
    NetworkRecord,
    load_checkpoint,
    save_checkpoint,
)
from dayshift.train.loop.state import pack, unpack
from dayshift.train.networks.gain_light import GainLight, GainLightConfig


@pytest.fixture
def network() -> GainLight:
    torch.manual_seed(0)
    return GainLight(GainLightConfig((4, 4, 8), 1)).eval()


@pytest.fixture
def checkpoint(network: GainLight) -> Checkpoint:
    record = NetworkRecord("gain_light", "ema.generator", asdict(network.config))
    tensors = {f"ema.generator/{name}": value for name, value in network.state_dict().items()}
    facts = {"seconds": 1.5, "data": {"photos": 3}}
    return Checkpoint("relight", {"a_to_b": record}, tensors, {"name": "tiny"}, 7, facts)


def test_what_is_saved_is_what_is_read(
    checkpoint: Checkpoint, network: GainLight, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "new/c.safetensors", checkpoint)
    loaded = load_checkpoint(tmp_path / "new/c.safetensors")
    assert (loaded.method, loaded.step, loaded.facts) == ("relight", 7, checkpoint.facts)
    assert loaded.recipe == {"name": "tiny"}
    inputs = torch.rand(1, 3, 16, 32), torch.ones(1), torch.ones(1)
    for expected, got in zip(network(*inputs), loaded.network("a_to_b")(*inputs), strict=True):
        assert torch.equal(expected, got)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["c.safetensors"]


def test_a_checkpoint_is_as_readable_as_any_new_file(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "plain").touch()
    save_checkpoint(tmp_path / "c.safetensors", checkpoint)
    assert (tmp_path / "c.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_an_optimizer_comes_back_whole() -> None:
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1, betas=(0.5, 0.9))
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    tensors, packed = pack("optimizer", optimizer.state_dict())
    assert "optimizer/state/0/exp_avg" in tensors
    state = unpack(json.loads(json.dumps(packed)), tensors)
    other = torch.optim.Adam(layer.parameters())
    other.load_state_dict(state)
    assert other.param_groups[0]["lr"] == 0.1
    assert list(other.param_groups[0]["betas"]) == [0.5, 0.9]
    for parameter in layer.parameters():
        for name, value in optimizer.state[parameter].items():
            assert torch.equal(value, other.state[parameter][name])


def test_a_state_that_is_no_json_is_refused_by_its_path() -> None:
    with pytest.raises(TypeError, match="got a set at pool/seen"):
        pack("pool", {"seen": {1}})


def test_layers_that_share_memory_or_lie_scattered_are_written_once_for_each(
    tmp_path: Path,
) -> None:
    shared = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    tensors = {"a/weight": shared, "b/weight": shared, "c/row": shared[0], "d/none": torch.empty(0)}
    save_checkpoint(tmp_path / "c.safetensors", Checkpoint("unit", {}, tensors))
    loaded = load_checkpoint(tmp_path / "c.safetensors").tensors
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items())


def test_batch_norm_of_the_image_itself_and_dropout_are_kept_as_recorded() -> None:
    record = NetworkRecord("gain_light", "g", {"channels": [4, 4, 8], "blocks": 1}, norm="batch")
    plain = GainLight(GainLightConfig((4, 4, 8), 1)).train()
    tensors = {f"g/{name}": value for name, value in plain.state_dict().items()}
    network = Checkpoint("pix2pix", {"a_to_b": record}, tensors).network()
    inputs = torch.rand(1, 3, 16, 32), torch.ones(1), torch.ones(1)
    with torch.no_grad():
        expected, got = plain(*inputs)[0], network(*inputs)[0]
    assert not network.training
    assert torch.allclose(expected, got, atol=1e-6)


def test_a_direction_that_is_not_there_lists_those_that_are(checkpoint: Checkpoint) -> None:
    with pytest.raises(UsageError, match=r"no direction 'b_to_a'.*take one of a_to_b"):
        checkpoint.network("b_to_a")


def test_weights_of_another_network_are_refused_in_one_line(checkpoint: Checkpoint) -> None:
    record = replace(checkpoint.networks["a_to_b"], settings={"channels": [8, 8, 8]})
    with pytest.raises(CheckpointError, match=r"'ema\.generator', network 'gain_light'") as caught:
        replace(checkpoint, networks={"a_to_b": record}).network()
    assert "\n" not in str(caught.value)


def test_a_missing_cut_off_or_foreign_file_is_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(CheckpointError, match=r"no checkpoint .*c\.safetensors"):
        load_checkpoint(path)
    with pytest.raises(CheckpointError, match="is a folder"):
        load_checkpoint(tmp_path)
    save_checkpoint(path, checkpoint)
    whole = path.read_bytes()
    for content in (b"", b"nonsense", whole[: len(whole) // 2], whole[:6]):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"cannot read .*c\.safetensors.*cut off"):
            load_checkpoint(path)
    torch.save({"a": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match=r"PyTorch pickle.*dayshift import"):
        load_checkpoint(path)
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="no dayshift checkpoint"):
        load_checkpoint(path)
    save_file({"a": torch.ones(1)}, path, {"dayshift": '{"format_version": 99}'})
    with pytest.raises(CheckpointError, match=r"format 99, this dayshift reads 2"):
        load_checkpoint(path)


def test_a_full_disk_is_said_and_leaves_the_old_checkpoint(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, checkpoint)
    # The kernel's limit on a file's size fails a write as a full disk does: half-way.
    code = f"""
import resource, signal, torch
from pathlib import Path
from dayshift.train.checkpoint import Checkpoint, save_checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    save_checkpoint(Path({str(path)!r}), Checkpoint("unit", {{}}, {{"a": torch.ones(100_000)}}))
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"SinkError cannot write {path} ("), done.stdout
    assert "has space" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]
    assert load_checkpoint(path).step == 7


def test_the_header_is_plain_json(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.safetensors", checkpoint)
    with safe_open(tmp_path / "c.safetensors", framework="np") as file:
        header = json.loads(file.metadata()["dayshift"])
    assert header["networks"]["a_to_b"]["name"] == "gain_light"
    assert header["recipe"] == {"name": "tiny"}
