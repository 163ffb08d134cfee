"""pix2pix (Isola et al., arXiv 1611.07004): one generator, a critic of pairs."""

from collections.abc import Mapping

import torch
from torch import Tensor

from egan.backbones.function import NetworkFunction
from egan.backbones.progressive.growth import Stage
from egan.backbones.translation.config import TranslationBackbone
from egan.data.draws import AnyDraws
from egan.games.game import Batch, Buffers, Genes, Samples, Verdict
from egan.games.translation import TranslationGame, tensor
from egan.games.translation_rules import TranslationRules
from egan.state import Weights
from egan.streams import Purpose


class PairedGame(TranslationGame):
    """`generator` translates `a` to fakes `b`, which `discriminator` tells from the true partners.

    The critic sees both images of a pair, so that it judges whether they belong together.
    """

    def __init__(
        self,
        backbone: TranslationBackbone,
        a: tuple[int, ...],
        b: tuple[int, ...],
        rules: TranslationRules,
    ) -> None:
        """Play with images of shape `a` and partners of shape `b`, of equal size.

        Raises:
            ValueError: the backbone cannot translate images of that size.
        """
        if rules.direction == "BtoA":
            a, b = b, a
        self.reversed = rules.direction == "BtoA"
        self._l1 = rules.l1
        generator = backbone.translator(a, b[0])
        self.generators: Mapping[str, NetworkFunction] = {"generator": generator}
        critic = backbone.critic((a[0] + b[0], *a[1:]))
        self.critics: Mapping[str, NetworkFunction] = {"discriminator": critic}

    def reals(self, draws: AnyDraws, generation: int, purpose: Purpose) -> Batch:
        """Return a generation's pairs for a purpose, `a` and `b` (N, C, H, W)."""
        pair = self.pairs(draws, generation, purpose)
        a, b = pair[::-1] if self.reversed else pair
        return {"a": a, "b": b}

    def conditions(self, reals: Batch) -> Batch:
        """Return the images to translate, `a`, and what they should become, `target`."""
        return {"a": reals["a"], "target": reals["b"]}

    def generate(
        self, genes: Genes, inputs: Batch, stage: Stage | None = None, training: bool = True
    ) -> tuple[Samples, Buffers]:
        """Return the translations `b` (N, C, H, W), and the generator's buffers after the call."""
        b, buffers = self.generators["generator"](
            genes["generator"], inputs["a"], inputs["seeds"], training=training
        )
        return {"b": b}, {"generator": buffers}

    def judge(
        self,
        role: str,
        critic: Weights,
        samples: Batch,
        inputs: Batch,
        stage: Stage | None = None,
    ) -> tuple[Verdict, Mapping[str, Tensor]]:
        """Return the `logits` (N, 1, h, w) of pairs' patches, and the critic's buffers."""
        pairs = torch.cat([tensor(inputs, "a"), tensor(samples, "b")], 1)
        logits, buffers = self.critics[role](critic, pairs)
        return {"logits": logits}, buffers

    def fixed_loss(
        self,
        genes: Genes,
        inputs: Batch,
        fakes: Samples,
        verdicts: Mapping[str, Verdict],
        stage: Stage | None = None,
    ) -> Tensor | None:
        """Return lambda E|b - G(a)|: equation 3 of the paper."""
        return self._l1 * self.reconstruction(genes, inputs, fakes) if self._l1 else None

    def reconstruction(self, genes: Genes, inputs: Batch, fakes: Samples) -> Tensor:
        """Return E|b - G(a)| ()."""
        return (fakes["b"] - tensor(inputs, "target")).abs().mean()

    def translate(
        self, genes: Genes, images: Tensor, seeds: Tensor, reverse: bool, training: bool
    ) -> Tensor:
        """Return the translations of images; see `TranslationGame`."""
        if reverse:
            raise ValueError(
                "a paired run translates one way alone; train another with game.direction reversed"
            )
        made, _ = self.generators["generator"](genes["generator"], images, seeds, training=training)
        return made
