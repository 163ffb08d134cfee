"""Colours as classes: k-means (Lloyd) of the pixels of some images."""

import torch
from torch import Tensor

from fitness.digest import digest
from fitness.segmenters.base import Segmenter

COLOURS = 8
ROUNDS = 20
MOST_PIXELS = 20_000  # that the centres are taken of
SOFTNESS = 0.02  # squared distance by which the presence of a colour falls by e


class ColourSegmenter(Segmenter):
    """Each pixel is of the nearest of some colours; make one by `fitted`."""

    def __init__(self, centres: Tensor) -> None:
        """Keep the colours (K, C), in [-1, 1]."""
        super().__init__("colours", tuple(map(_named, centres)), digest("colours", centres))
        self.centres = centres

    def presence(self, images: Tensor) -> Tensor:
        """Return the softmax over -d^2 / `SOFTNESS`, d being the distance to each colour.

        Raises:
            ValueError: another number of channels.
        """
        if images.shape[1] != self.centres.shape[1]:
            raise ValueError(
                f"the colours have {self.centres.shape[1]} channels; images of {images.shape[1]} "
                "arrived"
            )
        centres = self.centres.to(images.device)[:, :, None, None]
        distance = (images[:, None] - centres).square().sum(2)
        return (-distance / SOFTNESS).softmax(1)

    @classmethod
    def fitted(cls, images: Tensor, *, colours: int = COLOURS, seed: int = 0) -> "ColourSegmenter":
        """Return the segmenter of the colours of images, float (N, C, H, W) in [-1, 1].

        The colours are in the order of how many pixels are of them. There are fewer than `colours`
        where the images have fewer.
        """
        pixels = images.float().cpu().movedim(1, 3).flatten(0, 2).double()
        stream = torch.Generator().manual_seed(seed)
        if len(pixels) > MOST_PIXELS:
            pixels = pixels[torch.randperm(len(pixels), generator=stream)[:MOST_PIXELS]]
        centres = _spread(pixels, colours, stream)
        for _ in range(ROUNDS):
            nearest = torch.cdist(pixels, centres).argmin(1)
            counts = torch.bincount(nearest, minlength=len(centres))
            sums = torch.zeros_like(centres).index_add_(0, nearest, pixels)
            centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
        counts = torch.bincount(torch.cdist(pixels, centres).argmin(1), minlength=len(centres))
        return cls(centres[counts.argsort(descending=True, stable=True)].float())


def _spread(pixels: Tensor, most: int, stream: torch.Generator) -> Tensor:
    """Return up to `most` different pixels, by k-means++ (Arthur and Vassilvitskii, 2007)."""
    chosen = [pixels[int(torch.randint(len(pixels), (1,), generator=stream))]]
    for _ in range(most - 1):
        distance = torch.cdist(pixels, torch.stack(chosen)).amin(1).square()
        if float(distance.max()) < 1e-6:
            break
        chosen.append(pixels[int(torch.multinomial(distance, 1, generator=stream))])
    return torch.stack(chosen)


def _named(colour: Tensor) -> str:
    """Return a colour as #rrggbb, or a grey as its value from 0 to 255."""
    values = ((colour.clamp(-1, 1) + 1) * 127.5).round().int().tolist()
    return "#" + "".join(f"{v:02x}" for v in values) if len(values) == 3 else "-".join(
        map(str, values)
    )  # fmt: skip
