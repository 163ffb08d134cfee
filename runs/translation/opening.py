"""Translators of a run, from one of its snapshots."""

from dataclasses import dataclass
from pathlib import Path

from runs.config.schema import RunConfig
from runs.sampling.device import Asked, opened_device
from runs.sampling.opening import Choice, chosen_snapshot
from runs.sampling.translator import Translator, translator_of
from runs.store.folder import RunFolder


@dataclass(frozen=True)
class Opened:
    """A translator on its device, the name of what it comes from, and its run."""

    translator: Translator
    name: str
    generation: int
    folder: RunFolder
    config: RunConfig


def open_translator(
    run_dir: str | Path, choice: Choice | None = None, device: Asked = "auto", reverse: bool = False
) -> Opened:
    """Return the translator of a run, on a device; in `reverse`, that of the other way.

    Raises:
        ConfigError: there is no such run or snapshot, or it translates no images, or not that way.
    """
    choice, folder = choice or Choice(), RunFolder.open(run_dir)
    config = folder.load_config()
    exported, name = chosen_snapshot(folder, choice.snapshot)
    translator = translator_of(config, folder.load_data(), exported, choice.survivor, choice.raw)
    translator = translator.reversed() if reverse else translator
    on_device = translator.to(opened_device(device, config.execution))
    return Opened(on_device, name, exported.generation, folder, config)
