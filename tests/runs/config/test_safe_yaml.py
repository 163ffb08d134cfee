"""Any text and any value in any place is read, or refused as the user's mistake."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.common.errors import ConfigError
from runs.config.loading import load_config, validate
from runs.config.safe_yaml import parse_yaml
from runs.config.schema import TOP_LEVEL

SECTIONS = sorted(set(TOP_LEVEL) - {"name", "seed", "generations"})


@pytest.mark.parametrize(
    "text",
    [
        "name: a\nname: b\n",
        "population: {batch: 8, batch: 9}\n",
        "data: {source: digits, source: gaussians}\n",
    ],
)
def test_a_duplicate_key_is_refused(text):
    with pytest.raises(ConfigError, match="duplicate key"):
        parse_yaml(text, "x")


@pytest.mark.parametrize(
    "text",
    [
        "data: !!python/object/apply:os.system [touch pwned]\n",
        "name: !!python/name:os.system\n",
        "name: !!python/object:subprocess.Popen {}\n",
        "name: !!python/module:os x\n",
        "name: !own tag\n",
    ],
)
def test_tags_that_would_build_objects_are_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="tag"):
        parse_yaml(text, "x")
    with pytest.raises(ConfigError, match="tag"):
        load_config("digits", [f"execution={{labels: {text.partition(': ')[2].strip()}}}"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "- a\n", "5", "a: [", "[" * 5000, "a: " + "[" * 5000, "\0"])
def test_what_is_no_mapping_is_refused_in_a_line(text):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "x")
    assert "\n" not in str(caught.value)


def test_values_that_are_written_once_may_be_merged_in():
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n"
    assert parse_yaml(text, "x")["b"] == {"x": "1", "y": "3"}


def test_whoever_parses_a_text_may_change_what_it_gives():
    text = "a: {b: [c]}"
    parse_yaml(text, "x")["a"]["b"].append("d")
    assert parse_yaml(text, "x") == {"a": {"b": ["c"]}}


def test_aliases_that_would_fill_the_memory_are_answered_in_a_line():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError) as caught:
        validate(parse_yaml("\n".join([*levels, "name: *a11"]), "x"), "x")
    assert len(str(caught.value)) < 10_000


def test_a_value_that_contains_itself_is_refused():
    with pytest.raises(ConfigError, match="refers to itself"):
        parse_yaml("name: &a [*a]", "x")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name: \xe9\n"])
def test_a_file_that_is_no_text_is_refused(content, tmp_path, refusal):
    path = tmp_path / "bytes.yaml"
    path.write_bytes(content)
    assert "bytes.yaml" in refusal(source=str(path))


def only_config_errors(act, *arguments) -> None:
    try:
        act(*arguments)
    except ConfigError as error:
        assert str(error)


YAML_TEXT = st.text(st.sampled_from(list("ab1:.-[]{},&*!|>'\"#%@`? \n\t~=<_x0e\x07é\u2028")))
KEYS = st.sampled_from(
    [*TOP_LEVEL, *(f"{section}.{key}" for section in SECTIONS for key in ("name", "batch", "x"))]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.dates()
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4) | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.text() | YAML_TEXT)
def test_any_override_text_is_read_or_a_config_error(text):
    only_config_errors(load_config, "gaussians8", [text])


@given(KEYS, st.text() | YAML_TEXT)
def test_any_value_text_is_read_or_a_config_error(key, text):
    only_config_errors(load_config, "gaussians8", [f"{key}={text}"])


@given(YAML_TEXT)
def test_any_yaml_text_is_read_or_a_config_error(text):
    only_config_errors(lambda: validate(parse_yaml(text, "x"), "x"))


@given(st.text())
def test_any_name_of_a_config_is_read_or_a_config_error(name):
    only_config_errors(load_config, name)


@given(st.dictionaries(st.sampled_from(TOP_LEVEL) | st.text(max_size=5), VALUES, max_size=5))
def test_any_values_in_any_place_are_read_or_a_config_error(values):
    whole = load_config("gaussians8").model_dump(mode="json") | values
    only_config_errors(validate, whole, "x")


@given(st.sampled_from(SECTIONS), st.dictionaries(st.text(max_size=9), VALUES, max_size=3))
def test_any_values_in_any_section_are_read_or_a_config_error(section, values):
    whole = load_config("gaussians8").model_dump(mode="json")
    for name in list(whole[section]):
        only_config_errors(validate, whole | {section: whole[section] | dict(values)}, "x")
        if values:
            changed = whole[section] | {name: next(iter(values.values()))}
            only_config_errors(validate, whole | {section: changed}, "x")


@given(
    st.sampled_from(["digits", "gaussians8", "gaussians25"]),
    st.integers(0, 2000),
    st.text(max_size=3) | YAML_TEXT,
    st.integers(0, 5),
)
@settings(max_examples=60)
def test_a_damaged_preset_is_read_or_a_config_error(name, place, text, cut):
    from runs.presets import preset_text

    whole = preset_text(name)
    place %= len(whole)
    damaged = whole[:place] + text + whole[place + cut :]
    only_config_errors(lambda: validate(parse_yaml(damaged, "x"), "x"))


@given(
    st.integers(0, 2**63 - 1),
    st.floats(1e-9, 10),
    st.permutations(["minimax", "heuristic", "least_squares", "least_squares_logit"]),
    st.integers(1, 4),
)
def test_what_is_valid_survives_being_written_and_read(seed, rate, mutations, survivors):
    config = load_config(
        "gaussians8",
        seed=seed,
        optimizer__learning_rate=rate,
        population__mutations=mutations,
        population__survivors=survivors,
    )
    assert validate(parse_yaml(config.to_yaml(), "x"), "x") == config
