"""A recipe: everything that decides what a training run produces, read from one TOML file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError, model_validator

from dayshift.runtime.errors import UsageError
from dayshift.runtime.spec import Card
from dayshift.train.layouts import DataSection
from dayshift.train.loop.settings import RunSection
from dayshift.train.methods.base import Section
from dayshift.train.methods.cut import CutConfig
from dayshift.train.methods.cyclegan import CycleGanConfig
from dayshift.train.methods.distill import DistillConfig
from dayshift.train.methods.pix2pix import Pix2PixConfig
from dayshift.train.methods.relight_config import RelightConfig
from dayshift.train.methods.select import MethodConfig
from dayshift.train.methods.spade import SpadeConfig
from dayshift.train.methods.unit import UnitConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OWN_IMAGES = "on images of your own."  # ends the summary of what Python's arguments say
BUNDLED = Path(__file__).parent / "recipes"

MethodName = Literal["pix2pix", "cyclegan", "unit", "spade", "cut", "relight", "distill"]
METHOD_NAMES: tuple[MethodName, ...] = get_args(MethodName)

_PAIRED = ("paired", "side_by_side", "sketches")
_LAYOUTS_OF: dict[MethodName, tuple[str, ...]] = {
    "pix2pix": _PAIRED,
    "cyclegan": ("unpaired", *_PAIRED),
    "unit": ("unpaired", *_PAIRED),
    "cut": ("unpaired", *_PAIRED),
    "spade": ("labels",),
    "relight": ("relight",),
    "distill": ("unpaired", *_PAIRED),
}

# What may differ when a run is resumed: none of it changes what is learned.
FREE_FIELDS = (
    "name",
    "summary",
    "card.",
    "data.licence",
    "distill.teacher.checkpoint",
    "run.workers",
    "run.log_steps",
    "run.sample_images",
    "run.save_seconds",
    "run.loggers",
)
# A run may be made longer or shorter: rates then follow the new length from there on.
_LENGTHS = (".schedule.constant_epochs", ".schedule.decay_epochs", ".steps")


class RecipeError(UsageError):
    """A recipe cannot be read; the message names the field and what was expected."""


class Recipe(Section):
    """A whole training run: a method, its settings in a section of its name, data, and the loop's.

    Attributes:
        name: of the run folder and of the exported model.
        summary: one line on what it does.
        method: which of the sections below is used; a section that is left out has its defaults,
            the paper's.
        data: where the images are, by layout.
        run: how the loop runs.
        card: what a person must say of a model that it makes; goes into `model.json`.
    """

    name: str
    summary: str
    method: MethodName
    pix2pix: Pix2PixConfig | None = None
    cyclegan: CycleGanConfig | None = None
    unit: UnitConfig | None = None
    spade: SpadeConfig | None = None
    cut: CutConfig | None = None
    relight: RelightConfig | None = None
    distill: DistillConfig | None = None
    data: DataSection
    run: RunSection = RunSection()
    card: Card | None = None

    @model_validator(mode="after")
    def _one_method(self) -> Recipe:
        for name in METHOD_NAMES:
            if name != self.method and getattr(self, name) is not None:
                raise ValueError(f"section [{name}] in a recipe of the method {self.method}")
        layout, takes = self.data.layout, _LAYOUTS_OF[self.method]
        if layout not in takes:
            raise ValueError(
                f"the method {self.method} takes the layouts {', '.join(takes)}, got {layout}"
            )
        if self.distill and self.distill.paired and layout == "unpaired":
            raise ValueError("distill.paired needs pairs, got the layout unpaired: set it to false")
        return self

    @property
    def settings(self) -> MethodConfig | RelightConfig | DistillConfig:
        """The method's settings."""
        match self.method:
            case "pix2pix":
                return self.pix2pix or Pix2PixConfig()
            case "cyclegan":
                return self.cyclegan or CycleGanConfig()
            case "unit":
                return self.unit or UnitConfig()
            case "spade":
                return self.spade or SpadeConfig()
            case "cut":
                return self.cut or CutConfig()
            case "relight":
                return self.relight or RelightConfig()
            case "distill":
                return self.distill or DistillConfig()

    def as_json(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return self.model_dump(mode="json", exclude_none=True)


def find_recipe(name: str) -> Path:
    """Return the file of a recipe given as a path or as the name of a bundled one.

    Raises:
        RecipeError: It is neither.
    """
    path, bundled = Path(name), BUNDLED / f"{name}.toml"
    for candidate in (path, bundled):
        if candidate.is_file():
            return candidate
    names = ", ".join(sorted(p.stem for p in BUNDLED.glob("*.toml")))
    raise RecipeError(f"no recipe {name!r}: expected a TOML file or one of {names}")


def describe_origin(content: Mapping[str, Any]) -> str:
    """Say where a recipe, as a checkpoint has it, came from: its file in this package or its name.

    Args:
        content: As JSON.
    """
    name, summary = str(content.get("name")), str(content.get("summary"))
    file = BUNDLED / f"{name}.toml"
    if summary.endswith(OWN_IMAGES) or not file.is_file():
        return f"a recipe of one's own, {name}"
    is_its_own = _read_toml(file).get("method") == content.get("method")
    return f"train/recipes/{file.name}" if is_its_own else f"a recipe of one's own, {name}"


def load_recipe(path: Path, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe and apply `section.key=value` overrides, whose values are TOML.

    Raises:
        RecipeError: The file is missing, not TOML, or a field is unknown or out of range.
    """
    content = _read_toml(path)
    for override in overrides or []:
        _apply_override(content, override)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{path}: {describe_error(error)}") from error


def load_card(path: Path) -> Card:
    """Read the section [card] of a TOML file: of a recipe, or of one with nothing else.

    Raises:
        RecipeError: The file is missing, not TOML, has no [card], or a field of it is unknown.
    """
    content = _read_toml(path)
    if "card" not in content:
        raise RecipeError(f"{path} has no section [card]: expected {', '.join(Card.model_fields)}")
    try:
        return Card.model_validate(content["card"])
    except ValidationError as error:
        raise RecipeError(f"{path}: {describe_error(error)}") from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(
            f"no recipe {path}: expected a TOML file such as train/recipes/day2night.toml"
        ) from error
    except OSError as error:
        raise RecipeError(f"cannot read {path} ({error.strerror}): expected a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error


def check_same_recipe(path: Path, saved: dict[str, Any] | None, recipe: dict[str, Any]) -> None:
    """Refuse to resume the run of `path` with a recipe that would make it another one.

    Raises:
        RecipeError: They differ; the message names the first field.
    """
    old, new = _flatten(saved or {}), _flatten(recipe)
    for field in sorted(old.keys() | new.keys()):
        if (
            field.startswith(FREE_FIELDS)
            or field.endswith(_LENGTHS)
            or old.get(field) == new.get(field)
        ):
            continue
        raise RecipeError(
            f"{path} was trained by another recipe ({field} was {old.get(field)!r}, "
            f"is {new.get(field)!r}): give another --out, or the recipe it began with"
        )


def _flatten(tree: dict[str, Any], start: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{start}{key}.")
        else:
            flat[start + key] = value
    return flat


def describe_error(error: ValidationError) -> str:
    """Return the first of a validation's errors in one line, with its field."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":  # of a whole section; its input would be all of it
        return f"{where}: {first['ctx']['error']}".removeprefix(": ")
    if first["type"] == "extra_forbidden":
        return f"{where}: there is no such field, got {first['input']!r}"
    return f"{where}: {first['msg']}, got {first['input']!r}"


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *sections, field = key.strip().split(".")
    if not equals or not field:
        raise RecipeError(f"got --set {override!r}, expected section.key=value, such as run.seed=1")
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
