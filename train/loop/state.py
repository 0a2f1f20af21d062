"""Trees of state (as `state_dict` returns) taken apart into tensors and JSON, and put together.

A tree is dicts, lists and tuples of tensors, numbers, strings, booleans and None. Tensors are kept
flat under the path of their keys, "part/key/key"; all else stays JSON, with each tensor replaced by
`{"tensor": path}`. Tuples come back as lists, and keys that were integers as integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def pack(part: str, tree: Any) -> tuple[dict[str, Tensor], Any]:
    """Return the tensors of `tree` by path, and the tree as JSON without them."""
    tensors: dict[str, Tensor] = {}
    return tensors, _take_apart(part, tree, tensors)


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Invert `pack`.

    Raises:
        KeyError: A tensor that the JSON names is not there.
    """
    if isinstance(packed, dict):
        if set(packed) == {"tensor"}:
            return tensors[packed["tensor"]]
        return {_key(key): unpack(value, tensors) for key, value in packed.items()}
    if isinstance(packed, list):
        return [unpack(value, tensors) for value in packed]
    return packed


def _take_apart(path: str, tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        tensors[path] = tree.detach()
        return {"tensor": path}
    if isinstance(tree, Mapping):
        return {str(k): _take_apart(f"{path}/{k}", v, tensors) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_take_apart(f"{path}/{i}", v, tensors) for i, v in enumerate(tree)]
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    raise TypeError(f"got a {type(tree).__name__} at {path}, expected tensors and JSON values only")


def _key(key: str) -> str | int:
    return int(key) if key.isdigit() else key
