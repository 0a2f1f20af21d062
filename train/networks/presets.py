"""The published networks by name.

A preset is a starting point; any field of its configuration can be set on top. Image generators
take and return (N, 3, H, W) RGB in [-1, 1].

    resnet_9blocks, resnet_6blocks          CycleGAN's generators
    resnet_edge                             the same for edge engines: a space-to-depth stem, batch
                                            norm, zero padding, no 7x7, no transposed convolution
    cut_resnet_9blocks, cut_resnet_6blocks  CUT's anti-aliased generators
    unet_256, unet_128                      Pix2Pix's generators
    gain_light                              (small RGB in [0, 1], strength) -> gain, light
    gain_light_image                        the same weights as an image generator at strength 1
    unit                                    image -> image: the encoder ("enc.*") of the one domain
                                            and the decoder ("dec.*") of the other
    unit_2017                               the same with the NIPS paper's shared layers
    spade                                   label planes -> image, for Cityscapes
    spade_coco                              for COCO-Stuff
    spade_encoder                           image -> mean and log-variance of the style
    patchgan_70, patchgan_16, pixelgan      discriminators of Pix2Pix and CycleGAN
    cut_patchgan_70                         CUT's anti-aliased one
    unit_discriminator, unit_2017_discriminator, spade_discriminator
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError
from torch import nn

from dayshift.runtime.errors import UsageError
from dayshift.train.networks.gain_light import GainLight, GainLightConfig
from dayshift.train.networks.gain_light_image import GainLightImage, GainLightImageConfig
from dayshift.train.networks.multiscale import (
    SpadeDiscriminator,
    SpadeDiscriminatorConfig,
    UnitDiscriminator,
    UnitDiscriminatorConfig,
)
from dayshift.train.networks.patchgan import PatchGan, PatchGanConfig
from dayshift.train.networks.resnet import ResnetConfig, ResnetGenerator
from dayshift.train.networks.spade import (
    SpadeConfig,
    SpadeEncoder,
    SpadeEncoderConfig,
    SpadeGenerator,
)
from dayshift.train.networks.unet import UnetConfig, UnetGenerator
from dayshift.train.networks.unit import Vae, VaeConfig
from dayshift.train.networks.unit_2017 import SharedVae, SharedVaeConfig

_EDGE = ResnetConfig(
    width=16, blocks=6, norm="batch", padding="zero", upsampling="nearest", stem="space_to_depth"
)
_CUT = ResnetConfig(downsampling="blur", upsampling="blur")

_PRESETS: dict[str, tuple[Callable[[Any], nn.Module], Any]] = {
    "resnet_9blocks": (ResnetGenerator, ResnetConfig()),
    "resnet_6blocks": (ResnetGenerator, ResnetConfig(blocks=6)),
    "resnet_edge": (ResnetGenerator, _EDGE),
    "cut_resnet_9blocks": (ResnetGenerator, _CUT),
    "cut_resnet_6blocks": (ResnetGenerator, dataclasses.replace(_CUT, blocks=6)),
    "unet_256": (UnetGenerator, UnetConfig()),
    "unet_128": (UnetGenerator, UnetConfig(downsamplings=7)),
    "gain_light": (GainLight, GainLightConfig()),
    "gain_light_image": (GainLightImage, GainLightImageConfig()),
    "unit": (Vae, VaeConfig()),
    "unit_2017": (SharedVae, SharedVaeConfig()),
    "spade": (SpadeGenerator, SpadeConfig()),
    "spade_coco": (SpadeGenerator, SpadeConfig(label_planes=184, upsampling="normal")),
    "spade_encoder": (SpadeEncoder, SpadeEncoderConfig()),
    "patchgan_70": (PatchGan, PatchGanConfig()),
    "patchgan_16": (PatchGan, PatchGanConfig(layers=1)),
    "pixelgan": (PatchGan, PatchGanConfig(layers=0)),
    "cut_patchgan_70": (PatchGan, PatchGanConfig(antialias=True)),
    "unit_discriminator": (UnitDiscriminator, UnitDiscriminatorConfig()),
    "unit_2017_discriminator": (
        UnitDiscriminator,
        UnitDiscriminatorConfig(kernel_px=3, smoothing="gaussian"),
    ),
    "spade_discriminator": (SpadeDiscriminator, SpadeDiscriminatorConfig()),
}

_IMAGE_GENERATORS = (ResnetGenerator, UnetGenerator, GainLightImage, Vae, SharedVae)

NETWORK_NAMES: tuple[str, ...] = tuple(_PRESETS)


def build_network(name: str, **settings: JsonValue) -> nn.Module:
    """Return a preset's network with fresh weights.

    Args:
        name: one of NETWORK_NAMES.
        settings: fields of the network's configuration that differ from the preset.

    Raises:
        UsageError: No such preset or setting, or a value out of range.
    """
    if name not in _PRESETS:
        raise UsageError(f"no network {name!r}: expected one of {', '.join(NETWORK_NAMES)}")
    network, preset = _PRESETS[name]
    return network(_with_settings(name, preset, settings))


def describe_network(network: nn.Module) -> tuple[str, dict[str, JsonValue]]:
    """Return a name and settings with which `build_network` makes the network for inference.

    The settings are complete, the name is the nearest preset's. A generator trained as
    gain_light_image is a gain_light.

    Raises:
        UsageError: The network is none that `build_network` makes.
    """
    if isinstance(network, GainLightImage):
        fields = {field.name for field in dataclasses.fields(GainLightConfig)}
        settings = dataclasses.asdict(network.config)
        return "gain_light", {key: _to_json(settings[key]) for key in fields}
    presets = {name: preset for name, (kind, preset) in _PRESETS.items() if type(network) is kind}
    if not presets:
        raise UsageError(
            f"got a {type(network).__name__}, expected a network made by build_network"
        )
    settings = dataclasses.asdict(network.config)  # type: ignore[call-overload]  # see _PRESETS

    def differences(name: str) -> int:
        return sum(getattr(presets[name], key) != value for key, value in settings.items())

    return min(presets, key=differences), {key: _to_json(v) for key, v in settings.items()}


def is_image_generator(network: nn.Module) -> bool:
    """Whether the network takes and returns images (N, 3, H, W) RGB in [-1, 1]."""
    config = getattr(network, "config", None)
    rgb = [getattr(config, key, 3) == 3 for key in ("in_channels", "out_channels")]
    return isinstance(network, _IMAGE_GENERATORS) and all(rgb)


def _with_settings(name: str, preset: Any, settings: Mapping[str, JsonValue]) -> Any:
    known = [field.name for field in dataclasses.fields(preset)]
    for key in settings:
        if key not in known:
            raise UsageError(f"{name} has no setting {key!r}: expected one of {', '.join(known)}")
    values = {**{key: getattr(preset, key) for key in known}, **settings}
    try:
        return TypeAdapter(type(preset)).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"][:1])
        raise UsageError(f"network {name}: {where}{first['msg']}") from error


def _to_json(value: Any) -> JsonValue:
    return list(value) if isinstance(value, tuple) else value
