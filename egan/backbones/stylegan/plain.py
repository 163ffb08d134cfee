"""A discriminator of plain strided convolutions, as DCGAN's, which can grow.

In short trainings it serves StyleGAN's generator better than the published one: docs/stylegan.md.
"""

from torch import Tensor, nn

from egan.backbones.dcgan.convolutions import Closing, Halving
from egan.backbones.dcgan.networks import Norm, norm_layers
from egan.backbones.networks import check_condition
from egan.backbones.progressive.growth import LOWEST, Stage, doublings
from egan.backbones.progressive.layers import downsample, leaky_relu
from egan.backbones.progressive.networks import check_image, check_stage

FIRST = 2 * LOWEST  # the lowest resolution that can be judged


class PlainDiscriminator(nn.Module):
    """Images (N, C, r, r) of any stage from 8 pixels on to logits (N,).

    `from_rgb.r` halves images of r pixels; `blocks.r` halves what comes from there, and `norms.r`
    normalises it. Told a
    condition, it projects (Miyato and Koyama, 1802.05637); it says one of `said`: (N, 1 + said).
    """

    def __init__(
        self, widths: dict[int, int], norm: Norm, channels: int, told: int = 0, said: int = 0
    ) -> None:
        """Make it; `widths` are the channels of features by their pixels, from 4 on."""
        super().__init__()
        self.resolution, self.told = 2 * max(widths), told
        sides = doublings(FIRST, self.resolution)
        bias = norm == "none"  # a norm takes it away
        self.from_rgb = nn.ModuleDict(
            {str(side): Halving(channels, widths[side // 2], bias) for side in sides}
        )
        self.blocks = nn.ModuleDict(
            {str(side): Halving(widths[side // 2], widths[side // 4], bias) for side in sides[1:]}
        )
        self.norms = nn.ModuleDict(
            {str(side): nn.Sequential(*norm_layers(norm, widths[side // 4])) for side in sides[1:]}
        )
        self.verdict = Closing(widths[LOWEST], 1 + said + told, bias)

    def forward(
        self, x: Tensor, condition: Tensor | None = None, stage: Stage | None = None
    ) -> Tensor:
        """Return D's logits (N,) of images at the stage's resolution, and their condition if told.

        Raises:
            ValueError: the images are of another resolution, or as for `check_stage`.
        """
        stage = check_stage(stage, self.resolution)
        check_image(x, stage)
        check_condition(condition, self.told)
        features = leaky_relu(self.from_rgb[str(stage.resolution)](x))
        for side in reversed(doublings(2 * FIRST, stage.resolution)):
            features = leaky_relu(self.norms[str(side)](self.blocks[str(side)](features)))
            if side == stage.resolution and stage.alpha < 1:
                skip = leaky_relu(self.from_rgb[str(side // 2)](downsample(x)))
                features = skip.lerp(features, stage.alpha)
        logits: Tensor = self.verdict(features).flatten(1)
        if condition is not None:
            return logits[:, 0] + (logits[:, 1:] * condition).sum(1)
        return logits.squeeze(1)
