from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dayshift.runtime.backends import BACKEND_NAMES
from dayshift.runtime.bundled import model_folder
from dayshift.runtime.effect import Effect
from dayshift.runtime.errors import BackendError, ModelError, UsageError
from dayshift.runtime.model import Model, load
from dayshift.runtime.model_files import load_spec, save_spec
from dayshift.runtime.sinks.keys import turn
from dayshift.runtime.spec import Control as Limits
from dayshift.runtime.spec import Controls
from dayshift.runtime.stream_memory import Memory
from dayshift.runtime.streaming.backoff import Backoff
from dayshift.runtime.streaming.control import Control, Settings
from dayshift.runtime.streaming.events import State
from dayshift.runtime.streaming.live_model import LiveModel
from dayshift.runtime.streaming.loading import Choice
from dayshift.runtime.streaming.translator import follow

DAY2NIGHT = load_spec(model_folder("day2night"))
PLAIN = DAY2NIGHT.model_copy(update={"controls": Controls()})
LIT = DAY2NIGHT.model_copy(update={"controls": Controls(lamps=Limits(default=0.9))})
Pixels = npt.NDArray[np.uint8]
FRAME = np.full((16, 32, 3), 200, np.uint8)
AT_ONCE = Backoff(first_s=0.001, cap_s=0.002)


@dataclass
class Same:
    image: Pixels
    preprocess_ms: float = 0.0
    infer_ms: float = 0.0
    postprocess_ms: float = 0.0


class Engine:
    """A model that fails at the frames that it is told to."""

    backend_version = "1"
    device = "CPU"
    sha256 = "ab" * 32
    lanes = 1
    precisions = ("fp32", "int8")

    def __init__(self, choice: Choice, fails: Callable[[int], bool] = lambda count: False) -> None:
        self.name = str(choice.model)
        self.backend_name = "openvino" if choice.backend == "auto" else choice.backend
        self.precision_requested = choice.precision
        self.precision = "fp32" if choice.precision == "auto" else choice.precision
        self.strength = 1.0
        self.spec = PLAIN if self.name == "plain" else LIT
        lamps = self.spec.controls.lamps
        self.lamps = 1.0 if lamps is None else lamps.default
        self.warmed_up: list[tuple[int, int]] = []
        self.closed = 0
        self._fails = fails
        self._count = 0

    def warm_up(self, height: int, width: int) -> None:
        self.warmed_up.append((height, width))

    def translate(self, frame: Pixels, memory: Memory | None = None) -> Same:
        assert not self.closed
        self._count += 1
        if self._fails(self._count):
            raise BackendError("device lost")
        return Same(frame)

    def close(self) -> None:
        self.closed += 1


class Shop:
    """Loads engines, as `load` does; some of them fail."""

    def __init__(self, fails: Callable[[Choice, int], bool] = lambda choice, count: False) -> None:
        self.engines: list[Engine] = []
        self.may_load = threading.Event()
        self.may_load.set()
        self._fails = fails

    def load(self, choice: Choice) -> Engine:
        assert self.may_load.wait(20)
        if choice.model == "missing":
            raise ModelError("there is no model 'missing'")
        engine = Engine(choice, lambda count: self._fails(choice, count))
        self.engines.append(engine)
        return engine


def open_live(shop: Shop, control: Control, choice: Choice | None = None) -> LiveModel:
    wanted = choice or Choice("day2night")
    return LiveModel(shop.load(wanted), wanted, shop.load, control, backoff=AT_ONCE)


def test_an_engine_that_throws_is_opened_again_and_the_frame_is_translated() -> None:
    control = Control()
    shop = Shop(lambda choice, count: len(shop.engines) == 1 and count == 3)
    with open_live(shop, control) as model:
        model.strength, model.lamps = 0.4, 0.6
        for _ in range(5):
            assert model.translate(FRAME).image is FRAME
        assert (model.strength, model.lamps) == (0.4, 0.6)
    assert [engine.closed for engine in shop.engines] == [1, 1]
    assert [event.state for event in control.events.recent] == [State.RECONNECTING, State.RUNNING]
    assert "device lost; opening openvino" in control.events.recent[0].message


def test_an_engine_that_is_gone_for_good_is_replaced_by_the_next() -> None:
    control = Control()
    broken = False
    shop = Shop(lambda choice, count: broken and choice.backend in ("auto", "openvino"))
    with open_live(shop, control) as model:
        model.translate(FRAME)
        broken = True
        assert model.translate(FRAME).image is FRAME
        others = [name for name in BACKEND_NAMES if name != "openvino"]
        assert model.backend_name == others[0]
    assert control.events.state is State.RUNNING


def test_an_engine_that_fails_again_and_again_is_not_taken_again() -> None:
    shop = Shop(lambda choice, count: choice.backend in ("auto", "openvino") and count == 2)
    with open_live(shop, Control()) as model:
        for _ in range(12):
            model.translate(FRAME)
        assert model.backend_name != "openvino"


def test_a_backend_that_was_asked_for_by_name_is_never_replaced() -> None:
    control = Control()
    shop = Shop(lambda choice, count: True)
    model = open_live(shop, control, Choice("day2night", backend="openvino"))
    with pytest.raises(BackendError, match="no engine works any more: device lost"):
        model.translate(FRAME)
    assert {engine.backend_name for engine in shop.engines} == {"openvino"}


def test_a_frame_that_is_none_is_the_callers_mistake_and_no_outage(pristine_model: Path) -> None:
    control = Control()
    choice = Choice(pristine_model)
    with (
        LiveModel(load(pristine_model), choice, lambda again: load(again.model), control) as model,
        pytest.raises(UsageError, match="expected a uint8"),
    ):
        model.translate(np.zeros((4, 4), np.uint8))
    assert control.events.recent == ()


def test_a_precision_is_switched_while_the_stream_goes_on() -> None:
    control, shop = Control(), Shop()
    with open_live(shop, control) as model:
        model.strength, model.lamps = 0.3, 0.7
        model.translate(FRAME)
        shop.may_load.clear()
        control.change(precision="int8")
        for _ in range(5):
            model.translate(FRAME)
            assert model.precision == "fp32"
        shop.may_load.set()
        translate_until(model, lambda: model.precision == "int8")
        assert (model.strength, model.lamps) == (0.3, 0.7)
        assert shop.engines[1].warmed_up == [(16, 32)]
    assert [engine.closed for engine in shop.engines] == [1, 1]
    assert control.events.recent[-1].message.startswith("switched to day2night")


def test_lamps_outlive_a_model_that_has_none() -> None:
    control, shop = Control(Settings(strength=0.5, lamps=0.2)), Shop()
    with open_live(shop, control) as model:

        def switch(name: str) -> tuple[float, float, Effect]:
            control.change(model=name)
            translate_until(model, lambda: model.name == name)
            follow(model, control.settings)
            return model.strength, model.lamps, control.effect

        assert switch("day2night") == (0.5, 0.2, Effect(0.5, 0.2))
        assert switch("plain") == (0.5, 1.0, Effect(0.5))
        assert switch("other") == (0.5, 0.2, Effect(0.5, 0.2))


def test_lamps_that_nobody_turned_are_the_next_models_own() -> None:
    control, shop = Control(), Shop()
    with open_live(shop, control, Choice("plain")) as model:
        assert control.effect.lamps is None
        control.change(model="other")
        translate_until(model, lambda: model.name == "other")
        assert model.lamps == control.effect.lamps == 0.9


@pytest.fixture
def narrow_model(lit_model: Path, tmp_path: Path) -> Path:
    """Write a model whose controls stop at 0.8 and begin at 0.2."""
    folder = Path(shutil.copytree(lit_model, tmp_path / "narrow"))
    limits = Limits(default=0.5, minimum=0.2, maximum=0.8)
    spec = load_spec(folder)
    save_spec(folder, spec.model_copy(update={"controls": Controls(strength=limits, lamps=limits)}))
    return folder


def test_what_a_viewer_wishes_beyond_a_models_limits_takes_it_to_the_limit(
    narrow_model: Path, lit_model: Path
) -> None:
    control, size = Control(), FRAME.shape[:2]

    def load_again(choice: Choice) -> Model:
        return load(choice.model, size=size)

    first = load(lit_model, size=size)
    with LiveModel(first, Choice(lit_model), load_again, control) as model:

        def translate_with(wishes: Settings) -> tuple[float, float, Effect]:
            follow(model, wishes)
            model.translate(FRAME)
            return model.strength, model.lamps, control.effect

        wide = translate_with(control.change(strength=1.0, lamps=0.0))
        assert wide == (1.0, 0.0, Effect(1.0, 0.0))
        # The next model goes less far: from its first frame on, and whatever is wished of it.
        control.change(model=str(narrow_model))
        translate_until(model, lambda: model.strength == 0.8)
        assert translate_with(control.settings) == (0.8, 0.2, Effect(0.8, 0.2))
        for key in "]]]{{{":
            turn(key, control)
        assert translate_with(control.settings) == (0.8, 0.2, Effect(0.8, 0.2))
        # A key goes on from the limit, not from what was wished beyond it.
        turn("[", control)
        assert translate_with(control.settings)[0] == pytest.approx(0.75)


def test_a_model_that_cannot_be_had_leaves_the_one_in_use_and_is_wanted_no_more() -> None:
    control, shop = Control(), Shop()
    with open_live(shop, control) as model:
        model.translate(FRAME)
        control.change(model="missing")
        translate_until(model, lambda: control.settings.model == "day2night")
        assert model.name == "day2night"
        model.translate(FRAME)
    said = control.events.recent[-1]
    assert (said.part, said.state) == ("control", State.FAILED)
    assert "kept day2night fp32: there is no model 'missing'" in said.message
    assert len(shop.engines) == 1


def test_a_model_that_is_still_loading_at_the_end_is_closed_too() -> None:
    control, shop = Control(), Shop()
    model = open_live(shop, control)
    model.translate(FRAME)
    shop.may_load.clear()
    control.change(model="other")
    model.translate(FRAME)
    model.close()
    shop.may_load.set()
    for thread in threading.enumerate():
        if thread.name == "dayshift-load":
            thread.join(10)
    assert [engine.closed for engine in shop.engines] == [1, 1]


def test_several_lanes_replace_a_lost_engine_once() -> None:
    together = threading.Barrier(3)
    shop = Shop(lambda choice, count: len(shop.engines) == 1 and together.wait(20) >= 0)
    with open_live(shop, Control()) as model:
        threads = [threading.Thread(target=model.translate, args=(FRAME,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert len(shop.engines) == 2


def translate_until(model: LiveModel, is_done: Callable[[], bool]) -> None:
    """Translate until a thread of its own has loaded what was wanted."""
    for _ in range(10_000):
        model.translate(FRAME)
        for thread in threading.enumerate():
            if thread.name == "dayshift-load":
                thread.join(10)
        if is_done():
            return
    raise AssertionError("it was never done")
