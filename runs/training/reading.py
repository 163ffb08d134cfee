"""The data of a new run, and the report on a run's data before it begins or goes on."""

from collections.abc import Callable

from egan.data import Source, open_source
from egan.data.condition import check_classifiable
from runs.config.schema import RunConfig
from runs.store.folder import DataCard


def open_data(config: RunConfig) -> Source:
    """Open a new run's data.

    Raises:
        DataError: they cannot be read, or have no conditions such as the run needs.
    """
    source = open_source(config.data)
    if config.game.ac_weight:
        check_classifiable(source, config.data)
    return source


def read_data(config: RunConfig) -> DataCard:
    """Open a new run's data and return their card.

    Raises:
        DataError: as `open_data`.
    """
    return DataCard.of(open_data(config), config.data)


def say_what_was_read(card: DataCard, config: RunConfig, say: Callable[[str], None]) -> None:
    """Print what was read, and which batches have more rows than there are samples."""
    for line in card.report():
        say(line)
    batches = dict(config.backbone.batches(config.population.batch))
    for key, batch in (batches | {"fitness.batch": config.fitness.batch}).items():
        if card.length is not None and batch > card.length:
            say(
                f"warning: {key} is {batch}, and there are {card.length} images: each batch holds "
                "some of them several times"
            )
