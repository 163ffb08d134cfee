"""Games: what is generated from what, by which generators, judged by which critics."""

from typing import TypeAlias

from egan.backbones import BackboneConfig, TranslationBackbone, build_networks
from egan.backbones.networks import refuse
from egan.data.condition import Conditions
from egan.data.pairs import Partner
from egan.games.conditional import ConditionalGame
from egan.games.game import Batch, Buffers, Game, Genes, Samples, Verdict, joined, rows
from egan.games.noise import NoiseGame
from egan.games.paired import PairedGame
from egan.games.rules import GameRules
from egan.games.translation import TranslationGame
from egan.games.unpaired import UnpairedGame

__all__ = [
    "AnyGame",
    "Batch",
    "Buffers",
    "ConditionalGame",
    "Game",
    "GameRules",
    "Genes",
    "NoiseGame",
    "PairedGame",
    "Samples",
    "TranslationGame",
    "UnpairedGame",
    "Verdict",
    "build_game",
    "joined",
    "rows",
]


AnyGame: TypeAlias = NoiseGame | PairedGame | UnpairedGame


def build_game(
    backbone: BackboneConfig,
    shape: tuple[int, ...],
    conditions: Conditions | None = None,
    rules: GameRules | None = None,
    partner: Partner | None = None,
) -> AnyGame:
    """Return the game of samples of `shape`, played by the networks of a backbone.

    It is translation where the images have partners, and conditional where there are conditions;
    see `egan.data.condition.conditions_of`.

    Raises:
        ValueError: the backbone cannot make samples of that shape, or takes no conditions.
    """
    rules = rules or GameRules()
    if partner is not None:
        return _translation(backbone, shape, partner, rules)
    if conditions is None:
        return NoiseGame(build_networks(backbone, shape))
    networks = build_networks(backbone, shape, conditions, classify=rules.ac_weight > 0)
    return ConditionalGame(networks, conditions, rules)


def _translation(
    backbone: BackboneConfig, shape: tuple[int, ...], partner: Partner, rules: GameRules
) -> PairedGame | UnpairedGame:
    if not isinstance(backbone, TranslationBackbone):
        raise refuse(
            backbone.name, shape, "samples from noise", "to translate them, take backbone.name=unet"
        )
    game = PairedGame if partner.aligned else UnpairedGame
    return game(backbone, shape, partner.shape, rules)
