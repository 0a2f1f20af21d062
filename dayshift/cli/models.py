"""`dayshift models`."""

from __future__ import annotations

from typing import Annotated

import typer

from dayshift.cli.options import JsonTo


def models(
    card: Annotated[
        bool, typer.Option("--card", help="Print all their cards, as Markdown.")
    ] = False,
    json_to: JsonTo = None,
) -> None:
    """List the bundled models."""
    from dayshift.cli.output import STDOUT, print_table, write_json
    from dayshift.runtime.bundled import bundled_models, model_folder
    from dayshift.runtime.model_files import load_spec
    from dayshift.runtime.spec import ModelSpec

    specs: dict[str, ModelSpec] = {name: load_spec(model_folder(name)) for name in bundled_models()}
    if card:
        from dayshift.card import model_page
        from dayshift.runtime.bundled import bundled_clip

        clips = bundled_clip().with_name("README.md")
        typer.echo(model_page(specs, clips), nl=False)
        return
    if json_to is not None:
        write_json({"models": [spec.model_dump(mode="json") for spec in specs.values()]}, json_to)
    if json_to == STDOUT:
        return
    rows = [
        (
            name,
            f"{spec.domains.source} to {spec.domains.target}",
            ", ".join(spec.forms.full.files),
            spec.summary,
        )
        for name, spec in specs.items()
    ]
    print_table("bundled models", rows, headings=("name", "translates", "precisions", "summary"))
