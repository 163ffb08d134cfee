"""Games: what is generated from what, by which generators, judged by which critics."""

from egan.backbones import BackboneConfig, build_networks
from egan.games.game import Batch, Buffers, Game, Genes, Samples, Verdict, joined, rows
from egan.games.noise import NoiseGame

__all__ = [
    "Batch",
    "Buffers",
    "Game",
    "Genes",
    "NoiseGame",
    "Samples",
    "Verdict",
    "build_game",
    "joined",
    "rows",
]


def build_game(backbone: BackboneConfig, shape: tuple[int, ...]) -> NoiseGame:
    """Return the game of samples of `shape`, played by the networks of a backbone.

    Raises:
        ValueError: the backbone cannot make samples of that shape.
    """
    return NoiseGame(build_networks(backbone, shape))
