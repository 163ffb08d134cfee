"""How PyTorch ports of StyleGAN1 name and scale the weights of a generator.

Two layouts are known. In both, m is the mapping's learning-rate multiplier, r a resolution, and
`first`, `second` the two styled layers of a block.

**The progression layout** (`style.*`, `generator.progression.*`, `generator.to_rgb.*`; files of
"style-based GAN in PyTorch"), block i = log2(r) - 2:

    style.{2i + 1}.linear.weight_orig, bias      mapping.layers.{i}         / m
    progression.0.conv1.input                    blocks.4.constant.value
    progression.{i}.conv1.1.conv.weight_orig     blocks.{r}.conv_up.weight
    progression.{i}.conv1.0.weight   (fused)     blocks.{r}.conv_up.weight  transposed, flipped, / 4
    progression.{i}.conv1.{1.conv,0}.bias        blocks.{r}.first.bias      none at 4 x 4: zero
    progression.{i}.noise{k}.weight_orig         ....noise_scale            * sqrt(2 / channels)
    progression.{i}.adain{k}.style.linear.*      ....style                  weight * sqrt(2),
                                                                            scale's bias - 1
    progression.{i}.conv2.conv.weight_orig, bias blocks.{r}.conv, second.bias
    to_rgb.{i}.conv.weight_orig, bias            to_rgb.{r}                 weight * sqrt(2)

The port adds the bias of an upsampling convolution before the filter, the published code and ours
after it: images differ in the outermost pixels of each resolution. It shares one noise image
between the layers of a block, and normalises with an epsilon of 1e-5.

**The published layout** (`g_mapping.*`, `g_synthesis.*`; the official weights, renamed):

    g_mapping.dense{i}.weight, bias              mapping.layers.{i}
    g_synthesis.blocks.4x4.const                 blocks.4.constant.value
    blocks.4x4.bias, conv.weight, conv.bias      blocks.4.first.bias, conv, second.bias
    blocks.{r}x{r}.conv0_up.weight, bias         blocks.{r}.conv_up, first.bias; flipped from 128 on
    blocks.{r}x{r}.conv1.weight, bias            blocks.{r}.conv, second.bias
    blocks.{r}x{r}.epi{k}.top_epi.noise.weight   ....noise_scale
    blocks.{r}x{r}.epi{k}.style_mod.lin.*        ....style
    g_synthesis.torgb.weight, bias               to_rgb.{R}, of the full resolution R alone

The published code upsamples by a transposed convolution where the result has 128 pixels or more,
which turns kernels around; hence the flips. toRGB layers that the file lacks keep initial values:
they matter only in stages below the full resolution.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from egan.backbones.progressive.growth import LOWEST, doublings
from egan.backbones.stylegan.networks import Generator

FUSED_FROM = 128  # the lowest resolution that the published code upsamples by transposition
SHOWN = 5  # names listed in an error

Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Origin:
    """Where one of our parameters comes from: the file's key, and what to do with its tensor."""

    key: str
    transform: Transform


def _scaled(factor: float) -> Transform:
    return lambda tensor: tensor * factor


def _as_is(tensor: Tensor) -> Tensor:
    return tensor


def _flipped(tensor: Tensor) -> Tensor:
    return tensor.flip(2, 3)


def _without_batch(tensor: Tensor) -> Tensor:
    return tensor.squeeze(0)


def _noise_scale(tensor: Tensor) -> Tensor:
    """(1, C, 1, 1), itself scaled for equal learning rate, to (C,)."""
    return tensor.flatten() * sqrt(2 / tensor.numel())


def _scale_about_one(bias: Tensor) -> Tensor:
    """(2 C,): the port's scale is y_s itself, ours is added to one."""
    scale, shift = bias.chunk(2)
    return torch.cat([scale - 1, shift])


def _fused_weight(tensor: Tensor) -> Tensor:
    """(C, C', 3, 3) of a transposed convolution that averages, to ours, which repeats."""
    return tensor.transpose(0, 1).flip(2, 3) / 4


def progression_origins(generator: Generator, tensors: Mapping[str, Tensor]) -> dict[str, Origin]:
    """Return the origins of our parameters in the progression layout, by our names."""
    origins: dict[str, Origin] = {}
    unscaled = _scaled(1 / generator.mapping.multiplier)
    for index in range(len(generator.mapping.layers)):
        for kind, key in (("weight", "weight_orig"), ("bias", "bias")):
            origin = Origin(f"style.{2 * index + 1}.linear.{key}", unscaled)
            origins[f"mapping.layers.{index}.{kind}"] = origin
    for index, side in enumerate(doublings(LOWEST, generator.resolution)):
        theirs, ours = f"generator.progression.{index}", f"synthesis.blocks.{side}"
        if side == LOWEST:
            origins[f"{ours}.constant.value"] = Origin(f"{theirs}.conv1.input", _without_batch)
        elif f"{theirs}.conv1.0.weight" in tensors:
            origins[f"{ours}.conv_up.weight"] = Origin(f"{theirs}.conv1.0.weight", _fused_weight)
            origins[f"{ours}.first.bias"] = Origin(f"{theirs}.conv1.0.bias", _as_is)
        else:
            conv = f"{theirs}.conv1.1.conv"
            origins[f"{ours}.conv_up.weight"] = Origin(f"{conv}.weight_orig", _as_is)
            origins[f"{ours}.first.bias"] = Origin(f"{conv}.bias", _as_is)
        origins[f"{ours}.conv.weight"] = Origin(f"{theirs}.conv2.conv.weight_orig", _as_is)
        origins[f"{ours}.second.bias"] = Origin(f"{theirs}.conv2.conv.bias", _as_is)
        for number, layer_name in ((1, "first"), (2, "second")):
            styled, affine = f"{ours}.{layer_name}", f"{theirs}.adain{number}.style.linear"
            noise = Origin(f"{theirs}.noise{number}.weight_orig", _noise_scale)
            origins[f"{styled}.noise_scale"] = noise
            origins[f"{styled}.style.weight"] = Origin(f"{affine}.weight_orig", _scaled(sqrt(2)))
            origins[f"{styled}.style.bias"] = Origin(f"{affine}.bias", _scale_about_one)
        rgb = f"generator.to_rgb.{index}.conv"
        to_rgb = f"synthesis.to_rgb.{side}"
        origins[f"{to_rgb}.weight"] = Origin(f"{rgb}.weight_orig", _scaled(sqrt(2)))
        origins[f"{to_rgb}.bias"] = Origin(f"{rgb}.bias", _as_is)
    return origins


def published_origins(generator: Generator, tensors: Mapping[str, Tensor]) -> dict[str, Origin]:
    """Return the origins of our parameters in the published layout, by our names."""
    origins: dict[str, Origin] = {}
    for index in range(len(generator.mapping.layers)):
        for kind in ("weight", "bias"):
            key = f"g_mapping.dense{index}.{kind}"
            origins[f"mapping.layers.{index}.{kind}"] = Origin(key, _as_is)
    for side in doublings(LOWEST, generator.resolution):
        theirs, ours = f"g_synthesis.blocks.{side}x{side}", f"synthesis.blocks.{side}"
        conv = "conv" if side == LOWEST else "conv1"
        if side == LOWEST:
            origins[f"{ours}.constant.value"] = Origin(f"{theirs}.const", _without_batch)
            origins[f"{ours}.first.bias"] = Origin(f"{theirs}.bias", _as_is)
        else:
            turn = _flipped if side >= FUSED_FROM else _as_is
            origins[f"{ours}.conv_up.weight"] = Origin(f"{theirs}.conv0_up.weight", turn)
            origins[f"{ours}.first.bias"] = Origin(f"{theirs}.conv0_up.bias", _as_is)
        origins[f"{ours}.conv.weight"] = Origin(f"{theirs}.{conv}.weight", _as_is)
        origins[f"{ours}.second.bias"] = Origin(f"{theirs}.{conv}.bias", _as_is)
        for number, layer_name in ((1, "first"), (2, "second")):
            styled, epilogue = f"{ours}.{layer_name}", f"{theirs}.epi{number}"
            noise = Origin(f"{epilogue}.top_epi.noise.weight", _as_is)
            origins[f"{styled}.noise_scale"] = noise
            for kind in ("weight", "bias"):
                origins[f"{styled}.style.{kind}"] = Origin(
                    f"{epilogue}.style_mod.lin.{kind}", _as_is
                )
    for kind in ("weight", "bias"):
        key = f"g_synthesis.torgb.{kind}"
        origins[f"synthesis.to_rgb.{generator.resolution}.{kind}"] = Origin(key, _as_is)
    return origins


@dataclass(frozen=True)
class Layout:
    """How a layout names things.

    Attributes:
        prefix: what names of the layout start with.
        origins: gives the origins of our parameters.
        side: of a block, from the number in its name.
        conv: pattern of a block's second convolution, its number as the group.
        mapping: pattern of the mapping's weights, the layer's number as the group.
        rgb: the name of toRGB's bias, for the number of blocks.
    """

    prefix: str
    origins: Callable[[Generator, Mapping[str, Tensor]], dict[str, Origin]]
    side: Callable[[int], int]
    conv: str
    mapping: str
    rgb: Callable[[int], str]


LAYOUTS = (
    Layout(
        "generator.progression.",
        progression_origins,
        lambda number: LOWEST << number,
        r"generator\.progression\.(\d+)\.conv2\.conv\.weight_orig",
        r"style\.(\d+)\.linear\.weight_orig",
        lambda blocks: f"generator.to_rgb.{blocks - 1}.conv.bias",
    ),
    Layout(
        "g_synthesis.",
        published_origins,
        lambda number: number,
        r"g_synthesis\.blocks\.(\d+)x\d+\.conv1?\.weight",
        r"g_mapping\.dense(\d+)\.weight",
        lambda blocks: "g_synthesis.torgb.bias",
    ),
)


def layout_of(tensors: Mapping[str, Tensor]) -> Layout:
    """Return the layout of a port's named tensors.

    Raises:
        ValueError: it is none of `LAYOUTS`.
    """
    for layout in LAYOUTS:
        if any(name.startswith(layout.prefix) for name in tensors):
            return layout
    raise ValueError(
        f"not a known layout: names start with neither "
        f"{' nor '.join(layout.prefix for layout in LAYOUTS)} but are {listed(tensors)}"
    )


def listed(names: Iterable[str]) -> str:
    """Return the first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
