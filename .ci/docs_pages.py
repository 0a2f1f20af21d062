"""Pages of the site that are made from the sources: the command line's, and the model card."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
CARD = (
    "models/README.md",
    "models/clips/LICENSE",
    *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("models/*/preview.jpg"))),
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what does not lie in docs/."""
    files.append(File.generated(config, "reference/cli.md", content=_command_line()))
    for path in CARD:
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Take links into models/, which lies beside docs/ in the repository and below it here."""
    del page, config, files
    return re.sub(r"\]\(((?:\.\./)*)\.\./models/", r"](\1models/", markdown)


def _command_line() -> str:
    """Return what typer writes about its own app, as Markdown."""
    command = [sys.executable, "-m", "typer", "dayshift.cli.app", "utils", "docs"]
    command += ["--name", "dayshift", "--title", "Command line"]
    text = subprocess.check_output(command, text=True)
    # typer cuts the summaries in its list of verbs short; the page's own contents have them all.
    text = re.sub(r"\*\*Commands\*\*:.*?(?=^## )", "", text, flags=re.DOTALL | re.MULTILINE)
    # The help is plain text: its stars and underscores (*_net_G.pth) are no Markdown.
    return re.sub(r"(?<=`: ).*", lambda words: re.sub(r"[*_<]", r"\\\g<0>", words[0]), text)
