"""A discriminator of plain strided convolutions, as DCGAN's without its norm, which can grow.

In short trainings it serves StyleGAN's generator better than the published one: docs/stylegan.md.
"""

from torch import Tensor, nn

from egan.backbones.dcgan.convolutions import Closing, Halving
from egan.backbones.networks import check_condition
from egan.backbones.progressive.growth import LOWEST, Stage, doublings
from egan.backbones.progressive.layers import downsample, leaky_relu
from egan.backbones.progressive.networks import ProgressiveConfig, check_image, check_stage

FIRST = 2 * LOWEST  # the lowest resolution that can be judged


class PlainDiscriminator(nn.Module):
    """Images (N, C, r, r) of any stage from 8 pixels on to logits (N,).

    `from_rgb.r` halves images of r pixels; `blocks.r` halves what comes from there. Told a
    condition, it projects (Miyato and Koyama, 1802.05637); it says one of `said`: (N, 1 + said).
    """

    def __init__(
        self,
        config: ProgressiveConfig,
        channels: int,
        resolution: int,
        told: int = 0,
        said: int = 0,
    ) -> None:
        super().__init__()
        self.resolution, self.told = resolution, told
        sides = doublings(FIRST, resolution)
        self.from_rgb = nn.ModuleDict(
            {str(side): Halving(channels, config.channels(side // 2), True) for side in sides}
        )
        self.blocks = nn.ModuleDict(
            {
                str(side): Halving(config.channels(side // 2), config.channels(side // 4), True)
                for side in sides[1:]
            }
        )
        self.verdict = Closing(config.channels(LOWEST), 1 + said + told, True)

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
        features = self._halved(self.from_rgb, stage.resolution, x)
        for side in reversed(doublings(2 * FIRST, stage.resolution)):
            features = self._halved(self.blocks, side, features)
            if side == stage.resolution and stage.alpha < 1:
                skip = self._halved(self.from_rgb, side // 2, downsample(x))
                features = skip.lerp(features, stage.alpha)
        logits: Tensor = self.verdict(features).flatten(1)
        if condition is not None:
            return logits[:, 0] + (logits[:, 1:] * condition).sum(1)
        return logits.squeeze(1)

    def _halved(self, layers: nn.ModuleDict, side: int, x: Tensor) -> Tensor:
        return leaky_relu(layers[str(side)](x))
