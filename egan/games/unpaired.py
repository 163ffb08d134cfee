"""CycleGAN (Zhu et al., arXiv 1703.10593): two generators, there and back, and two critics."""

from collections.abc import Mapping

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

USUAL_IDENTITY = 0.5


class UnpairedGame(TranslationGame):
    """`g_ab` makes fakes `b` of images `a`, and `g_ba` the reverse; `d_a`, `d_b` judge each set.

    An individual is both generators.
    """

    def __init__(
        self,
        backbone: TranslationBackbone,
        a: tuple[int, ...],
        b: tuple[int, ...],
        rules: TranslationRules,
    ) -> None:
        """Play with two sets of images, of shapes `a` and `b`, of equal size.

        Raises:
            ValueError: the backbone cannot translate images of that size; or an identity loss of
                sets with different channels.
        """
        if rules.identity and a[0] != b[0]:
            raise ValueError(
                f"game.identity is {rules.identity}, but A has {a[0]} channel(s) and B {b[0]}: an "
                "image of one is none of the other; set game.identity=0"
            )
        usual = USUAL_IDENTITY if a[0] == b[0] else 0.0
        self._cycle = rules.cycle
        self._identity = rules.cycle * (usual if rules.identity is None else rules.identity)
        self.generators: Mapping[str, NetworkFunction] = {
            "g_ab": backbone.translator(a, b[0]),
            "g_ba": backbone.translator(b, a[0]),
        }
        self.critics: Mapping[str, NetworkFunction] = {
            "d_b": backbone.critic(b),
            "d_a": backbone.critic(a),
        }
        size = rules.pool
        self.pools: Mapping[str, tuple[int, ...]] = (
            {"b": (size, *b), "a": (size, *a)} if size else {}
        )

    def reals(self, draws: AnyDraws, generation: int, purpose: Purpose) -> Batch:
        """Return a generation's images of both sets for a purpose, `a` and `b` (N, C, H, W)."""
        a, b = self.pairs(draws, generation, purpose)
        return {"a": a, "b": b}

    def conditions(self, reals: Batch) -> Batch:
        """Return the images to translate."""
        return {"real_a": reals["a"], "real_b": reals["b"]}

    def generate(
        self, genes: Genes, inputs: Batch, stage: Stage | None = None, training: bool = True
    ) -> tuple[Samples, Buffers]:
        """Return the translations `b` and `a`, and the generators' buffers after the call."""
        found = {
            role: self.generators[role](
                genes[role], inputs[real], inputs["seeds"], training=training
            )
            for role, real in (("g_ab", "real_a"), ("g_ba", "real_b"))
        }
        fakes = {"b": found["g_ab"][0], "a": found["g_ba"][0]}
        return fakes, {role: buffers for role, (_, buffers) in found.items()}

    def judge(
        self,
        role: str,
        critic: Weights,
        samples: Batch,
        inputs: Batch,
        stage: Stage | None = None,
    ) -> tuple[Verdict, Mapping[str, Tensor]]:
        """Return the `logits` (N, 1, h, w) of one set's images, and the critic's buffers."""
        logits, buffers = self.critics[role](critic, samples[role.removeprefix("d_")])
        return {"logits": logits}, buffers

    def fixed_loss(
        self,
        genes: Genes,
        inputs: Batch,
        fakes: Samples,
        verdicts: Mapping[str, Verdict],
        stage: Stage | None = None,
    ) -> Tensor | None:
        """Return lambda (cycle loss) + identity (identity loss): the paper's sections 3 and 5.2."""
        losses = []
        if self._cycle:
            losses.append(self._cycle * self.reconstruction(genes, inputs, fakes))
        if self._identity:
            a, b = self._made(genes, inputs["real_b"], inputs["real_a"], inputs)
            losses.append(self._identity * _distance(b, a, inputs))
        return sum(losses[1:], losses[0]) if losses else None

    def reconstruction(self, genes: Genes, inputs: Batch, fakes: Samples) -> Tensor:
        """Return E|F(G(a)) - a| + E|G(F(b)) - b| (): equation 2 of the paper."""
        b, a = self._made(genes, fakes["a"], fakes["b"], inputs)
        return _distance(a, b, inputs)

    def translate(
        self, genes: Genes, images: Tensor, seeds: Tensor, reverse: bool, training: bool
    ) -> Tensor:
        """Return the translations of images of A, or of B in `reverse`; see `TranslationGame`."""
        role = "g_ba" if reverse else "g_ab"
        made, _ = self.generators[role](genes[role], images, seeds, training=training)
        return made

    def _made(
        self, genes: Genes, of_ab: object, of_ba: object, inputs: Batch
    ) -> tuple[Tensor, Tensor]:
        """Return G(of_ab) and F(of_ba), in the mode of training."""
        b, _ = self.generators["g_ab"](genes["g_ab"], of_ab, inputs["seeds"])
        a, _ = self.generators["g_ba"](genes["g_ba"], of_ba, inputs["seeds"])
        return b, a


def _distance(a: Tensor, b: Tensor, inputs: Batch) -> Tensor:
    """Return E|a - real a| + E|b - real b|."""
    return (a - tensor(inputs, "real_a")).abs().mean() + (b - tensor(inputs, "real_b")).abs().mean()
