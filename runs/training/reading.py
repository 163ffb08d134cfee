"""The report on a run's data, before the run begins or goes on."""

from collections.abc import Callable

from runs.config.schema import RunConfig
from runs.store.folder import DataCard


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
