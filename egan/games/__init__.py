"""Games: what is generated from what, by which generators, judged by which critics."""

from egan.backbones import BackboneConfig, build_networks
from egan.data.condition import Conditions
from egan.games.conditional import ConditionalGame
from egan.games.game import Batch, Buffers, Game, Genes, Samples, Verdict, joined, rows
from egan.games.noise import NoiseGame
from egan.games.rules import GameRules

__all__ = [
    "Batch",
    "Buffers",
    "ConditionalGame",
    "Game",
    "GameRules",
    "Genes",
    "NoiseGame",
    "Samples",
    "Verdict",
    "build_game",
    "joined",
    "rows",
]


def build_game(
    backbone: BackboneConfig,
    shape: tuple[int, ...],
    conditions: Conditions | None = None,
    rules: GameRules | None = None,
) -> NoiseGame:
    """Return the game of samples of `shape`, played by the networks of a backbone.

    It is conditional where there are conditions; see `egan.data.condition.conditions_of`.

    Raises:
        ValueError: the backbone cannot make samples of that shape, or takes no conditions.
    """
    if conditions is None:
        return NoiseGame(build_networks(backbone, shape))
    rules = rules or GameRules()
    networks = build_networks(backbone, shape, conditions, classify=rules.ac_weight > 0)
    return ConditionalGame(networks, conditions, rules)
