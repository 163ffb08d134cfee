"""A run's configuration: a preset or a YAML file, and `--set key=value` on top.

Each part's model stands beside what it configures; this module puts them together, and turns a
mistake into a message that names the key, what arrived and what is allowed.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from reprlib import Repr
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from egan.config import GameConfig
from populations.executors.base import ExecutionConfig
from populations.selection import SelectionConfig
from runs.common.errors import ConfigError, nearest
from runs.common.files import read_text
from runs.config.evaluation import EvaluationConfig
from runs.presets import preset_text

TOP_LEVEL = (
    "name",
    "seed",
    "generations",
    "data",
    "backbone",
    "population",
    "fitness",
    "selection",
    "discriminator",
    "optimizer",
    "execution",
    "evaluation",
    "checkpoint",
    "tracking",
)

TAGS = ("data.source", "backbone.name")  # the keys that say which model a section is of
BRIEF = Repr()  # aliases can make a short text a value that no memory holds
BRIEF.maxstring = BRIEF.maxother = 60
BRIEF.maxlevel = 2
SECRET = re.compile(r"secret|password|access_key|token", re.IGNORECASE)
MERGE = "tag:yaml.org,2002:merge"  # of the key <<
LARGEST_CONFIG = 2**16  # bytes of a YAML file, and letters of its text
MOST_VALUES = 10_000  # that a YAML text may stand for, its aliases written out
MISTAKES = 20  # told of at once
LONGEST_NUMBER = 100  # letters of a whole number; Python prints no more than 4,300 digits


class CheckpointConfig(BaseModel, extra="forbid", frozen=True):
    """Snapshots of the whole state; with each, a sample grid and the plots are drawn."""

    every: int = Field(100, ge=1, description="generations between snapshots")
    keep: int = Field(3, ge=1, description="how many of the newest snapshots stay")
    grace: float = Field(
        20.0,
        ge=0,
        le=1e6,
        allow_inf_nan=False,
        description="seconds from SIGTERM or Ctrl-C until the generation is given up",
    )
    mirror: str | None = Field(
        None,
        pattern=r"^[a-z][a-z0-9+.-]*://.",
        description="a copy of the run elsewhere, such as s3://bucket/prefix; null: none",
    )

    @field_validator("mirror")
    @classmethod
    def _no_secrets(cls, mirror: str | None) -> str | None:
        if mirror and (urlsplit(mirror).password or SECRET.search(urlsplit(mirror).query)):
            raise ValueError(
                "holds a secret, which the run's folder and MLflow would show; the store's own "
                "environment variables or files are the place for it"
            )
        return mirror


class TrackingConfig(BaseModel, extra="forbid", frozen=True):
    """The record in MLflow; the journal on disk is kept in any case."""

    enabled: bool = True
    uri: str | None = Field(
        None, description="MLflow's store; else MLFLOW_TRACKING_URI, else its own"
    )
    experiment: str = Field("egan", min_length=1)
    every: int = Field(1, ge=1, description="log each n-th generation")
    system_metrics: bool = True
    model: bool = Field(True, description="log the evolved generator as a pyfunc model")


class RunConfig(GameConfig):
    """Everything that a run is: with the journal's selections it determines every bit."""

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    generations: int = Field(1000, ge=1)
    selection: SelectionConfig = SelectionConfig()
    execution: ExecutionConfig = ExecutionConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _layers_for_winograd(self) -> "RunConfig":
        name = self.backbone.name
        if self.execution.precision == "winograd" and name != "dcgan":
            raise ValueError(f"execution.precision: winograd is for backbone dcgan, not {name}")
        return self

    @model_validator(mode="after")
    def _enough_children(self) -> "RunConfig":
        children = self.population.survivors * len(self.population.mutations)
        if self.selection.name == "nsga2" and children < 2:
            raise ValueError("selection.name: nsga2 needs at least 2 children to choose from")
        return self

    @property
    def children(self) -> int:
        """Return how many children a generation makes."""
        mu = self.population.survivors
        return mu if self.selection.name == "random" else mu * len(self.population.mutations)

    def to_yaml(self) -> str:
        """Return the whole configuration as YAML that `load_config` reads."""
        values = self.model_dump(mode="json")
        return yaml.safe_dump({key: values[key] for key in TOP_LEVEL}, sort_keys=False)


# ------------------------------------------------------------------------------------------ reading


def load_config(source: str | Path, overrides: Iterable[str] = (), **settings: Any) -> RunConfig:
    """Return the configuration of a preset's name or a YAML file's path.

    Args:
        source: a preset's name, or the path of a YAML file.
        overrides: texts `key=value`, with dots in the key: `population.survivors=2`. Another
            `data.source` or `backbone.name` than the preset's empties that section first.
        settings: the same as keywords, with `__` for the dots: `population__survivors=2`.

    Raises:
        ConfigError: unknown preset, unreadable file, unknown key, value out of range.
    """
    values = parse_yaml(_read(source), str(source))
    changes = [_parse_override(override) for override in overrides]
    changes += [(key.replace("__", "."), value) for key, value in settings.items()]
    for key, value in sorted(changes, key=lambda change: change[0] not in TAGS):
        if key in TAGS:
            _restart_section(values, key, value)
        _assign(values, key, value)
    return validate(values, str(source))


def _read(source: str | Path) -> str:
    """Return the text of a preset or a file; a name that can be no path is no preset either."""
    path = Path(source)
    try:
        if path.suffix in (".yaml", ".yml") or path.is_file():
            return read_text(path, LARGEST_CONFIG)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the config {path}: {error}") from None
    return preset_text(str(source))


def validate(values: Mapping[str, Any], source: str) -> RunConfig:
    """Return the checked configuration.

    Raises:
        ConfigError: with one line for each mistake.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        lines = [f"  {_explain(detail)}" for detail in error.errors()[:MISTAKES]]
        if error.error_count() > MISTAKES:
            lines.append(f"  and {error.error_count() - MISTAKES} more")
        raise ConfigError("\n".join([f"the config {source} is not valid:", *lines])) from None


class _UniqueKeyLoader(yaml.SafeLoader):
    """Plain YAML values only, and no key twice (PyYAML would keep the last one silently).

    A few lines of aliases to aliases can stand for more values than any memory holds; they are
    counted before anything is built.
    """

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None and _values(node, {}) > MOST_VALUES:
            raise yaml.YAMLError(
                f"stands for more than {MOST_VALUES} values, or for one that contains itself"
            )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value if key.tag != MERGE]
        twice = sorted(str(key) for key, count in Counter(keys).items() if count > 1)
        if twice:
            raise yaml.YAMLError(
                f"line {node.start_mark.line + 1}: {', '.join(twice)} stands twice"
            )
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > LONGEST_NUMBER:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: a number of too many digits")
        return super().construct_yaml_int(node)


_UniqueKeyLoader.add_constructor("tag:yaml.org,2002:int", _UniqueKeyLoader.construct_yaml_int)


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node stands for; of one that contains itself, too many."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]


def _load(text: str) -> Any:
    if len(text) > LARGEST_CONFIG:
        raise yaml.YAMLError(f"{len(text)} letters, more than {LARGEST_CONFIG}")
    return yaml.load(text, Loader=_UniqueKeyLoader)


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """Return the mapping in a YAML text; tags that would build objects are refused.

    Raises:
        ConfigError: not YAML, a key twice, or no mapping.
    """
    try:
        values = _load(text)
    except Exception as error:  # PyYAML's constructors raise anything on odd values
        reason = " ".join(str(error).split())
        raise ConfigError(f"the config {source} is not valid YAML: {reason}") from None
    if not isinstance(values, dict):
        raise ConfigError(
            f"the config {source} must be a mapping of keys to values, not {type(values).__name__}"
        )
    return values


def _parse_override(override: str) -> tuple[str, Any]:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override!r}: needs the form key=value, such as seed=1")
    try:
        return key.strip(), _load(text)
    except Exception as error:  # PyYAML's constructors raise anything on odd values
        reason = " ".join(str(error).split())
        raise ConfigError(f"--set {override!r}: the value is not valid YAML: {reason}") from None


def _restart_section(values: dict[str, Any], key: str, value: Any) -> None:
    """Empty a section whose kind changes: its other keys belong to the kind it was."""
    section, tag = key.split(".")
    former = values.get(section)
    if isinstance(former, dict) and former.get(tag) != value:
        values[section] = {}


def _assign(values: dict[str, Any], key: str, value: Any) -> None:
    """Set `values[a][b] = value` for the key `a.b`."""
    *sections, last = key.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {key}: {section} is a value, not a section with keys")
        values = inner
    values[last] = value


# ----------------------------------------------------------------------------------------- messages


def _explain(detail: ErrorDetails) -> str:
    """Return one line for one of pydantic's errors: the key, what arrived, what is allowed."""
    key, model = _locate(detail["loc"])
    arrived = BRIEF.repr(detail["input"])
    arrived = arrived if len(arrived) <= 60 else arrived[:57] + "..."
    if detail["type"] == "extra_forbidden":
        allowed = sorted(model.model_fields) if model else []
        last = str(detail["loc"][-1])
        return f"{key}: unknown key{nearest(last, allowed)} Allowed here: {', '.join(allowed)}"
    if detail["type"] == "missing":
        return f"{key}: is required"
    if detail["type"] == "union_tag_invalid":
        context = detail["ctx"]
        allowed = [tag.strip(" '") for tag in context["expected_tags"].split(",")]
        name = f"{key}.{context['discriminator'].strip(chr(39))}"
        return (
            f"{name}: no {context['tag']!r}{nearest(context['tag'], allowed)} Known: "
            + ", ".join(allowed)
        )
    if detail["type"] == "union_tag_not_found":
        return f"{key}.{detail['ctx']['discriminator'].strip(chr(39))}: is required"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"{key}: {message}" if key else message
    if detail["type"] == "literal_error":
        hint = nearest(arrived.strip("'"), [str(o) for o in _literals(model, detail["loc"])])
        return f"{key}: {arrived} is not allowed{hint} {message}"
    return f"{key}: {arrived} is not allowed: {message[0].lower()}{message[1:]}"


def _locate(location: Sequence[int | str]) -> tuple[str, type[BaseModel] | None]:
    """Return the dotted key of a location, less the tags of unions, and the model that holds it."""
    model: Any = RunConfig
    holder: type[BaseModel] | None = None
    parts: list[str] = []
    for part in location:
        if isinstance(model, type) and issubclass(model, BaseModel):
            holder = model
            parts.append(str(part))
            field = model.model_fields.get(str(part))
            model = _section(field.annotation) if field else None
        elif chosen := _member(model, part):
            model = holder = chosen
        elif isinstance(part, int):
            parts.append(str(part))
    return ".".join(parts), holder


def _section(annotation: Any) -> Any:
    """Return the model of a section that may be left out, or the annotation as it is."""
    given = [option for option in _options(annotation) if option is not NoneType]
    return given[0] if len(given) == 1 and given[0] is not annotation else annotation


def _member(annotation: Any, tag: int | str) -> type[BaseModel] | None:
    """Return the model of a tagged union that a tag chooses."""
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            for field in option.model_fields.values():
                if get_origin(field.annotation) is Literal and tag in get_args(field.annotation):
                    return option
    return None


def _options(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return get_args(annotation)
    return (annotation,)


def _literals(model: type[BaseModel] | None, location: Sequence[int | str]) -> tuple[Any, ...]:
    names = [str(part) for part in location if isinstance(part, str)]
    field = (
        next((model.model_fields[n] for n in reversed(names) if n in model.model_fields), None)
        if model
        else None
    )
    if field is None:
        return ()
    return tuple(
        value
        for option in _options(field.annotation)
        if get_origin(option) is Literal
        for value in get_args(option)
    )
