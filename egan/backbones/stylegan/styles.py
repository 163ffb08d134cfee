"""Tools in Z and W: parts of a StyleGAN generator (networks.py) called alone, and truncation."""

import torch
from torch import Tensor
from torch.func import functional_call

from egan.backbones.function import NetworkFunction
from egan.backbones.progressive.growth import Stage
from egan.backbones.progressive.networks import check_stage
from egan.backbones.stylegan.latents import Latents, every_layer, layers
from egan.backbones.stylegan.networks import Generator
from egan.backbones.stylegan.noise import noise_images
from egan.state import Weights


def truncate(styles: Tensor, mean: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
    """Truncation in W, 1812.04948, appendix B: w' = mean + psi (w - mean).

    It acts on the first `cutoff` layers of `styles` (N, layers, style); None: on all. `mean`
    (style,), or (N, style), is the tracked mean of w.

    Raises:
        ValueError: the cutoff is not a number of layers.
    """
    count = styles.shape[1]
    if cutoff is not None and not 0 <= cutoff <= count:
        raise ValueError(f"cutoff is a number of layers from 0 to {count}, not {cutoff}")
    cutoff = count if cutoff is None else cutoff
    mean = mean if mean.dim() == 1 else mean[:, None]  # beside (N, layers, style)
    truncated = mean + psi * (styles[:, :cutoff] - mean)
    return torch.cat([truncated, styles[:, cutoff:]], dim=1)


def map_latents(
    generator: NetworkFunction, weights: Weights, z: Tensor, condition: Tensor | None = None
) -> Tensor:
    """Return w (N, style) of z (N, latent) under a StyleGAN generator's weights.

    `condition` (N, size) is for a generator that takes one.
    """
    w: Tensor = _call(generator, weights, "mapping", z, condition)
    return w


def synthesise(
    generator: NetworkFunction,
    weights: Weights,
    styles: Tensor,
    noise: list[Tensor],
    stage: Stage | None = None,
) -> Tensor:
    """Return images (N, C, r, r) of styles (N, layers, style) and the layers' `noise`.

    The noise is what `noise_images(seeds, r)` gives; zeros there turn it off.

    Raises:
        ValueError: the styles are not one for each layer of the stage; also as for `check_stage`.
    """
    stage = check_stage(stage, _module(generator).resolution)
    count = layers(stage.resolution)
    if styles.dim() != 3 or styles.shape[1] != count:
        raise ValueError(
            f"{stage.resolution} pixels take styles of {count} layers, (N, {count}, style), not "
            f"{tuple(styles.shape)}"
        )
    images: Tensor = _call(generator, weights, "synthesis", styles, noise, stage)
    return images


def tracked_mean(weights: Weights, condition: Tensor | None = None) -> Tensor:
    """Return the tracked mean of w, (style,), of a StyleGAN generator's weights.

    Where the weights have a mean for each class, and conditions (N, size) are given, it is that of
    each condition's class, (N, style); between classes it lies between their means.

    Raises:
        ValueError: the weights are those of another backbone, which has no W to truncate in.
    """
    if "mapping.mean" not in weights.buffers:
        raise ValueError("only a stylegan generator has a mean of w: others cannot be truncated")
    if condition is not None and "mapping.class_means" in weights.buffers:
        return condition @ weights.buffers["mapping.class_means"]
    return weights.buffers["mapping.mean"]


def make_truncated(
    generator: NetworkFunction,
    weights: Weights,
    latents: Latents,
    psi: float,
    cutoff: int | None = None,
    stage: Stage | None = None,
    condition: Tensor | None = None,
) -> Tensor:
    """Return the images (N, C, r, r) of `latents`, without mixing, truncated in W.

    Raises:
        ValueError: the weights are another backbone's; also as for `truncate` and `check_stage`.
    """
    stage = check_stage(stage, _module(generator).resolution)
    w = map_latents(generator, weights, latents.z, condition)
    styles = every_layer(w, layers(stage.resolution))
    styles = truncate(styles, tracked_mean(weights, condition), psi, cutoff)
    noise = noise_images(latents.seeds, stage.resolution)
    return synthesise(generator, weights, styles, noise, stage)


def _module(generator: NetworkFunction) -> Generator:
    if not isinstance(generator.module, Generator):
        raise ValueError(
            f"only backbone.name=stylegan has styles, not {type(generator.module).__module__}"
        )
    return generator.module


def _call(generator: NetworkFunction, weights: Weights, part: str, *inputs: object) -> Tensor:
    tensors = {**generator.named(weights.params), **weights.buffers}
    own = {n.removeprefix(f"{part}."): t for n, t in tensors.items() if n.startswith(f"{part}.")}
    output: Tensor = functional_call(_module(generator).get_submodule(part), own, inputs)
    return output
