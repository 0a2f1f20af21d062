"""A model's card as Markdown: what `model.json` has measured, and what a person said."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from dayshift.runtime.spec import Card, Control, FullForm, ModelSpec, Quality

_COLUMNS = 120
_UNSAID = Card(
    limits="Nobody has written them down: look at its pictures before you rely on them.",
    misuse="evidence, or for testing safety functions as if it were recorded footage. Say that "
    "pictures are synthetic.",
)
_PAGE = """\
# Bundled models and clips

Package data: `dayshift models` lists the models, `dayshift info NAME` shows what `model.json` says
of one. `make cards` makes this page of those files: change them, not the page.
"""


def model_page(specs: Mapping[str, ModelSpec], clips: Path) -> str:
    """Return the page of all bundled models.

    Args:
        specs: By the name of the folder, which lies beside the page.
        clips: Markdown on the bundled clips; left out where it is not there.
    """
    cards = [model_card(spec, folder=f"{name}/", level=2) for name, spec in specs.items()]
    told = [clips.read_text(encoding="utf-8")] if clips.is_file() else []
    return "\n".join([_PAGE, *cards, *told])


def model_card(spec: ModelSpec, *, folder: str = "", level: int = 1, speed: str = "") -> str:
    """Return a model's card.

    Args:
        spec: Of the model.
        folder: How its folder is reached from where the card lies, with a slash at its end.
        level: Of the heading.
        speed: Markdown on how fast it is, such as a table of `dayshift bench`.
    """
    card = spec.card or _UNSAID
    parts = [f"{'#' * level} {spec.name}", _paragraphs(spec.summary)]
    if spec.preview is not None:
        picture = f"{spec.domains.source} and {spec.domains.target}"
        parts.append(f"![{picture}]({folder}{spec.preview})")
    for title, text in (
        ("For", card.uses),
        ("Not for", card.misuse or _UNSAID.misuse),
        ("Limits.", card.limits or _UNSAID.limits),
    ):
        if text:
            parts.append(_paragraphs(f"**{title}** {text}"))
    parts += [_table(("", ""), _facts(spec))]
    learned = ", ".join(spec.training.data) or "what nobody has written down"
    parts.append(_paragraphs(f"**Learned from** {learned}. {card.data}"))
    parts += _exactness(spec)
    if card.measured:
        parts.append(_paragraphs(f"**Measured.** {card.measured}"))
    if speed:
        parts.append(f"**How fast.** {speed.strip()}")
    return "\n\n".join(parts) + "\n"


def _facts(spec: ModelSpec) -> Iterator[tuple[str, ...]]:
    yield "translates", f"{spec.domains.source} to {spec.domains.target}"
    yield "method", spec.method
    yield "network", f"`{spec.network.name}`, {spec.network.parameters:,} parameters"
    yield "takes", _takes(spec.forms.full)
    if spec.forms.full.input == "frame":
        yield "`strength`", f"{_limits(spec.controls.strength)}; 0 is the frame itself"
    if spec.controls.lamps is not None:
        yield "`lamps`", f"{_limits(spec.controls.lamps)}; the share of the artificial light"
    recipe = spec.training.recipe
    made = f"`{recipe}`" if recipe.endswith(".toml") else recipe
    yield "made by", f"{made}; {spec.training.note}" if spec.training.note else made
    yield "licences", spec.training.licence


def _takes(form: FullForm) -> str:
    taken = f"maps of {form.label_count} labels" if form.input == "labels" else "frames"
    if form.size is not None:
        return f"{taken} of {form.size[1]}x{form.size[0]}; smaller ones are padded"
    if form.short_side is not None:
        return f"{taken} of any size, seen with a short side near {form.short_side}"
    return f"{taken} of any size"


def _limits(control: Control) -> str:
    return f"{control.minimum:g} to {control.maximum:g}, by default {control.default:g}"


def _exactness(spec: ModelSpec) -> Iterator[str]:
    """Say how near each precision is to what it is held against, and which were refused."""
    if spec.quality:
        headings = ("precision", "against", "frames", "PSNR dB", "worst", "SSIM", "files")
        rows = (_measures(spec, name, quality) for name, quality in spec.quality.items())
        yield f"**How exact.**\n\n{_table(headings, rows)}"
    for precision, reason in spec.refused.items():
        yield _paragraphs(f"No {precision}: {reason}.")


def _measures(spec: ModelSpec, precision: str, quality: Quality) -> tuple[str, ...]:
    forms = (spec.forms.full, spec.forms.maps)
    files = [
        file for form in forms if form for name, file in form.files.items() if name == precision
    ]
    return (
        precision,
        quality.reference,
        str(quality.n_frames),
        "equal" if quality.psnr_db is None else f"{quality.psnr_db:.1f}",
        _figure(quality, "psnr_db_worst", ".1f"),
        _figure(quality, "ssim", ".4f"),
        ", ".join(f"{file.path} {file.bytes / 1e6:.1f} MB" for file in files),
    )


def _figure(quality: Quality, name: str, form: str) -> str:
    value = quality.model_dump().get(name)
    return f"{value:{form}}" if isinstance(value, int | float) else ""


def _table(headings: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...]) -> str:
        told = (" ".join(cell.split()).replace("|", r"\|") for cell in cells)
        return f"| {' | '.join(told)} |"

    return "\n".join([line(headings), "|---" * len(headings) + "|", *map(line, rows)])


def _paragraphs(text: str) -> str:
    """Break lines, but keep paragraphs."""
    return "\n\n".join(
        textwrap.fill(part, _COLUMNS, break_long_words=False, break_on_hyphens=False)
        for part in text.split("\n\n")
    )
