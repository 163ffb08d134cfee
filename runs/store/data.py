"""A run's own data, opened again: at the same place or a new one, they must be the same."""

from pathlib import Path

from egan.data import DataConfig, DataError, Source, open_source
from runs.common.errors import ConfigError
from runs.common.hints import hint
from runs.store.folder import DataCard, RunFolder


def moved(config: DataConfig, place: str | Path) -> DataConfig:
    """Return the config of data that lie at another place now.

    Raises:
        ConfigError: they have no place.
    """
    if not hasattr(config, "path"):
        raise ConfigError(f"{place}: the run's data are {config.source}, which lie at no path")
    return config.model_copy(update={"path": Path(place).expanduser().absolute()})


def reopened(folder: RunFolder, config: DataConfig, command: str) -> tuple[Source, DataCard]:
    """Open a run's data again.

    Args:
        folder: the run's.
        config: of the data, which may have moved since the run began.
        command: the one that is given, which takes --data, for the message.

    Raises:
        ConfigError: they are not there, or not what the run began with.
    """
    card, advice = folder.load_data(), hint(command, folder.path, data="NEW")
    path = getattr(config, "path", None)
    try:
        source = open_source(config)
    except DataError as error:
        if path is None or path.exists():
            raise
        raise ConfigError(
            f"{error}. If the data have moved, say where they are now: {advice}"
        ) from error
    found = DataCard.of(source, config)
    if (found.fingerprint, found.conditions) != (card.fingerprint, card.conditions):
        raise ConfigError(
            f"the data have changed since {folder.path} began: {path or found.name} holds "
            f"{_described(found)}, and the run had {_described(card)}. Put them back, or say where "
            f"they are now: {advice}"
        )
    return source, found


def _described(card: DataCard) -> str:
    size = " x ".join(map(str, card.shape))
    return f"{card.length or 'endless'} of {size} (fingerprint {card.fingerprint[:12]})"
