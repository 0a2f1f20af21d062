"""A recipe: everything that decides what a training run produces, read from one TOML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dayshift.runtime.errors import UsageError
from dayshift.train.networks.gain_light import GainLightConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_BUNDLED = Path(__file__).parent / "recipes"

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]


class RecipeError(UsageError):
    """A recipe cannot be read; the message names the field and what was expected."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkSection(_Section):
    """Generator; see `networks.gain_light.GainLightConfig`."""

    channels: tuple[Positive, Positive, Positive] = (24, 48, 96)
    blocks: Positive = 4
    short_side: Positive = 180
    discriminator_width: Positive = 32

    def generator(self) -> GainLightConfig:
        """Return the generator's part."""
        return GainLightConfig(self.channels, self.blocks, self.short_side)


class DataSection(_Section):
    """Where the pictures are, relative to the data folder given on the command line."""

    triples: str = "synth"  # folder with {day,dusk,night}/train
    pairs: str = "paired/pairs_train.csv"
    days: str = "day/train"
    nights: str = "night/train"
    photos: str = "A_*"  # name pattern of the unpaired photos
    tiers: tuple[str, ...] = ("A",)  # of the pairs
    # Range of the power that takes back a camera's exposure where it shot night as bright as day.
    regrade: tuple[float, float] = (2.2, 2.8)
    licence: str = ""


class BatchSection(_Section):
    """Samples of each kind in a batch, and their size."""

    rendered: Positive = 3
    paired: Positive = 2
    photos: Positive = 2
    height: Positive = 256
    width: Positive = 320
    shrink: Annotated[float, Field(gt=1)] = 1.6  # the branch sees the frame shrunk by this
    dusk_share: Annotated[float, Field(ge=0, le=1)] = 0.35


class LossSection(_Section):
    """Weights of the loss terms."""

    rendered_l1: Weight = 40.0
    rendered_gradient: Weight = 20.0
    rendered_gan: Weight = 1.0
    paired_l1: Weight = 30.0
    photo_gan: Weight = 0.3
    smoothness: Weight = 0.3
    photo_light: Weight = 1.0


class OptimizerSection(_Section):
    """Adam at two time scales (Heusel et al. 2017); rates fall linearly over the second half."""

    steps: Positive = 5000
    supervised_steps: int = Field(default=800, ge=0)  # before the discriminators join
    generator_lr: Annotated[float, Field(gt=0)] = 5e-4
    discriminator_lr: Annotated[float, Field(gt=0)] = 4e-4
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.998
    freeze_norm_at: Annotated[float, Field(gt=0, le=1)] = (
        0.8  # share of the steps after which batch norm is fixed
    )
    seed: int = 0


class Recipe(_Section):
    """A whole training run."""

    name: str
    summary: str
    network: NetworkSection = NetworkSection()
    data: DataSection = DataSection()
    batch: BatchSection = BatchSection()
    loss: LossSection = LossSection()
    optimizer: OptimizerSection = OptimizerSection()


def find_recipe(name: str) -> Path:
    """Return the file of a recipe given as a path or as the name of a bundled one.

    Raises:
        RecipeError: It is neither.
    """
    path, bundled = Path(name), _BUNDLED / f"{name}.toml"
    for candidate in (path, bundled):
        if candidate.is_file():
            return candidate
    names = ", ".join(sorted(p.stem for p in _BUNDLED.glob("*.toml")))
    raise RecipeError(f"no recipe {name!r}: expected a TOML file or one of {names}")


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe and apply `section.key=value` overrides, whose values are TOML.

    Raises:
        RecipeError: The file is missing, not TOML, or a field is unknown or out of range.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(
            f"no recipe {path}: expected a TOML file such as train/recipes/day2night.toml"
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    for override in overrides or []:
        _apply_override(content, override)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"{path}: {where}: {first['msg']}, got {first['input']!r}") from error


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *sections, field = key.strip().split(".")
    if not equals or not field:
        raise RecipeError(
            f"got --set {override!r}, expected section.key=value, such as optimizer.steps=100"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    target = content
    for section in sections:
        target = target.setdefault(section, {})
        if not isinstance(target, dict):
            raise RecipeError(f"got --set {override!r}, but {section} is a value, not a section")
    target[field] = value
