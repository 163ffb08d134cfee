"""The folder of a translator without a run: its weights, and what is needed to build it again."""

from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from egan.backbones import BackboneConfig, TranslationBackbone
from egan.config import GameConfig
from egan.data.pairs import Partner
from egan.games import GameRules, NoiseGame, build_game
from egan.replica import ExportedState
from egan.weights_file import WEIGHTS, read_weights, write_weights
from runs.common.errors import ConfigError
from runs.common.files import read_json, write_json
from runs.common.formats import STAMP, format_of, upgraded
from runs.sampling.generators import CARD
from runs.sampling.translator import Translator, translator_of, with_shapes
from runs.store.folder import SHAPE, DataCard

PARTNER: TypeAdapter[Partner] = TypeAdapter(Partner)
BACKBONE: TypeAdapter[BackboneConfig] = TypeAdapter(BackboneConfig)


def save_translator(
    folder: Path, config: GameConfig, card: DataCard, exported: ExportedState
) -> Translator:
    """Write a state's averaged translator, and what is needed to build it again; return it."""
    translator = translator_of(config, card, exported)
    assert card.partner is not None
    folder.mkdir(parents=True)
    write_weights(folder / WEIGHTS, translator.game.generators, translator.weights)
    values = {
        "backbone": config.backbone.model_dump(mode="json"),
        "shape": card.shape,
        "partner": asdict(card.partner),
        "game": config.game.model_dump(mode="json"),
    }
    write_json(folder / CARD, STAMP | values)
    return translator


def holds_translator(folder: Path) -> bool:
    """Tell whether a generator's folder holds a translator; a damaged one does not."""
    try:
        card = read_json(folder / CARD)
    except (OSError, ValueError):
        return False
    return isinstance(card, dict) and "partner" in card


def load_translator(folder: Path) -> Translator:
    """Return the translator that `save_translator` wrote.

    Raises:
        ConfigError: something of it is missing or damaged, or a newer version wrote it.
    """
    try:
        written = read_json(folder / CARD)
        card = upgraded("generator", written, format_of(written, folder / CARD))
        if "partner" not in card:
            raise ConfigError(
                f"{folder} holds a generator of samples from noise: take the command sample"
            )
        backbone = BACKBONE.validate_python(card["backbone"])
        shape, partner = (
            SHAPE.validate_python(card["shape"]),
            PARTNER.validate_python(card["partner"]),
        )
        game = build_game(backbone, shape, None, GameRules(**card["game"]), partner)
        assert isinstance(backbone, TranslationBackbone) and not isinstance(game, NoiseGame)
        weights = read_weights(folder / WEIGHTS, game.generators)
        return with_shapes(game, weights, backbone, shape, partner)
    except ConfigError:
        raise
    except Exception as error:  # any JSON and any tensors may lie there
        raise ConfigError(f"{folder} does not hold a whole translator: {error}") from error
