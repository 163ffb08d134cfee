"""Translators: of a run, from one of its snapshots, or of a generator's folder."""

from dataclasses import dataclass
from pathlib import Path

from runs.config.schema import RunConfig
from runs.sampling.device import Asked, opened_device
from runs.sampling.generators import is_generator
from runs.sampling.opening import Choice, chosen_snapshot
from runs.sampling.translator import Translator, translator_of
from runs.sampling.translator_folder import holds_translator, load_translator
from runs.store.folder import RunFolder


@dataclass(frozen=True)
class Opened:
    """A translator on its device, the name of what it comes from, and its run."""

    translator: Translator
    name: str
    generation: int
    folder: RunFolder
    config: RunConfig


def is_translator(place: Path) -> bool:
    """Tell whether a folder holds a run that translates images, or its generator alone."""
    if is_generator(place):
        return holds_translator(place)
    folder = RunFolder(place)
    return folder.config.is_file() and folder.load_data().partner is not None


def find_translator(
    place: str | Path, choice: Choice | None = None, device: Asked = "auto", reverse: bool = False
) -> tuple[Translator, str]:
    """Return the translator of a run or of a generator's folder, and the name of what it is from.

    Args:
        place: the folder of a run; or of a generator, as MLflow's model holds it.
        choice: which one of a run.
        device: where it translates.
        reverse: whether it is that of the other way.

    Raises:
        ConfigError: there is no such folder or snapshot, or it translates no images, or not that
            way.
    """
    if not is_generator(Path(place)):
        opened = open_translator(place, choice, device)
        translator, name = opened.translator, opened.name
    else:
        (choice or Choice()).refuse_alone(f"{place} holds a generator alone")
        translator = load_translator(Path(place)).to(opened_device(device))
        name = "generator"
    return translator.reversed() if reverse else translator, name


def open_translator(
    run_dir: str | Path, choice: Choice | None = None, device: Asked = "auto"
) -> Opened:
    """Return the translator of a run, on a device.

    Raises:
        ConfigError: there is no such run or snapshot, or it translates no images.
    """
    choice, folder = choice or Choice(), RunFolder.open(run_dir)
    config = folder.load_config()
    exported, name = chosen_snapshot(folder, choice.snapshot)
    translator = translator_of(config, folder.load_data(), exported, choice.survivor, choice.raw)
    on_device = translator.to(opened_device(device, config.execution))
    return Opened(on_device, name, exported.generation, folder, config)
