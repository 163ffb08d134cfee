"""A small U-Net (Ronneberger et al., arXiv 1505.04597) that learns parts from exact masks.

It is to segment generated images, too, so that in training it sees blur, noise and other colours.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fitness.digest import digest, digest_weights
from fitness.features.base import Progress
from fitness.segmenters.base import Segmenter
from fitness.training import initialised, one_thread

RECIPE = 1  # to be raised with any change of architecture or training
WIDTH = 16
STEPS = 400
BATCH = 32
RATE = 5e-3
HELD_OUT = 0.1  # share of the images on which the IoU is measured
NOISE = 0.15  # largest standard deviation, of pixels in [-1, 1]
TRAINING = "training the segmenter of parts"  # the stage's name for a progress callback


def _block(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU())


class SmallUNet(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to logits (N, K, H, W); sides are multiples of 4."""

    def __init__(self, channels: int, classes: int, width: int = WIDTH) -> None:
        super().__init__()
        self.channels = channels
        self.fine = _block(channels, width)
        self.middle = _block(width, 2 * width)
        self.coarse = nn.Sequential(_block(2 * width, 4 * width), _block(4 * width, 4 * width))
        self.up_middle = _block(6 * width, 2 * width)
        self.up_fine = _block(3 * width, width)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        fine = self.fine(images)
        middle = self.middle(F.max_pool2d(fine, 2))
        coarse = self.coarse(F.max_pool2d(middle, 2))
        middle = self.up_middle(torch.cat([F.interpolate(coarse, scale_factor=2), middle], 1))
        fine = self.up_fine(torch.cat([F.interpolate(middle, scale_factor=2), fine], 1))
        logits: Tensor = self.head(fine)
        return logits


class PartSegmenter(Segmenter):
    """The parts of avatars, by a `SmallUNet`; make one by `trained` or `restored`.

    Attributes:
        iou: of each class, on images held out from its training; NaN where they have none of it.
    """

    def __init__(
        self,
        network: SmallUNet,
        classes: tuple[str, ...],
        iou: tuple[float, ...],
        device: str | torch.device = "cpu",
    ) -> None:
        identity = digest("parts", RECIPE, digest_weights(network))
        super().__init__("parts", classes, identity)
        self.network = network.to(device).eval().requires_grad_(False)
        self.iou = iou

    def presence(self, images: Tensor) -> Tensor:
        """Return each class's probability (N, K, H, W).

        Raises:
            ValueError: another number of channels, or sides that are no multiples of 4.
        """
        channels, *sides = images.shape[1:]
        if channels != self.network.channels or any(side % 4 for side in sides):
            raise ValueError(
                f"the segmenter of parts takes images of {self.network.channels} channels whose "
                f"sides are multiples of 4; images of {channels} x {sides[0]} x {sides[1]} arrived"
            )
        probabilities: Tensor = self.network(images).softmax(1)
        return probabilities

    @classmethod
    def trained(
        cls,
        images: Tensor,
        masks: Tensor,
        classes: tuple[str, ...],
        *,
        seed: int = 0,
        steps: int = STEPS,
        device: str | torch.device = "cpu",
        progress: Progress | None = None,
    ) -> "PartSegmenter":
        """Train on images, on one thread of the CPU: the same seed gives the same bits.

        Args:
            images: uint8 (N, C, H, W).
            masks: the number of each pixel's class, uint8 (N, H, W).
            classes: their names.
            seed: of the first values, the order of images, blur and noise.
            steps: of training.
            device: where it segments.
            progress: called as `progress(TRAINING, steps done, steps in all)`.

        Raises:
            ValueError: fewer than 20 images, or masks of another shape or with other numbers.
        """
        _check(images, masks, len(classes))
        generator = torch.Generator().manual_seed(seed)
        network = initialised(lambda: SmallUNet(images.shape[1], len(classes)), generator)
        order = torch.randperm(len(images), generator=generator)
        held, rest = order[: ceil(HELD_OUT * len(images))], order[ceil(HELD_OUT * len(images)) :]
        with one_thread():
            _fit(network, images[rest], masks[rest], steps, generator, progress)
            found = cls(network, classes, ())
            iou = held_out_iou(found, images[held], masks[held])
        return cls(network, classes, iou, device)

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """Return the weights, on the CPU, and what made them, for `restored`."""
        about: dict[str, object] = {
            "recipe": RECIPE,
            "classes": self.classes,
            "channels": self.network.channels,
            "iou": [None if value != value else value for value in self.iou],  # JSON has no NaN
        }
        return {name: tensor.cpu() for name, tensor in self.network.state_dict().items()}, about

    @classmethod
    def restored(
        cls,
        state: Mapping[str, Tensor],
        about: Mapping[str, Any],
        device: str | torch.device = "cpu",
    ) -> "PartSegmenter":
        """Return a segmenter from what `state` gave.

        Raises:
            ValueError: another recipe made it.
            Exception: any, where `about` was not made by `state`.
        """
        if about["recipe"] != RECIPE:
            raise ValueError(f"it was made by recipe {about['recipe']}, this is {RECIPE}")
        classes = tuple(map(str, about["classes"]))
        with torch.device("meta"):
            network = SmallUNet(about["channels"], len(classes))
        network.load_state_dict(state, assign=True)
        iou = tuple(float("nan") if value is None else float(value) for value in about["iou"])
        return cls(network, classes, iou, device)


def held_out_iou(segmenter: Segmenter, images: Tensor, masks: Tensor) -> tuple[float, ...]:
    """Return each class's intersection over union; NaN where neither side has it.

    Args:
        segmenter: what is judged.
        images: uint8 (N, C, H, W).
        masks: the true class of each pixel, uint8 (N, H, W).
    """
    both = either = torch.zeros(len(segmenter.classes), dtype=torch.int64)
    for part, mask in zip(torch.split(images, BATCH), torch.split(masks, BATCH), strict=True):
        seen = segmenter.masks(part.float() / 127.5 - 1)
        true = F.one_hot(mask.long(), len(segmenter.classes)).movedim(3, 1).bool()
        both = both + (seen & true).sum((0, 2, 3))
        either = either + (seen | true).sum((0, 2, 3))
    return tuple((both / either).tolist())


def _check(images: Tensor, masks: Tensor, classes: int) -> None:
    if len(images) < 20 or masks.shape != (len(images), *images.shape[2:]):
        raise ValueError(
            f"at least 20 images and as many masks of their sides are needed; "
            f"{tuple(images.shape)} and {tuple(masks.shape)} arrived"
        )
    if int(masks.max()) >= classes:
        raise ValueError(f"a mask has class {int(masks.max())}, and there are {classes} names")


def _fit(
    network: SmallUNet,
    images: Tensor,
    masks: Tensor,
    steps: int,
    generator: torch.Generator,
    progress: Progress | None,
) -> None:
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    shares = torch.bincount(masks.flatten(), minlength=network.head.out_channels) / masks.numel()
    weights = shares.clamp(min=1e-4).rsqrt()  # so that small parts count
    weights = weights / (weights * shares).sum()
    batch = min(BATCH, len(images))
    network.train()
    for step in range(steps):
        if step % (len(images) // batch) == 0:
            order = torch.split(torch.randperm(len(images), generator=generator), batch)
        chosen = order[step % (len(images) // batch)]
        for group in optimizer.param_groups:  # the rate falls to zero in a line
            group["lr"] = RATE * (1 - step / steps)
        logits = network(disturbed(images[chosen].float() / 127.5 - 1, generator))
        loss = F.cross_entropy(logits, masks[chosen].long(), weights)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if progress is not None:
            progress(TRAINING, step + 1, steps)


def disturbed(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return images (N, C, H, W) as a generator might make them: blurred, noisy, other colours.

    A half of them is blurred by up to a 3 x 3 mean; colours are scaled and shifted by up to 15 %.
    """
    n, c = images.shape[:2]

    def drawn(*shape: int) -> Tensor:
        return torch.rand(*shape, 1, 1, generator=generator)

    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    images = torch.lerp(images, blurred, (2 * drawn(n, 1) - 1).clamp(min=0))
    images = images * (0.85 + 0.3 * drawn(n, c)) + 0.3 * (drawn(n, c) - 0.5)
    return images + NOISE * drawn(n, 1) * torch.randn(images.shape, generator=generator)
