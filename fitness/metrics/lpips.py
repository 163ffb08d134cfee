"""Perceptual distances of two images: LPIPS (Zhang et al., arXiv 1801.03924), and the like.

    d(x, y) = sum over layers l of the mean over positions of |w_l * (f_l(x) - f_l(y))|^2

f_l are a network's feature maps, each position's vector of channels divided by its length
(section 3.1, equation 1). True LPIPS has VGG-16's and weights that were fitted to people's
judgements; with a feature space that is at hand, the weights are 1, the paper's baseline. In space
`pixels` the one map is the image itself, scaled to 0..1 and not divided by anything.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitness.digest import digest
from fitness.features.base import FeatureSpace, as_rgb
from fitness.features.classifier import ClassifierSpace
from fitness.features.efficientnet import EfficientNetSpace
from fitness.features.pixels import PixelSpace
from fitness.features.weights import load_state

LPIPS = "lpips-vgg16"
SPACES = ("classifier", "efficientnet-lite0", "pixels", LPIPS)
EPSILON = 1e-10  # of the division by a vector's length, as in the published code
SMALLEST_SIDE = 16  # VGG-16's four poolings leave one pixel of it
LARGEST_SIDE = 256  # larger images are averaged down for VGG-16, as in StyleGAN's code

WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# The published scaling of images in -1..1, by channel.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

# Outputs of the last block at each resolution, 112 to 7 pixels.
EFFICIENTNET_BLOCKS = (0, 2, 4, 10, 15)

Maps = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True)
class PerceptualDistance:
    """A distance of images (N, C, H, W), float32 in 0..255 and a little beyond, pair by pair.

    Attributes:
        space: the name that a metric carries.
        identity: hash of everything that fixes the distance.
        maps: images to the feature maps (N, C_l, H_l, W_l) that are compared.
        weights: of the channels, (C_l,) for each map; None: 1.
        device: where the maps are made.
        chunk: pairs at a time, which bounds memory.
    """

    space: str
    identity: str
    maps: Maps
    weights: tuple[Tensor, ...] | None
    device: torch.device
    chunk: int

    def __call__(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the distances (N,), float64, on the CPU.

        Raises:
            ValueError: the two differ in shape, or are not what the space takes.
        """
        if one.shape != other.shape or one.ndim != 4:
            raise ValueError(
                f"a perceptual distance takes images (N, C, H, W) pair by pair; "
                f"{tuple(one.shape)} and {tuple(other.shape)} arrived"
            )
        parts = zip(torch.split(one, self.chunk), torch.split(other, self.chunk), strict=True)
        with torch.no_grad():
            return torch.cat([self._distances(a, b) for a, b in parts])

    def _distances(self, one: Tensor, other: Tensor) -> Tensor:
        maps = self.maps(torch.cat([one, other]).to(self.device))
        total = torch.zeros(len(one), dtype=torch.float64)
        for layer, values in enumerate(maps):
            first, second = values.chunk(2)
            squares = (first - second).square()  # (N, C_l, H_l, W_l)
            if self.weights is not None:
                squares = squares * self.weights[layer][:, None, None]
            total += squares.sum(1).double().mean((1, 2)).cpu()
        return total


def unit(features: Tensor) -> Tensor:
    """Divide every position's vector of channels (N, C, H, W) by its length."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + EPSILON)


def distance_in(space: FeatureSpace) -> PerceptualDistance:
    """Return the distance over a feature space's maps, unweighted.

    `classifier`: after each of its three ReLUs; `efficientnet-lite0`: after the last block of each
    resolution; `pixels`: the image.

    Raises:
        ValueError: the space has no maps to compare.
    """
    if isinstance(space, ClassifierSpace):
        maps = _classifier_maps(space)
    elif isinstance(space, EfficientNetSpace):
        maps = _efficientnet_maps(space)
    elif isinstance(space, PixelSpace):
        maps = _pixels
    else:
        raise _no_distance(space.name)
    chunk = space.chunk_on_cpu if space.device.type == "cpu" else space.chunk
    return PerceptualDistance(space.name, space.identity, maps, None, space.device, chunk)


def check_space(name: str) -> None:
    """Refuse a feature space without a perceptual distance, before it is opened.

    Raises:
        ValueError: names the spaces that have one.
    """
    if name not in SPACES:
        raise _no_distance(name)


def _no_distance(name: str) -> ValueError:
    return ValueError(f"space {name!r} has no perceptual distance; take one of {', '.join(SPACES)}")


def _pixels(images: Tensor) -> list[Tensor]:
    return [images / 255]


def _classifier_maps(space: ClassifierSpace) -> Maps:
    layers = space.network.get_submodule("body")
    assert isinstance(layers, nn.Sequential)

    def maps(images: Tensor) -> list[Tensor]:
        space.check_channels(images)
        x, found = images / 127.5 - 1, []
        for layer in layers:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                found.append(unit(x))
        return found

    return maps


def _efficientnet_maps(space: EfficientNetSpace) -> Maps:
    network = space.network

    def maps(images: Tensor) -> list[Tensor]:
        x = network._swish(network._bn0(network._conv_stem(space.prepare(images))))
        found = []
        for index, block in enumerate(network._blocks):
            x = block(x)
            if index in EFFICIENTNET_BLOCKS:
                found.append(unit(x))
        return found

    return maps


# ---------------------------------------------------------------------------------- LPIPS on VGG-16


def vgg16() -> nn.Sequential:
    """Return VGG-16's convolutions (Simonyan & Zisserman, 1409.1556), numbered as torchvision's."""
    layers: list[nn.Module] = []
    inputs = 3
    for widths in WIDTHS:
        if layers:
            layers.append(nn.MaxPool2d(2))
        for outputs in widths:
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
            inputs = outputs
    return nn.Sequential(*layers)


def vgg16_maps(network: nn.Sequential, images: Tensor) -> list[Tensor]:
    """Return relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3 of images in 0..255, unit vectors.

    Raises:
        ValueError: nothing is left of so small an image at relu5_3; or neither 1 nor 3 channels.
    """
    x = as_rgb(images)
    if min(x.shape[2:]) < SMALLEST_SIDE:
        raise ValueError(
            f"space {LPIPS!r} takes images of at least {SMALLEST_SIDE} pixels; "
            f"{x.shape[2]} x {x.shape[3]} arrived. Take one of {', '.join(SPACES[:-1])}"
        )
    factor = max(1, x.shape[-1] // LARGEST_SIDE)
    x = F.avg_pool2d(x, factor) / 127.5 - 1
    x = (x - x.new_tensor(SHIFT)[:, None, None]) / x.new_tensor(SCALE)[:, None, None]
    found = []
    for layer in network:
        if isinstance(layer, nn.MaxPool2d):
            found.append(unit(x))
        x = layer(x)
    return [*found, unit(x)]


def lpips_vgg16(
    state: Mapping[str, Tensor], linear: Mapping[str, Tensor], device: str | torch.device = "cpu"
) -> PerceptualDistance:
    """Return LPIPS on VGG-16, version 0.1 where the weights are the published ones.

    Args:
        state: VGG-16's tensors under torchvision's names or those of the package lpips; others
            are left out.
        linear: the weights of the channels of each layer, in the order of their names.
        device: where it runs.

    Raises:
        WeightsError: a tensor of VGG-16's is missing or does not fit.
    """
    named = plain_names(state)
    with torch.device("meta"):
        network = vgg16()
    own = {name: named[name] for name in network.state_dict() if name in named}
    load_state(network, own, "VGG-16")
    # channels_last is faster on CPUs and GPUs alike.
    network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    channels = tuple(linear[name].flatten().to(device) for name in sorted(linear))
    identity = digest(LPIPS, *(p for _, p in sorted(network.state_dict().items())), *channels)
    device = torch.device(device)
    chunk = 8 if device.type == "cpu" else 32
    return PerceptualDistance(
        LPIPS, identity, lambda images: vgg16_maps(network, images), channels, device, chunk
    )


SLICE = re.compile(r"net\.slice\d\.(\d+\.(?:weight|bias))")


def plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as `0.weight`, from `features.0.weight` or lpips's `net.slice1.0.weight`."""
    return {
        found[1] if (found := SLICE.fullmatch(name)) else name.removeprefix("features."): tensor
        for name, tensor in state.items()
    }
