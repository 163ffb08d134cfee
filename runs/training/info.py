"""The values of a run that are known before anything is opened."""

from dataclasses import dataclass

from runs.config.schema import RunConfig
from runs.store.folder import DataCard, RunFolder
from runs.store.identity import Identity


@dataclass(frozen=True)
class RunInfo:
    """Where a run lies, what it does, on what data, and which run it is.

    With `pictures`, sample grids are drawn beside the snapshots, and plots at the end.
    """

    folder: RunFolder
    config: RunConfig
    card: DataCard
    identity: Identity
    pictures: bool = True
