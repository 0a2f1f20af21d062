"""Which of our networks a state dict is of, told from its keys and shapes alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue
from torch import Tensor

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Recognised:
    """What a state dict is of.

    Attributes:
        method: Whose checkpoint it is, most likely.
        network: Preset of `build_network`.
        settings: Fields of its config that differ.
        guesses: What the keys cannot tell and was assumed, in words.
    """

    method: str
    network: str
    settings: dict[str, JsonValue] = field(default_factory=dict)
    guesses: tuple[str, ...] = ()


def recognise(weights: Weights) -> Recognised | None:
    """Return what the weights are of, or None."""
    for attempt in (_resnet, _unet, _spade, _vae):
        found = attempt(weights)
        if found is not None:
            return found
    return None


def is_discriminator(weights: Weights) -> bool:
    """Say whether the weights end in one channel of realness, as a PatchGAN's do."""
    convolutions = [t for k, t in weights.items() if k.endswith("weight") and t.ndim == 4]
    return bool(convolutions) and convolutions[-1].shape[0] == 1


def _resnet(weights: Weights) -> Recognised | None:
    stem = weights.get("model.1.weight")
    blocks = _numbers(weights, r"model\.(\d+)\.conv_block\.")
    if stem is None or stem.ndim != 4 or not blocks or stem.shape[2] != 7:
        return None
    norm = _norm(weights, "model.2", has_bias="model.1.bias" in weights)
    blurs = _numbers(weights, r"model\.(\d+)\.filt")
    down = any(index < blocks[0] for index in blurs)
    up = any(index > blocks[-1] for index in blurs)
    settings: dict[str, JsonValue] = {
        "in_channels": stem.shape[1],
        "out_channels": _last_channels(weights),
        "width": stem.shape[0],
        "blocks": len(blocks),
        "norm": norm,
        # Dropout moves the block's second convolution on by one place.
        "dropout": f"model.{blocks[0]}.conv_block.6.weight" in weights
        and weights[f"model.{blocks[0]}.conv_block.6.weight"].ndim == 4,
        "downsampling": "blur" if down else "stride",
        "upsampling": "blur" if up else "deconv",
    }
    prefix = "cut_" if down or up else ""
    method = "cut" if prefix else "pix2pix" if norm == "batch" else "cyclegan"
    size = 6 if len(blocks) == 6 else 9
    return Recognised(
        method,
        f"{prefix}resnet_{size}blocks",
        settings,
        ("padding of the residual blocks: reflect",),
    )


def _unet(weights: Weights) -> Recognised | None:
    stem = weights.get("model.model.0.weight")
    if stem is None or stem.ndim != 4 or stem.shape[2] != 4:
        return None
    # Every inner block's first convolution, and the outermost's.
    depths = [key.count("model.") for key in weights if re.search(r"model\.1\.weight$", key)]
    downsamplings = 1 + sum(weights[k].ndim == 4 for k in weights if k.endswith("model.1.weight"))
    if not depths:
        return None
    inner = "model.model.1.model"
    settings: dict[str, JsonValue] = {
        "in_channels": stem.shape[1],
        "out_channels": weights["model.model.3.weight"].shape[1],
        "width": stem.shape[0],
        "downsamplings": downsamplings,
        "norm": _norm(weights, f"{inner}.2", has_bias=f"{inner}.1.bias" in weights),
    }
    name = "unet_128" if downsamplings == 7 else "unet_256"
    return Recognised("pix2pix", name, settings)


def _spade(weights: Weights) -> Recognised | None:
    shared = weights.get("head_0.norm_0.mlp_shared.0.weight")
    image, first = weights.get("conv_img.weight"), weights.get("fc.weight")
    if shared is None or image is None or first is None:
        return None
    planes, most = shared.shape[1], "up_4.conv_0.bias" in weights
    width = image.shape[1] * (2 if most else 1)
    steps = "most" if most else "more" if planes in (35, 36) else "normal"
    guesses: tuple[str, ...] = () if most else (f"steps up: {steps}, from {planes} label planes",)
    settings: dict[str, JsonValue] = {
        "label_planes": planes,
        "width": width,
        "upsampling": steps,
        "out_channels": image.shape[0],
    }
    if first.ndim == 2:
        area = first.shape[0] // (16 * width)
        side = round(area**0.5)
        # Square where it can be, else twice as wide as high, as street scenes are.
        height = side if side**2 == area else round((area / 2) ** 0.5)
        scale = 2 ** {"normal": 5, "more": 6, "most": 7}[steps]
        size = (height * scale, area // height * scale)
        settings |= {"latent": first.shape[1], "size": list(size)}
        guesses += (f"size: {size[1]}x{size[0]}",)
    return Recognised("spade", "spade", settings, guesses)


def _vae(weights: Weights) -> Recognised | None:
    stem = weights.get("enc.model.0.conv.weight")
    if stem is None or any(key.startswith(("enc_style.", "enc_content.")) for key in weights):
        return None
    blocks = _numbers(weights, r"enc\.model\.\d+\.model\.(\d+)\.")
    steps = _numbers(weights, r"enc\.model\.(\d+)\.conv\.weight")
    return Recognised(
        "unit",
        "unit",
        {
            "in_channels": stem.shape[1],
            "out_channels": _last_channels(weights),
            "width": stem.shape[0],
            "downsamplings": len(steps) - 1,
            "blocks": len(blocks),
        },
        ("padding: reflect",),
    )


def _norm(weights: Weights, layer: str, *, has_bias: bool) -> str:
    # Instance norm of old PyTorch left running statistics too, but no weight of its own.
    if f"{layer}.weight" in weights:
        return "batch"
    return "instance" if has_bias else "none"


def _numbers(weights: Weights, pattern: str) -> list[int]:
    return sorted({int(m[1]) for key in weights if (m := re.match(pattern, key))})


def _last_channels(weights: Weights) -> int:
    last = [t for key, t in weights.items() if key.endswith("weight") and t.ndim == 4][-1]
    return int(last.shape[0])
