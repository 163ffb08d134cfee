"""YAML from strangers: plain values only, no key twice, no size that fills the memory.

Unquoted values come as `Plain` texts; see `runs.config.values` for what becomes of them.
"""

from collections import Counter
from copy import deepcopy
from functools import lru_cache
from typing import Any

import yaml

from populations.messages import one_line
from runs.common.errors import ConfigError
from runs.config.values import Plain

MERGE = "tag:yaml.org,2002:merge"  # of the key <<
LARGEST_CONFIG = 2**16  # bytes of a YAML file, and letters of its text
MOST_VALUES = 10_000  # that a YAML text may stand for, its aliases written out


class _SafeLoader(yaml.SafeLoader):
    """YAML's plain values, keys once each (PyYAML would keep the last one silently).

    A few lines of aliases to aliases can stand for more values than any memory holds; they are
    counted before anything is built.
    """

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None and _values(node, {}) > MOST_VALUES:
            raise yaml.YAMLError(f"expands to more than {MOST_VALUES} values, or refers to itself")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key) for key, _ in node.value if key.tag != MERGE]
        twice = sorted(str(key) for key, count in Counter(keys).items() if count > 1)
        if twice:
            raise yaml.YAMLError(
                f"line {node.start_mark.line + 1}: duplicate key {', '.join(twice)}"
            )
        return super().construct_mapping(node, deep)

    def construct_text(self, node: yaml.ScalarNode) -> str:
        text = self.construct_scalar(node)
        return str(text) if node.style else Plain(text)


for _tag in ("null", "bool", "int", "float", "timestamp", "value", "str"):
    _SafeLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _SafeLoader.construct_text)


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many values a node stands for; of one that contains itself, too many."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1
        parts = node.value if isinstance(node, yaml.CollectionNode) else []
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        known[id(node)] = 1 + sum(_values(part, known) for part in parts)
    return known[id(node)]


@lru_cache(maxsize=8)  # a run's config is read several times
def _parsed(text: str) -> Any:
    return yaml.load(text, Loader=_SafeLoader)


def parse_value(text: str) -> Any:
    """Return the value of a YAML text, which is the caller's own.

    Raises:
        ValueError: not YAML, in one line.
    """
    try:
        if len(text) > LARGEST_CONFIG:
            raise yaml.YAMLError(f"{len(text)} characters, more than {LARGEST_CONFIG}")
        return deepcopy(_parsed(text))
    except Exception as error:  # PyYAML's constructors raise anything on odd values
        raise ValueError(f"not valid YAML: {one_line(error)}") from None


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """Return the mapping in a YAML text; tags that would build objects are refused.

    Raises:
        ConfigError: not YAML, a key twice, or no mapping.
    """
    try:
        values = parse_value(text)
    except ValueError as error:
        raise ConfigError(f"the config {source} is {error}") from None
    if not isinstance(values, dict):
        what = "a single value" if isinstance(values, str) else type(values).__name__
        raise ConfigError(f"the config {source} must be a mapping of keys to values, not {what}")
    return values


def leftover(text: str) -> str:
    """Return what YAML would pass over at the end of a list or mapping in one line: a comment."""
    try:
        node = yaml.compose(text, Loader=_SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return ""  # the error is told of where the text is read
    return text[node.end_mark.index :].strip() if node is not None else ""
