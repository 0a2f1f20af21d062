"""Models and the sample clip that come with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from dayshift.runtime.errors import ModelError
from dayshift.runtime.model_files import SPEC_NAME
from dayshift.runtime.updates.versions import model_in_use

_PACKAGE = "dayshift.models"
_CLIPS = "clips"


def bundled_models() -> list[str]:
    """Return the names of the bundled models, sorted."""
    return sorted(folder.name for folder in _package_folders() if (folder / SPEC_NAME).is_file())


def bundled_clip() -> Path:
    """Return the sample video.

    Raises:
        ModelError: This installation has none.
    """
    clips = sorted(
        clip
        for folder in _package_folders()
        if folder.name == _CLIPS
        for clip in folder.iterdir()
        if clip.suffix == ".mp4"
    )
    if not clips:
        raise ModelError(f"package {_PACKAGE} has no {_CLIPS}/*.mp4: reinstall dayshift")
    return clips[0]


def model_folder(model: str | Path) -> Path:
    """Return the folder of a bundled name or of a path.

    A string that names a bundled model means that model, even beside a folder of the same name:
    write "./day2night" or pass a Path for the folder. Of a folder that `dayshift update` keeps it
    is the version in use.

    Raises:
        ModelError: It is neither.
    """
    bundled = {folder.name: folder for folder in _package_folders()}
    names = bundled_models()
    if isinstance(model, str) and model in names:
        return bundled[model]
    if Path(model).is_dir():
        return model_in_use(Path(model)) or Path(model)
    expected = f"a bundled model ({', '.join(names)})" if names else "the name of a bundled model"
    raise ModelError(f"no model {str(model)!r}: expected {expected} or a folder with a {SPEC_NAME}")


def _package_folders() -> list[Path]:
    try:
        root = resources.files(_PACKAGE)
    except ModuleNotFoundError:
        return []
    # Engines and decoders want real files; an installed package has them.
    folders = [Path(str(entry)) for entry in root.iterdir() if entry.is_dir()]
    # A hidden folder is an export that is not finished.
    return [folder for folder in folders if not folder.name.startswith(".")]
