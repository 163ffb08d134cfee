"""The backbones of image translation: what a config says of a translator and of its critic."""

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import nn

from egan.backbones.function import NetworkFunction
from egan.backbones.networks import Backbone, Networks, refuse
from egan.backbones.translation.layers import Initialiser, Norm
from egan.backbones.translation.patchgan import Layers, PatchGAN, fitting, logits, receptive_field
from egan.backbones.translation.resnet import ResNet, Upsampling
from egan.backbones.translation.unet import UNet

Shape = tuple[int, ...]  # (C, H, W)
Probability = Annotated[float, Field(ge=0, lt=1)]
MOST_DOWNS = 10
LARGE = 256  # the side of images from which on a ResNet has nine blocks, as published


class TranslationBackbone(Backbone, extra="forbid", frozen=True):
    """A translator of images, and a PatchGAN that judges what it makes."""

    least_fakes: ClassVar[int] = 1  # an image has many patches

    width: int = Field(64, ge=1, description="channels of the layer nearest to the image")
    norm: Norm = "batch"
    gain: float = Field(
        0.02,
        gt=0,
        allow_inf_nan=False,
        description="standard deviation of the initial weights; a smaller value helps against "
        "inverted colours with two sets",
    )
    inference: Literal["training", "evaluation"] = Field(
        "training",
        description="mode of normalisation and dropout when images are translated. training: "
        "dropout is on, normalisation uses the image's own statistics; evaluation: "
        "dropout is off, normalisation uses running statistics",
    )
    critic_layers: Annotated[int, Field(ge=1, le=5)] | Literal["pixel"] | None = Field(
        None,
        description="the critic's downsampling layers, which decide the size of its patches: 1: "
        "16 px, 2: 34, 3: 70, 4: 142, 5: 286; pixel: each pixel is judged alone; "
        "null: the largest number up to 3 whose patch fits into the image",
    )
    critic_width: int = Field(64, ge=1)

    def build(self, shape: tuple[int, ...]) -> Networks:
        """Refuse to make images from noise.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"backbone.name: {self.name} translates images, and makes none from noise: give it "
            "pairs or two sets, such as data.source=pairs or data.source=emoji-lines"
        )

    @abstractmethod
    def check_size(self, shape: Shape) -> None:
        """Refuse images whose sides the network cannot halve as often as it must.

        Raises:
            ValueError: names the nearest sizes.
        """

    @abstractmethod
    def module(self, shape: Shape, out: int) -> nn.Module:
        """Return the translator's module for images of `shape`, to `out` channels."""

    def translator(self, shape: Shape, out: int) -> NetworkFunction:
        """Return the function (images (N, C, H, W), seeds (N,)) -> images (N, out, H, W).

        Raises:
            ValueError: images of that size cannot be translated.
        """
        self.check_size(shape)
        return NetworkFunction(lambda: self.module(shape, out), Initialiser(self.gain), direct=True)

    def patches(self, shape: Shape) -> "Patches":
        """Return how the critic cuts images of `shape`.

        Raises:
            ValueError: they are too small for it.
        """
        _, height, width = shape
        layers = self.critic_layers or fitting(height, width)
        cut = Patches(
            layers, receptive_field(layers), logits(layers, height), logits(layers, width)
        )
        if min(cut.rows, cut.columns) < 1:
            raise ValueError(
                f"backbone.critic_layers: {layers} halvings leave nothing of images of "
                f"{height} x {width} pixels; take fewer, such as {fitting(height, width)}"
            )
        return cut

    def critic(self, shape: Shape) -> NetworkFunction:
        """Return the function images (N, C, H, W) -> logits (N, 1, h, w) of their patches.

        Raises:
            ValueError: the images are too small for it.
        """
        layers = self.patches(shape).layers
        return NetworkFunction(
            lambda: PatchGAN(shape[0], self.critic_width, layers, self.norm),
            Initialiser(self.gain),
            direct=True,
        )


class Patches:
    """How a critic cuts an image: its halvings, the patch's side in pixels, the logits' grid."""

    def __init__(self, layers: Layers, side: int, rows: int, columns: int) -> None:
        self.layers, self.side, self.rows, self.columns = layers, side, rows, columns

    def __str__(self) -> str:
        return (
            f"patches of {self.side} x {self.side} pixels, {self.rows} x {self.columns} logits "
            "an image"
        )


def check_multiple(backbone: str, shape: Shape, factor: int, remedy: str) -> None:
    """Refuse sides that are no multiples of `factor`.

    Raises:
        ValueError: names the nearest sizes.
    """
    _, height, width = shape
    if height % factor == 0 == width % factor:
        return
    nearest = {
        " x ".join(str(max(1, side // factor + more) * factor) for side in (height, width))
        for more in (0, 1)
    }
    raise refuse(
        backbone,
        shape,
        f"images whose sides are multiples of {factor}",
        f"set data.resolution to the nearest, {' or '.join(sorted(nearest))}{remedy}",
    )


class UNetConfig(TranslationBackbone, extra="forbid", frozen=True):
    """The generator of pix2pix; see `egan.backbones.translation.unet`."""

    name: Literal["unet"] = "unet"
    downs: int | None = Field(
        None,
        ge=2,
        le=MOST_DOWNS,
        description="downsampling layers, each of which halves the sides; null: as many as the "
        "image's sides allow, 8 at most",
    )
    dropout: Probability = Field(
        0.5, description="dropout probability in the decoder's widest levels"
    )
    skips: bool = Field(
        True, description="skip connections from each level of the encoder to the decoder's"
    )

    def halvings(self, shape: Shape) -> int:
        """Return how often images of `shape` are halved."""
        if self.downs is not None:
            return self.downs
        _, height, width = shape
        possible = [n for n in range(2, 9) if height % 2**n == 0 == width % 2**n]
        return max(possible, default=2)

    def check_size(self, shape: Shape) -> None:
        """Refuse sides that are no multiples of 2^downs."""
        fewer = ", or backbone.downs to fewer" if self.downs is not None else ""
        check_multiple(self.name, shape, 2 ** self.halvings(shape), fewer)

    def module(self, shape: Shape, out: int) -> nn.Module:
        """Return the U-Net."""
        downs = self.halvings(shape)
        return UNet(shape[0], out, self.width, downs, self.norm, self.dropout, self.skips)


class ResNetConfig(TranslationBackbone, extra="forbid", frozen=True):
    """The generator of CycleGAN; see `egan.backbones.translation.resnet`."""

    name: Literal["resnet"] = "resnet"
    norm: Norm = "instance"
    blocks: int | None = Field(
        None, ge=1, le=64, description=f"residual blocks; null: 9 from {LARGE} px on, else 6"
    )
    dropout: Probability = Field(0.0, description="dropout probability in the residual blocks")
    upsampling: Upsampling = Field(
        "transposed",
        description="transposed: transposed convolutions, as published; resized: upsampling, then"
        " a convolution, which avoids checkerboard patterns",
    )

    def check_size(self, shape: Shape) -> None:
        """Refuse sides that are no multiples of 4, or below 8: the margins need two pixels."""
        check_multiple(self.name, shape, 4, "")
        if min(shape[1:]) < 8:
            raise refuse(self.name, shape, "images of 8 x 8 pixels or more", "enlarge them")

    def module(self, shape: Shape, out: int) -> nn.Module:
        """Return the network."""
        blocks = self.blocks or (9 if min(shape[1:]) >= LARGE else 6)
        return ResNet(shape[0], out, self.width, blocks, self.norm, self.dropout, self.upsampling)
