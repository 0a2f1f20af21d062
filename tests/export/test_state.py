"""The recurrent state of gain-and-light graphs: streams that do not flicker, photos as before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("torch", reason="export needs torch: pip install 'dayshift[export]'")

import cv2
import torch

from dayshift.export.gain_light_forms import CUT, FLOOR, REACH
from dayshift.export.gain_light_forms import states as states_of
from dayshift.export.model_folder import export_model
from dayshift.runtime.backends import BackendName, open_backend
from dayshift.runtime.graph_inputs import full_shapes, graph_inputs
from dayshift.runtime.image import shrink
from dayshift.runtime.model import Memory, Model, load
from dayshift.runtime.model_files import load_spec, read_graph
from dayshift.runtime.spec import next_state
from dayshift.train.checkpoint import Checkpoint, NetworkRecord
from dayshift.train.networks.gain_light import GainLight, GainLightConfig
from dayshift.train.networks.presets import describe_network

Floats = npt.NDArray[np.float32]
STATES = states_of(4)
SIZE = (118, 202)  # shrunk by 2: sides that are no multiples of a block


def picture(seed: int) -> npt.NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 9, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, SIZE[::-1]), np.uint8)


def clip() -> list[npt.NDArray[np.uint8]]:
    """A still scene with noise, through which something moves, then a cut.

    Pixels come in fours: both forms shrink them to the same.
    """
    noise = np.random.default_rng(1)
    frames = []
    for number in range(4):
        frame = np.clip(picture(0) + noise.integers(-2, 3, (*SIZE, 3)), 0, 255).astype(np.uint8)
        frame[40:70, 20 + 20 * number : 50 + 20 * number] = (0, 0, 255)
        frames.append(frame)
    return [f[::2, ::2].repeat(2, axis=0).repeat(2, axis=1) for f in (*frames, picture(9))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = GainLight(GainLightConfig((8, 8, 16), 1, short_side=60)).eval()
    for head in (network.dimming, network.lamps):
        torch.nn.init.normal_(head.weight, std=0.3)
    name, settings = describe_network(network)
    weights = {f"average/{name}": value for name, value in network.state_dict().items()}
    record = NetworkRecord(name, "average", settings)
    checkpoint = Checkpoint("relight", {"a_to_b": record}, weights, {"name": "tiny"}, 1, {})
    out = tmp_path_factory.mktemp("models") / "tiny"
    export_model(checkpoint, out, frames=[picture(3)])
    return out


@pytest.fixture(params=["maps", "full"])
def model(folder: Path, request: pytest.FixtureRequest) -> Model:
    return load(folder, backend="openvino", precision="fp32", form=request.param, size=SIZE)


def blurred(small: npt.NDArray[np.uint8]) -> Floats:
    """The mean of three by three blocks of 4x4, edges repeated: (h / 4, w / 4, 3) in [0, 1]."""
    rows, columns = (-(-side // 4) for side in small.shape[:2])
    wide = np.pad(small.astype(np.float32) / 255, ((4, 8), (4, 8), (0, 0)), mode="edge")
    windows = [
        [wide[4 * r : 4 * r + 12, 4 * c : 4 * c + 12].mean(axis=(0, 1)) for c in range(columns)]
        for r in range(rows)
    ]
    return np.asarray(windows, np.float32)


def gate_of(seen: Floats, before: Floats) -> Floats:
    """How much of new maps is taken, one for each block."""
    change = np.abs(seen - before).max(axis=2)
    if change.mean() > CUT:
        return np.ones_like(change)
    return np.asarray(np.minimum(FLOOR + change / REACH, 1), np.float32)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("form", ["maps", "full"])
def test_the_graph_draws_maps_to_those_before_where_nothing_changed(
    folder: Path, form: str, backend: BackendName
) -> None:
    spec = load_spec(folder)
    chosen = spec.form("full" if form == "full" else "maps")
    smalls = [shrink(frame, 2) for frame in clip()]
    fed = clip() if form == "full" else smalls
    shapes = {name: array.shape for name, array in graph_inputs(chosen, fed[0]).items()}
    graph = open_backend(backend, read_graph(folder, chosen.files["fp32"]), shapes, "fp32")
    states: dict[str, Floats] = {}
    expected: dict[str, Floats] = {}
    last = np.zeros(0, np.float32)
    gates = []
    for frame, small in zip(fed, smalls, strict=True):
        alone = {n: a.copy() for n, a in graph.infer(graph_inputs(chosen, frame)).items()}
        outputs = graph.infer(graph_inputs(chosen, frame, states=states))
        states = {name: outputs[next_state(name)].copy() for name in STATES}
        seen = blurred(small)
        if not expected:
            gate = np.ones(seen.shape[:2], np.float32)
            expected = {n: alone[next_state(n)] for n in ("state_gain", "state_light")}
            assert all(np.array_equal(array, alone[name]) for name, array in outputs.items())
        else:
            gate = gate_of(seen, last)
            for name, before in expected.items():
                drawn = before + gate[..., None] * (alone[next_state(name)] - before)
                expected[name] = np.asarray(drawn, np.float32)
        last = seen
        gates.append(gate)
        for name, values in expected.items():
            np.testing.assert_allclose(states[name], values, atol=2e-4)
        np.testing.assert_allclose(states["state_seen"][0], 1 + seen, atol=1e-5)
    assert gates[1].min() < 0.3  # the still part
    assert gates[1].max() == 1  # what moves
    assert gates[4].min() == 1  # the cut


def test_the_first_frame_of_a_stream_is_a_photo_and_a_still_one_stays(model: Model) -> None:
    memory = Memory()
    photo = model(picture(0))
    for _ in range(3):
        assert np.array_equal(model.translate(picture(0), memory).image, photo)


def test_a_model_opens_streams_that_remember_each_by_itself(model: Model) -> None:
    memory, first, second = Memory(), model.open_stream(), model.open_stream()
    for frame in clip():
        assert np.array_equal(first(frame), model.translate(frame, memory).image)
        second(255 - frame)


def test_photos_and_other_streams_leave_a_stream_alone(model: Model) -> None:
    alone = Memory()
    expected = [model.translate(frame, alone).image for frame in clip()]
    first, second = Memory(), Memory()
    for frame, image in zip(clip(), expected, strict=True):
        assert np.array_equal(model.translate(frame, first).image, image)
        model.translate(255 - frame, second)
        model(picture(5))
    photos = [model(frame) for frame in clip()]
    assert not np.array_equal(photos[1], expected[1])


def test_a_segment_that_begins_early_meets_the_whole(model: Model) -> None:
    noise = np.random.default_rng(2)
    frames = [picture(0) // 2 + noise.integers(0, 9, (*SIZE, 3), np.uint8) for _ in range(40)]
    whole, part = Memory(), Memory()
    images = [model.translate(frame, whole).image for frame in frames]
    warmed = [model.translate(frame, part).image for frame in frames[8:]]
    apart = [np.abs(a.astype(int) - b).mean() for a, b in zip(images[8:], warmed, strict=True)]
    assert apart[24] < apart[0] / 4


def test_a_turned_control_acts_at_once(model: Model) -> None:
    memory = Memory()
    model.translate(clip()[0], memory)
    model.strength = 0.0
    assert np.array_equal(model.translate(clip()[1], memory).image, clip()[1])
    model.strength, model.lamps = 1.0, 0.3
    assert np.array_equal(model.translate(clip()[2], memory).image, model(clip()[2]))


def test_frames_of_another_size_begin_anew(model: Model) -> None:
    memory = Memory()
    small = np.ascontiguousarray(clip()[1][:100, :160])
    for frame in (clip()[0], small, clip()[1]):
        assert np.array_equal(model.translate(frame, memory).image, model(frame))


def test_a_model_with_a_memory_takes_one_frame_at_a_time(folder: Path) -> None:
    model = load(folder, backend="openvino", size=SIZE, lanes=3)
    assert model.has_memory
    assert model.lanes == 1


def test_the_ends_of_a_range_of_sizes_hold_the_states_of_all_between(folder: Path) -> None:
    form = load_spec(folder).forms.full
    # Shrunk by 1 the smaller frame is the larger small frame.
    ends = [full_shapes(form, *ends) for ends in (((89, 120), (91, 124)), ((91, 124), (89, 120)))]
    for size in ((89, 120), (90, 121), (91, 124)):
        shapes = full_shapes(form, size)
        for name in STATES:
            assert np.all(np.array(ends[0][name]) <= shapes[name])
            assert np.all(shapes[name] <= np.array(ends[1][name]))


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_state_that_changes_in_its_place_is_read_anew(folder: Path, backend: BackendName) -> None:
    form = load_spec(folder).form("maps")
    frame = shrink(clip()[0], 2)
    shapes = {name: array.shape for name, array in graph_inputs(form, frame).items()}
    graph = open_backend(backend, read_graph(folder, form.files["fp32"]), shapes, "fp32")
    cold = {name: array.copy() for name, array in graph.infer(graph_inputs(form, frame)).items()}
    kept = {name: np.zeros_like(cold[next_state(name)]) for name in STATES}
    bright = {"state_gain": 0.9, "state_light": 0.9, "state_seen": cold["state_seen_next"]}
    for content in (dict.fromkeys(STATES, 0.0), bright):
        for name, array in kept.items():
            array[:] = content[name]
        in_place = graph.infer(graph_inputs(form, frame, states=kept))["light"].copy()
        anew = {name: array.copy() for name, array in kept.items()}
        assert np.array_equal(
            in_place, graph.infer(graph_inputs(form, frame, states=anew))["light"]
        )
        assert np.array_equal(in_place, cold["light"]) == (content is not bright)
