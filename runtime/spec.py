"""What `model.json` says of a model, its forms and its graph files.

A *form* is one way of cutting a model into a graph: `full` takes a frame and returns the image,
`maps` takes the shrunk frame and returns two small maps that the runtime enlarges and applies. A
form has one ONNX file per precision. Everything here is data; `model_files` reads it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)

from dayshift.runtime.errors import ModelError

FORMAT_VERSION = 1
_MOST_GRAPH_BYTES = (1 << 31) - 1  # what Protocol Buffers can hold
_MOST_PIXELS = 1 << 26  # of a graph of one size: twice 8K video

FilePrecision = Literal["fp32", "fp16", "int8"]
FormName = Literal["full", "maps"]
ControlName = Literal["strength", "lamps"]

# No separators, no leading dot: a name from a downloaded model.json cannot leave its folder.
PlainName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*$")]
STATE_PREFIX = "state_"
StateName = Annotated[str, StringConstraints(pattern=rf"^{STATE_PREFIX}[a-z0-9]+$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Side = Annotated[int, Field(ge=16, le=16384)]
Multiple = Annotated[int, Field(ge=1, le=1024)]
Fraction01 = Annotated[float, Field(ge=0.0, le=1.0)]


class _Part(BaseModel):
    # "fp32" and friends are keys; `model_` is an ordinary prefix in this project.
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class GraphFile(_Part):
    """One ONNX file in the model folder."""

    path: PlainName
    sha256: Sha256
    bytes: Annotated[int, Field(gt=0, le=_MOST_GRAPH_BYTES)]


class State(_Part):
    """A recurrent state of a graph: float32 (1, h, w, channels), one place for each block.

    A block is `block` pixels high and wide, of the small frame where the form shrinks. The graph
    reads the state under its name, and returns the next frame's under `next_state`. Zeros are the
    state of a stream that has not begun.
    """

    channels: Annotated[int, Field(ge=1, le=256)]
    block: Annotated[int, Field(ge=1, le=64)] = 1

    def shape(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return the shape for a small frame."""
        return 1, -(-height // self.block), -(-width // self.block), self.channels


class _Form(_Part):
    files: Annotated[dict[FilePrecision, GraphFile], Field(min_length=1)]
    multiple: Multiple = 1
    short_side: Side | None = None
    controls: tuple[ControlName, ...] = ("strength",)
    states: dict[StateName, State] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_multiple(self) -> _Form:
        # Else no size at all might be legal: `padded_size` would not end.
        if self.short_side is not None and self.short_side % self.multiple:
            raise ValueError(
                f"expected short_side to be a multiple of {self.multiple}, got {self.short_side}"
            )
        return self


class FullForm(_Form):
    """A graph from frame, or label map, to image.

    Without `short_side`, height and width must be multiples of `multiple`. With it, the graph
    shrinks the frame by `image.shrink_factor`, and both must be multiples of that factor times
    `multiple`. With `size`, (height, width), the graph takes that size alone: smaller frames are
    padded, larger ones refused.

    With input "labels" the graph reads a label map instead of a frame, uint8 (1, H, W) of label
    numbers below `label_count`, and no controls: there is nothing to return unchanged.
    """

    size: tuple[Side, Side] | None = None
    input: Literal["frame", "labels"] = "frame"
    label_count: Annotated[int, Field(ge=1, le=256)] | None = None

    @model_validator(mode="after")
    def _check_input(self) -> FullForm:
        if self.size is not None and (
            self.short_side is not None or any(side % self.multiple for side in self.size)
        ):
            raise ValueError(
                f"expected size without short_side and in multiples of {self.multiple}, "
                f"got {self.size} and short_side {self.short_side}"
            )
        if self.size is not None and self.size[0] * self.size[1] > _MOST_PIXELS:
            raise ValueError(f"expected size of at most {_MOST_PIXELS} pixels, got {self.size}")
        if (self.input == "labels") != (self.label_count is not None):
            raise ValueError(
                f"expected label_count with input 'labels' alone, got {self.label_count} "
                f"with {self.input!r}"
            )
        return self


class MapsForm(_Form):
    """A graph from the shrunk frame to a gain map and a light map of the same size."""

    short_side: Side


class Forms(_Part):
    """The forms a model has; `full` is the one every engine can run."""

    full: FullForm
    maps: MapsForm | None = None

    @model_validator(mode="after")
    def _check_states(self) -> Forms:
        if self.maps is not None and self.maps.states != self.full.states:
            raise ValueError("expected the same states in both forms")
        return self


class Network(_Part):
    """The network the graphs were exported from."""

    name: str
    parameters: Annotated[int, Field(ge=0)]
    config: dict[str, JsonValue] = Field(default_factory=dict)


class Domains(_Part):
    """What the model translates from and to, for example day and night."""

    source: str
    target: str


class Control(_Part):
    """A value that the user may turn while the stream runs."""

    default: Fraction01 = 1.0
    minimum: Fraction01 = 0.0
    maximum: Fraction01 = 1.0

    @model_validator(mode="after")
    def _check_order(self) -> Control:
        if not self.minimum <= self.default <= self.maximum:
            raise ValueError(
                f"expected minimum <= default <= maximum, "
                f"got {self.minimum}, {self.default}, {self.maximum}"
            )
        return self

    def nearest(self, value: float) -> float:
        """Return the value within the limits that is nearest to what is wanted."""
        return min(max(value, self.minimum), self.maximum)


class Controls(_Part):
    """The user's controls.

    Strength 0 returns the input unchanged; lamps, where a model has it, is the share of the
    artificial light that burns.
    """

    strength: Control = Control()
    lamps: Control | None = None


class Quality(BaseModel):
    """How one precision's images differ from those of `reference`, over `n_frames` real frames.

    `psnr_db` is None where the images are identical. Further measurements may be added by name.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, float | int | str | None]

    reference: str
    n_frames: Annotated[int, Field(ge=1)]
    psnr_db: float | None = None
    ssim: float | None = None
    max_abs: float | None = None


class Training(_Part):
    """Where the weights come from, and under which licence they may be used."""

    recipe: str
    data: list[str]
    licence: str
    note: str = ""


class Card(_Part):
    """What a person must say of a model, in Markdown; `dayshift info --card` adds what is measured.

    Attributes:
        uses: What it is for.
        misuse: What it is not for.
        limits: Where it is weak.
        data: What it learned from: sources, licences, attributions; and the weights' own licence.
        measured: What these very weights came to, on what, by which command.
    """

    uses: str = ""
    misuse: str = ""
    limits: str = ""
    data: str = ""
    measured: str = ""


class ModelSpec(_Part):
    """The content of `model.json`; `refused` says why a precision has no file."""

    format_version: Literal[1]
    name: PlainName
    summary: str
    method: str
    network: Network
    domains: Domains
    controls: Controls = Controls()
    forms: Forms
    quality: dict[str, Quality] = Field(default_factory=dict)
    refused: dict[FilePrecision, str] = Field(default_factory=dict)
    training: Training
    card: Card | None = None
    preview: PlainName | None = None

    @property
    def has_memory(self) -> bool:
        """Whether an image depends on the frames of its stream that came before."""
        return bool(self.forms.full.states)

    def form(self, name: FormName) -> FullForm | MapsForm:
        """Return one form.

        Raises:
            ModelError: The model does not have it.
        """
        form = self.forms.full if name == "full" else self.forms.maps
        if form is None:
            raise ModelError(f"model {self.name} has no form {name!r}: ask for 'full' or 'auto'")
        return form


def next_state(name: str) -> str:
    """Return the output of a graph that is a state's input with the next frame."""
    return f"{name}_next"
