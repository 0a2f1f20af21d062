"""Loss terms, as pure functions of tensors.

Images are (N, 3, H, W) RGB, in [0, 1] for the terms of relight, in [-1, 1] for those of the
published methods; every term returns a scalar.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

GanKind = Literal["vanilla", "lsgan", "hinge"]

# Derivative of the square root is bounded by adding this under it: about two of 255 levels.
_SQRT_FLOOR = 0.008


def hinge_discriminator(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Return the discriminator's hinge loss (Lim & Ye 2017; Miyato et al. 2018, equation 16)."""
    return functional.relu(1 - real_scores).mean() + functional.relu(1 + fake_scores).mean()


def hinge_generator(fake_scores: Tensor) -> Tensor:
    """Return the generator's hinge loss, -E[D(G(x))] (Miyato et al. 2018, equation 17)."""
    return -fake_scores.mean()


def discriminator_gan(kind: GanKind, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Return what a discriminator lowers, the real and the fake term added.

    Args:
        kind: "vanilla" is cross-entropy of the scores as logits (Goodfellow et al. 2014), "lsgan"
            the squared distance to 1 for real and 0 for fake (Mao et al. 2017), or "hinge".
        real_scores: of images of the target domain, any shape.
        fake_scores: of translated images.
    """
    real_scores, fake_scores = real_scores.float(), fake_scores.float()
    match kind:
        case "vanilla":
            return (
                functional.softplus(-real_scores).mean() + functional.softplus(fake_scores).mean()
            )
        case "lsgan":
            return (real_scores - 1).square().mean() + fake_scores.square().mean()
        case "hinge":
            return hinge_discriminator(real_scores, fake_scores)


def generator_gan(kind: GanKind, fake_scores: Tensor) -> Tensor:
    """Return what a generator lowers to be taken for real; never the saturating form."""
    fake_scores = fake_scores.float()
    match kind:
        case "vanilla":
            return functional.softplus(-fake_scores).mean()
        case "lsgan":
            return (fake_scores - 1).square().mean()
        case "hinge":
            return hinge_generator(fake_scores)


def kl_unit_variance(mean: Tensor) -> Tensor:
    """Return the mean of mu squared: UNIT's KL of N(mu, 1) from N(0, 1), but for the factor 1/2."""
    return mean.float().square().mean()


def kl_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL of N(mean, variance) from N(0, 1): summed over the vector, averaged over the batch.

    Args:
        mean: (N, length).
        log_variance: (N, length).
    """
    mean, log_variance = mean.float(), log_variance.float()
    terms = 1 + log_variance - mean.square() - log_variance.exp()
    return -0.5 * terms.sum(1).mean()


def feature_matching(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """Return L1 between a discriminator's features (Wang et al. 2018, equation 4).

    Summed over layers, averaged over sizes; the last entry of each size is its scores, left out.

    Args:
        real: what each layer of each size saw in the real images; takes no gradient.
        fake: the same of the translated ones.
    """
    terms = [
        functional.l1_loss(fake_layer, real_layer.detach())
        for real_size, fake_size in zip(real, fake, strict=True)
        for real_layer, fake_layer in zip(real_size[:-1], fake_size[:-1], strict=True)
    ]
    return torch.stack(terms).sum() / len(real)


def perceptual_l1(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Return SPADE's L1 between VGG19's relu1_1 to relu5_1, weighted 1/32, 1/16, 1/8, 1/4 and 1."""
    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
    terms = [
        weight * functional.l1_loss(mine, theirs.detach())
        for weight, mine, theirs in zip(weights, fake, real, strict=True)
    ]
    return torch.stack(terms).sum()


def perceptual_instance(real: Tensor, fake: Tensor) -> Tensor:
    """Return UNIT's squared distance between one layer's features, each instance-normalised.

    Content stays and style goes: the source and its translation are compared.
    """
    normalized = functional.instance_norm(fake), functional.instance_norm(real.detach())
    return functional.mse_loss(*normalized)


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:
    """Return the contrastive loss of patches (Park et al. 2020, equation 3), averaged over them.

    Each patch of the translation is to be nearer to the patch at its place in the source than to
    the source's other patches, of the same image alone.

    Args:
        query: (N, patches, length) unit vectors of the translation.
        key: the same of the source; takes no gradient.
        temperature: divides the similarities.
    """
    query, key = query.float(), key.float().detach()
    similarity = query @ key.transpose(1, 2)  # (N, patches, patches), the partner on the diagonal
    n, patches, _ = similarity.shape
    # The authors' code lists the partner apart and leaves -10 at its place among the others: at
    # temperature 0.07 at most exp(-128) of the sum, which single precision rounds away.
    target = torch.arange(patches, device=query.device).repeat(n)
    return functional.cross_entropy(similarity.flatten(0, 1) / temperature, target)


def ssim_distance(fake: Tensor, target: Tensor) -> Tensor:
    """Return 1 - SSIM (Wang et al. 2004), averaged over pixels and channels; 0 where equal.

    Args:
        fake: (N, 3, H, W) in [-1, 1]; compared in [0, 1], the definition's range.
        target: what they should be.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    with torch.autocast(fake.device.type, enabled=False):  # variances of half precision are noise
        found = structural_similarity_index_measure(
            (fake.float() + 1) / 2, (target.float() + 1) / 2, data_range=1.0
        )
    assert isinstance(found, Tensor)
    return 1 - found


def style_l1(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Return L1 between the Gram matrices of features (Johnson et al. 2016, equation 4), summed.

    Args:
        real: features (N, C, h, w) of each layer; take no gradient.
        fake: the same of the translated images.
    """
    terms = [
        functional.l1_loss(_gram(mine), _gram(theirs.detach()))
        for mine, theirs in zip(fake, real, strict=True)
    ]
    return torch.stack(terms).sum()


def total_variation(image: Tensor) -> Tensor:
    """Return the sum of all differences between neighbours (Rudin et al. 1992, anisotropic)."""
    image = image.float()
    return _across(image).abs().sum() + _down(image).abs().sum()


def night_l1(fake: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return L1 on pixels plus half of L1 on their square roots.

    Plain L1 hardly sees a dark picture: ten levels of 255 matter at night and not by day. The
    square root approximates how the eye and the display's curve weigh them.

    Args:
        fake: translated images.
        target: what they should be.
        weight: optional (N, 1, H, W) in [0, 1]; pixels that must not count get 0.
    """
    difference = (fake - target).abs() + 0.5 * (root(fake) - root(target)).abs()
    if weight is not None:
        difference = difference * weight
    return difference.mean()


def gradient_l1(fake: Tensor, target: Tensor) -> Tensor:
    """Return L1 between neighbour differences of two images: edges in the right place."""
    across = (_across(fake) - _across(target)).abs().mean()
    down = (_down(fake) - _down(target)).abs().mean()
    return across + down


def edge_aware_smoothness(gain: Tensor, frame: Tensor, *, sharpness: float = 12.0) -> Tensor:
    """Return how much the gain changes where the frame does not.

    Keeps structure by construction: with a gain that is flat inside surfaces, every edge of the
    output is an edge of the input. On log gain, so that a stop counts as a stop in light and in
    shade (the edge-aware smoothness of Godard et al. 2017, equation 3, with illumination in the
    place of disparity).

    Args:
        gain: (N, 3, h, w) in (0, 1].
        frame: the small frame that the gain belongs to, (N, 3, h, w).
        sharpness: how quickly an edge in the frame excuses an edge in the gain.
    """
    stops = torch.log2(gain.clamp_min(1e-3))
    across = _across(stops).abs() * torch.exp(
        -sharpness * _across(frame).abs().amax(1, keepdim=True)
    )
    down = _down(stops).abs() * torch.exp(-sharpness * _down(frame).abs().amax(1, keepdim=True))
    return across.mean() + down.mean()


def lattice(maps: Tensor, fold: int) -> Tensor:
    """Return how much of the maps repeats from block to block of `fold` x `fold` pixels.

    A depth-to-space head can give each place in its blocks a value of its own, and a discriminator
    that wants lamps makes it set them in rows. What is the same in neighbouring blocks counts here;
    a single lamp hardly does, and a slope of light, taken out by its own mean, not at all.

    Args:
        maps: (N, C, h, w), as they come from the head: the blocks begin at its first pixel.
        fold: side of the blocks.
    """
    fine = maps - functional.avg_pool2d(maps, 5, stride=1, padding=2, count_include_pad=False)
    h, w = (side // fold * fold for side in maps.shape[-2:])
    places = functional.pixel_unshuffle(fine[..., :h, :w], fold)
    near = min(5, *places.shape[-2:])  # blocks; a tiny picture has fewer
    return functional.avg_pool2d(places, near, stride=2).abs().mean()


def _gram(features: Tensor) -> Tensor:
    """Return (N, C, C): how channels occur together, divided by C * h * w."""
    with torch.autocast(features.device.type, enabled=False):
        flat = features.float().flatten(2)
        return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def root(image: Tensor) -> Tensor:
    """Return the square root, whose slope is bounded at 0."""
    return (image.clamp_min(0) + _SQRT_FLOOR).sqrt()


def _across(x: Tensor) -> Tensor:
    return x[..., :, 1:] - x[..., :, :-1]


def _down(x: Tensor) -> Tensor:
    return x[..., 1:, :] - x[..., :-1, :]
