"""From the authors' weights to a checkpoint of ours, with how the network behaves said."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import JsonValue
from torch import Tensor, nn

from dayshift.runtime.errors import UsageError
from dayshift.train.authors.read import Weights, read_weights
from dayshift.train.authors.recognise import Recognised, is_discriminator, recognise
from dayshift.train.checkpoint import Checkpoint, CheckpointError, NetworkRecord
from dayshift.train.networks.presets import build_network

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Wish:
    """What the user says of the file; the rest is recognised.

    Attributes:
        method: "pix2pix", "cyclegan", "cut", "spade", "unit" or another.
        network: Preset of `build_network`.
        settings: Fields of its config.
        norm: Which statistics batch norm uses; None takes the stored ones where there are any.
        dropout: Dropout draws at test time too.
    """

    method: str | None = None
    network: str | None = None
    settings: dict[str, JsonValue] = field(default_factory=dict)
    norm: Literal["running", "batch"] | None = None
    dropout: bool = False


def import_checkpoint(path: Path, wish: Wish | None = None) -> tuple[Checkpoint, list[str]]:
    """Read the generators of a file as a checkpoint, and return what was assumed, in words.

    Raises:
        CheckpointError: The file cannot be read, or its weights are not the network's.
        UsageError: No such network or setting, or the network is not recognised.
    """
    wish = wish or Wish()
    parts = read_weights(path)
    if set(parts) >= {"a", "b"}:
        directions = {
            "a_to_b": _translator(parts, "a", "b"),
            "b_to_a": _translator(parts, "b", "a"),
        }
    elif len(parts) == 1:
        directions = {"b_to_a" if "_G_B" in path.stem else "a_to_b": next(iter(parts.values()))}
    else:
        raise CheckpointError(
            f"{path} holds {len(parts)} networks ({', '.join(sorted(parts))}), expected one "
            "generator, or UNIT's a and b"
        )
    known = _identify(path, next(iter(directions.values())), wish)
    tensors: dict[str, Tensor] = {}
    records: dict[str, NetworkRecord] = {}
    notes = list(known.guesses)
    for direction, weights in directions.items():
        fitted, has_statistics = _fit(path, weights, known)
        norm = wish.norm or ("running" if has_statistics else "batch")
        if norm == "running" and not has_statistics:
            raise CheckpointError(
                f"{path} has no running statistics of its batch norms: import it with --norm batch"
            )
        part = f"generator_{direction}"
        tensors |= {f"{part}/{key}": value for key, value in fitted.items()}
        records[direction] = NetworkRecord(
            known.network, part, dict(known.settings), norm, wish.dropout
        )
    notes += _semantics(next(iter(records.values())), has_statistics)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    facts = {"imported_from": path.name, "imported_sha256": digest, "assumed": notes}
    return Checkpoint(known.method, records, tensors, facts=facts), notes


def _translator(parts: Mapping[str, Weights], source: str, target: str) -> Weights:
    """Return source's encoder with target's decoder: UNIT's way from one domain to the other."""
    encoder = {k: v for k, v in parts[source].items() if k.startswith("enc.")}
    return encoder | {k: v for k, v in parts[target].items() if k.startswith("dec.")}


def _identify(path: Path, weights: Weights, wish: Wish) -> Recognised:
    found = recognise(weights)
    if found is None and wish.network is None:
        if is_discriminator(weights):
            raise UsageError(
                f"{path} is a discriminator's, which translates nothing: import the generator "
                "(of pytorch-CycleGAN-and-pix2pix: *_net_G*.pth)"
            )
        first = ", ".join(list(weights)[:3])
        raise UsageError(
            f"cannot tell which network {path} is of (its keys begin {first}): "
            "say it with --network and --set"
        )
    if wish.network is None:
        assert found is not None
        settings = found.settings | wish.settings
        return Recognised(wish.method or found.method, found.network, settings, found.guesses)
    # A named network is taken at its word, and completed where the weights agree with it.
    same = found is not None and type(_build(found.network, found.settings)) is type(
        _build(wish.network, wish.settings)
    )
    settings = (found.settings if found is not None and same else {}) | wish.settings
    guesses = found.guesses if found is not None and same else ()
    fallback = found.method if found is not None else "unknown"
    return Recognised(wish.method or fallback, wish.network, settings, guesses)


def _build(name: str, settings: Mapping[str, JsonValue]) -> nn.Module:
    return build_network(name, **settings)


def _fit(path: Path, weights: Weights, known: Recognised) -> tuple[Weights, bool]:
    """Return the weights under the network's own keys, and whether batch norm has statistics."""
    expected = _build(known.network, known.settings).state_dict()
    fitted = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    # Old PyTorch: instance norm with statistics that nothing uses, batch norm without a count.
    for key in [k for k in fitted if k.endswith(_STATISTICS) and k not in expected]:
        del fitted[key]
    missing = [key for key in expected if key not in fitted]
    has_statistics = not any(key.endswith("running_mean") for key in missing)
    for key in [key for key in missing if key.endswith(_STATISTICS)]:
        fitted[key] = expected[key].clone()
        missing.remove(key)
    unexpected = [key for key in fitted if key not in expected]
    wrong = [k for k in fitted if k in expected and fitted[k].shape != expected[k].shape]
    if missing or unexpected or wrong:
        raise CheckpointError(_mismatch(path, weights, known, missing, unexpected, wrong))
    return {key: fitted[key].contiguous() for key in expected}, has_statistics


def _mismatch(
    path: Path,
    weights: Weights,
    known: Recognised,
    missing: list[str],
    unexpected: list[str],
    wrong: list[str],
) -> str:
    """Say which keys differ, and which preset would fit better."""
    differences = [
        f"{what} {_few(keys)}"
        for what, keys in (
            ("lacks", missing),
            ("has besides", unexpected),
            ("has other shapes at", wrong),
        )
        if keys
    ]
    found = recognise(weights)
    better = ""
    if found is not None and (found.network, found.settings) != (known.network, known.settings):
        changed = {k: v for k, v in found.settings.items() if known.settings.get(k) != v}
        settings = "".join(f" --set {key}={value}" for key, value in changed.items())
        better = f": these keys are of --network {found.network}{settings}"
    return f"{path} is not of network {known.network}: it {', '.join(differences)}{better}"


def _few(keys: list[str]) -> str:
    shown = ", ".join(keys[:3])
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3} more"


def _semantics(record: NetworkRecord, has_statistics: bool) -> list[str]:
    """Say how norm and dropout behave, where the network has a choice."""
    notes = []
    if record.settings.get("norm") == "batch" or record.name.startswith("unet"):
        if record.norm == "running":
            notes.append(
                "batch norm: stored statistics; the authors' test scripts use the image's own "
                "(--norm batch)"
            )
        else:
            why = "" if has_statistics else ", since none are stored"
            notes.append(f"batch norm: statistics of the image itself{why}")
    if record.dropout:
        notes.append("dropout: draws at test time too")
    return notes
