"""Files of weights that others saved: PyTorch's pickles and bare safetensors, run by nobody."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dayshift.train.checkpoint import CheckpointError

Weights = dict[str, Tensor]

# What wrappers put before every key: DataParallel, torch.compile, a trainer's attribute.
_WRAPPERS = re.compile(r"^(module|_orig_mod|net_?G(_[AB])?)\.")
# What holds the weights where a file has more than them.
_HOLDERS = ("state_dict", "model_state_dict", "generator", "netG", "params")


def read_weights(path: Path) -> dict[str, Weights]:
    """Return the state dicts of a file, by name; the only one of a file has the name "".

    Nothing in the file is run: a pickle that wants more than tensors is refused. Keys are without
    the prefixes of wrappers such as DataParallel.

    Raises:
        CheckpointError: The file is missing, cut off, not of weights, or wants to run code.
    """
    content = _load(path)
    for holder in _HOLDERS:
        if isinstance(content, dict) and isinstance(content.get(holder), dict):
            content = content[holder]
            break
    if _is_weights(content):
        return {"": _unwrap(content)}
    if isinstance(content, dict):
        parts = {str(k): _unwrap(v) for k, v in content.items() if _is_weights(v)}
        if parts:
            return parts
    raise CheckpointError(
        f"{path} holds {_describe(content)}, expected a state dict: names and tensors"
    )


def _load(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # Newer pickle protocols than torch's own: what it cannot read of them is an error.
            warnings.filterwarnings("ignore", message=".*pickle protocol.*", category=UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint {path}: name the file of weights") from error
    except IsADirectoryError as error:
        raise CheckpointError(f"{path} is a folder: name the file of weights in it") from error
    except pickle.UnpicklingError as error:
        wanted = re.search(r"(?:GLOBAL|global) ([\w.]+)", str(error))
        if wanted is None:  # torch's own message is a page on pickles
            raise CheckpointError(
                f"cannot read {path} (PyTorch finds no weights in it): it is no file of "
                "torch.save, or cut off or damaged, fetch it anew"
            ) from error
        raise CheckpointError(
            f"{path} is a pickle that would run {wanted[1]} when it is read, and is refused: "
            "weights need no code. Load it where you trust it, and save its state dict alone: "
            "torch.save(network.state_dict(), PATH)"
        ) from error
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        zipfile.BadZipFile,
        SafetensorError,
    ) as error:
        raise CheckpointError(_damaged(path, error)) from error


def _damaged(path: Path, error: Exception) -> str:
    reason = " ".join(str(error).split())[:120]
    return f"cannot read {path} ({reason}): it is cut off or damaged, fetch it anew"


def _is_weights(content: object) -> bool:
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(value, Tensor) for value in content.values())
    )


def _unwrap(weights: dict[str, Tensor]) -> Weights:
    result = dict(weights)
    while result and all(_WRAPPERS.match(key) for key in result):
        result = {_WRAPPERS.sub("", key): value for key, value in result.items()}
    return result


def _describe(content: object) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    kinds = sorted({type(value).__name__ for value in content.values()})
    return f"{len(content)} entries of {', '.join(kinds) or 'nothing'}"
