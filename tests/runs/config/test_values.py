"""A value's type comes from its key: what a user types is what arrives, or is refused by name."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runs.common.errors import ConfigError
from runs.config.loading import load_config, validate
from runs.config.safe_yaml import parse_yaml

LITERAL = [
    "photos #2",
    "2024-01-01",
    "123",
    "no",
    "1.10",
    "[x]",
    "{x}",
    "010",
    "NULL",
    "a: b",
    "&a",
]
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


@pytest.mark.parametrize("text", LITERAL)
def test_a_text_or_a_path_is_taken_literally(text):
    config = load_config(
        "images64", [f"data.path={text}", f"tracking.experiment={text}", f"evaluation.space={text}"]
    )
    assert (config.data.path.name, config.tracking.experiment) == (text, text)
    assert config.evaluation.space == text


@given(TEXTS.filter(lambda text: text != "null"))
def test_any_text_is_taken_literally(text):
    assert load_config("digits", [f"tracking.experiment={text}"]).tracking.experiment == text


@given(st.dates() | st.integers() | st.booleans() | st.floats() | st.times())
def test_what_yaml_has_types_for_is_a_text_where_the_key_is_one(value):
    text = str(value)
    read = validate(parse_yaml(whole_yaml(f"tracking: {{experiment: {text}}}"), "x"), "x")
    assert read.tracking.experiment == text


def whole_yaml(*lines: str) -> str:
    """Return the config of a preset with these lines in the place of their keys' own."""
    left_out = {line.partition(":")[0] for line in lines}
    values = load_config("gaussians8").model_dump(mode="json", exclude=left_out)
    return "\n".join([yaml.safe_dump(values), *lines])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("010", "write 10, or 8 if it is octal"),
        ("-010", "write 10, or 8 if it is octal"),
        ("089", "write 89"),
        ("1:30", "looks like a time"),
        ("true", "a whole number is needed"),
        ("no", "a whole number is needed"),
        ("nan", "a finite number is needed"),
        (".inf", "a finite number is needed"),
        ("1e999", "a finite number is needed"),
        ("0x10", "a whole number is needed"),
        ("7 # seven", "a whole number is needed"),
        ("2024-01-01", "a whole number is needed"),
        ("²", "a whole number is needed"),
        ("", "a whole number is needed"),
        ("9" * 101, "too many digits"),
        ("1.5", "fractional"),
    ],
)
def test_what_is_no_plain_decimal_number_is_refused_by_name(text, said, refusal):
    (line,) = refusal(f"seed={text}").splitlines()[1:]
    assert line.startswith("  seed: ") and said in line
    if "#" not in text and text:
        with pytest.raises(ConfigError, match=said):
            validate(parse_yaml(whole_yaml(f"seed: {text}"), "x"), "x")


@pytest.mark.parametrize("value", [True, False])
def test_a_boolean_is_no_number(value):
    for key in ("seed", "optimizer__learning_rate", "execution__workers"):
        with pytest.raises(ConfigError, match="number"):
            load_config("digits", **{key: value})


@given(st.integers(0, 2**63 - 1), st.floats(1e-300, 1e30))
def test_numbers_are_read_as_python_writes_them(seed, rate):
    config = load_config("gaussians8", [f"seed={seed}", f"optimizer.learning_rate={rate!r}"])
    assert (config.seed, config.optimizer.learning_rate) == (seed, rate)


@given(st.text(st.sampled_from("0123456789:_.eE+-xtrufalsn #"), max_size=8))
def test_a_text_is_read_as_the_number_that_it_shows_or_refused(text):
    try:
        read = load_config("gaussians8", [f"seed={text}"]).seed
    except ConfigError as error:
        assert "seed: " in str(error)
    else:
        assert read == float(text) and not re.fullmatch("[+-]?0[0-9]+", text.strip())


@pytest.mark.parametrize(
    "override",
    ["population.mutations=[minimax] # one", "population.mutations=[minimax] [heuristic]"],
)
def test_what_stands_behind_a_list_is_refused(override, refusal):
    assert override.partition(" ")[2] in refusal(override) or "not valid YAML" in refusal(override)


def test_in_a_file_a_text_that_yaml_takes_apart_is_refused_with_how_to_quote_it():
    for text, kind in (("[x]", "brackets"), ("{x: 1}", "braces")):
        with pytest.raises(ConfigError, match=f"tracking.experiment: .*{kind} in quotes"):
            validate(parse_yaml(whole_yaml(f"tracking: {{experiment: {text}}}"), "x"), "x")
    with pytest.raises(ConfigError, match='text null as "null"'):
        validate(parse_yaml(whole_yaml("tracking: {experiment: null}"), "x"), "x")
    read = validate(parse_yaml(whole_yaml('tracking: {experiment: "null"}'), "x"), "x")
    assert read.tracking.experiment == "null"


def test_a_value_that_fits_no_member_of_a_union_is_told_of_once(refusal):
    for text, said in (("0", "greater than or equal to 1, or 'auto'"), ("two", "or 'auto'")):
        (line,) = refusal(f"execution.workers={text}").splitlines()[1:]
        assert line.startswith("  execution.workers: ") and said in line


OWN_NETWORKS = """
from egan.backbones import Backbone, Networks


class Own(Backbone, frozen=True):
    width: int | None = 1
    sizes: tuple[int, ...] = ()
    deep: bool = False

    def build(self, shape: tuple[int, ...]) -> Networks:
        raise NotImplementedError
"""


def test_the_keys_of_networks_by_import_path_are_read_as_what_they_look_like(tmp_path, monkeypatch):
    (tmp_path / "networks_of_mine.py").write_text(OWN_NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    keys = ("name=networks_of_mine:Own", "width=null", "sizes=[2, 3]", "deep=yes")
    own = load_config("gaussians8", [f"backbone.{key}" for key in keys]).backbone
    assert own.model_dump(exclude={"name"}) == {"width": None, "sizes": (2, 3), "deep": True}
    text = whole_yaml("backbone: {name: 'networks_of_mine:Own', width: 7}")
    assert validate(parse_yaml(text, "x"), "x").backbone.width == 7


def test_null_is_no_text_and_no_path(refusal):
    assert "name: 'null' is not allowed: a text is needed" in refusal("name=null")
    assert "data.path" in refusal("data.source=images", "data.path=null")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("population.mutations=heuristic", "a list is needed, such as [heuristic]"),
        ("population.mutations=null", "a list is needed"),
        ("optimizer.betas=0.5", "a list is needed, such as [0.5, 0.5]"),
        ("optimizer.betas=0.5,0.9", "a list is needed, such as [0.5,0.9]"),
        ("optimizer.betas=[1, 2, 3]", "at most 2 are needed, not 3"),
        ("tracking.enabled=ja", "true or false is needed"),
        ("evaluation=null", "this is a section; set one of its keys: every, metrics"),
        ("evaluation.collapse=warn", "this is a section; set one of its keys: metric, factor"),
        ("backbone=dcgan", "this is a section; set one of its keys: name"),
        ("execution.labels=gpu", "a mapping is needed, such as {name: value}"),
    ],
)
def test_one_value_in_the_place_of_several_is_told_their_form(override, said, refusal):
    (line,) = refusal(override).splitlines()[1:]
    key, _, value = override.partition("=")
    assert line.strip().replace("'", "").startswith(f"{key}: {value} is not allowed: {said}")
