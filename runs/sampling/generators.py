"""The folder of a generator without a run: its weights, and what is needed to build it again."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from egan.backbones import BackboneConfig
from egan.backbones.progressive.growth import Stage
from egan.config import GameConfig
from egan.data.condition import ConditionCard
from egan.games import ConditionalGame, GameRules, NoiseGame, build_game
from egan.imports import WITHOUT_IMPORTS
from egan.replica import ExportedState
from egan.weights_file import WEIGHTS, read_weights, write_weights
from runs.common.errors import ConfigError
from runs.common.files import read_json, write_json
from runs.common.formats import STAMP, format_of, upgraded
from runs.sampling.repair import check_fit, repaired
from runs.sampling.sampler import Sampler
from runs.sampling.states import sampler_of
from runs.sampling.units import UnitsFile
from runs.store.folder import SHAPE, DataCard, RunFolder

CARD = "generator.json"
BACKBONE: TypeAdapter[BackboneConfig] = TypeAdapter(BackboneConfig)
CONDITIONS: TypeAdapter[ConditionCard | None] = TypeAdapter(ConditionCard | None)
SHOWN: TypeAdapter[int | None] = TypeAdapter(Annotated[int, Field(ge=0)] | None)


def save_generator(
    folder: Path,
    config: GameConfig,
    card: DataCard,
    exported: ExportedState,
    repair: UnitsFile | None = None,
) -> Sampler:
    """Write a state's averaged generator, and what is needed to build it again; return it.

    With `repair` it has these units switched off; see `runs.sampling.repair`.
    """
    sampler = sampler_of(config, card, exported)
    if repair is not None:
        sampler = repaired(sampler, repair)
    folder.mkdir(parents=True)
    write_generator(folder, config.backbone, sampler)
    return sampler


def write_generator(folder: Path, backbone: BackboneConfig, sampler: Sampler) -> None:
    """Write a sampler's generator into a folder, for `load_sampler` and as a first parent."""
    write_weights(folder / WEIGHTS, sampler.game.generators, sampler.weights)
    stage = sampler.stage and asdict(sampler.stage)
    card = {
        **STAMP,
        "backbone": backbone.model_dump(mode="json"),
        "shape": sampler.shape,
        "stage": stage,
        **_told(sampler),
        **({} if sampler.repair is None else {"repair": sampler.repair.model_dump()}),
    }
    write_json(folder / CARD, card)


def _told(sampler: Sampler) -> dict[str, Any]:
    """Return what a card says of a generator that takes conditions; of another one, nothing."""
    if sampler.conditions is None:
        return {}
    assert isinstance(sampler.game, ConditionalGame)
    rules = sampler.game.rules.model_dump(mode="json")
    return {"conditions": asdict(sampler.conditions), "game": rules, "shown": sampler.shown}


def is_generator(path: Path) -> bool:
    """Tell whether a folder holds a generator alone, as `convert` writes it, and no run."""
    return (path / CARD).is_file() and not RunFolder(path).config.is_file()


def backbone_beside(weights: Path) -> BackboneConfig | None:
    """Return the backbone that a generator's folder says its weights are of, if it says so."""
    path = weights.parent / CARD
    try:
        written = read_json(path)
        card = upgraded("generator", written, format_of(written, path))
        return BACKBONE.validate_python(card["backbone"], context=WITHOUT_IMPORTS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # the weights are read without it


def load_sampler(folder: Path) -> Sampler:
    """Return the sampler of a generator that `write_generator` wrote.

    Raises:
        ConfigError: something of it is missing or damaged, or a newer version wrote it.
    """
    try:
        written = read_json(folder / CARD)
        card = upgraded("generator", written, format_of(written, folder / CARD))
        if "partner" in card:
            raise ConfigError(f"{folder} holds a translator of images: take the command translate")
        backbone = BACKBONE.validate_python(card["backbone"])
        shape, stage = SHAPE.validate_python(card["shape"]), card.get("stage")
        told = CONDITIONS.validate_python(card.get("conditions"))
        rules = GameRules(**card.get("game", {}))
        game = build_game(backbone, shape, told.conditions if told else None, rules)
        assert isinstance(game, NoiseGame)
        weights = read_weights(folder / WEIGHTS, game.generators)
        stage = stage and Stage(**stage)
        shown = SHOWN.validate_python(card.get("shown"))
        sampler = Sampler(game, weights, shape, stage, conditions=told, shown=shown)
        if "repair" not in card:
            return sampler
        units = UnitsFile.model_validate(card["repair"])
        check_fit(units, sampler, "generator", f"{folder}: repair")
        return repaired(sampler, units)
    except ConfigError:
        raise
    except Exception as error:  # any JSON and any tensors may lie there
        raise ConfigError(f"{folder} does not hold a whole generator: {error}") from error
