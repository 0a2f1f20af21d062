"""Networks by name, as recipes and checkpoints say them."""

from __future__ import annotations

from typing import Any

from torch import nn

from dayshift.runtime.errors import UsageError
from dayshift.train.networks.gain_light import GainLight, GainLightConfig

NETWORK_NAMES = ("gain_light",)


def build_network(name: str, **settings: Any) -> nn.Module:
    """Build a network whose config has these fields; JSON lists stand for tuples.

    Raises:
        UsageError: There is no network of this name, or its config has no such field.
    """
    fields: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()
    }
    try:
        match name:
            case "gain_light":
                return GainLight(GainLightConfig(**fields))
    except TypeError as error:
        raise UsageError(f"network {name!r}: {error}") from error
    raise UsageError(f"no network {name!r}: take one of {', '.join(NETWORK_NAMES)}")
