import subprocess
import sys

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runs.common.errors import ConfigError
from runs.config.schema import TOP_LEVEL, RunConfig, load_config, parse_yaml, validate
from runs.presets import preset_names

NEED_A_PATH = {
    "fashion-mnist",
    "paper-cifar10",
    "images64",
    "progan-fashion",
    "stylegan-fashion",
    "stylegan-images",
}
SECTIONS = sorted(set(TOP_LEVEL) - {"name", "seed", "generations"})


def loaded(name: str, tmp_path) -> RunConfig:
    return load_config(name, [f"data.path={tmp_path}"] if name in NEED_A_PATH else [])


def refusal(*overrides: str, source: str = "digits") -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(source, overrides)
    return str(caught.value)


# ------------------------------------------------------------------------------------------ presets


def test_the_promised_presets_are_there():
    promised = {"digits", "gaussians8", "gaussians25", "fashion-mnist", "paper-cifar10", "images64"}
    assert promised <= set(preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_survives_being_written_and_read(name, tmp_path):
    config = loaded(name, tmp_path)
    assert config.name == name
    text = config.to_yaml()
    assert list(yaml.safe_load(text)) == list(TOP_LEVEL)
    assert validate(parse_yaml(text, "again"), "again") == config
    path = tmp_path / "written.yaml"
    path.write_text(text)
    assert load_config(path) == config


def test_the_promised_names_are_the_top_level():
    promised = (
        "name seed generations data backbone population fitness selection discriminator "
        "optimizer execution checkpoint tracking"
    )
    assert set(promised.split()) <= set(TOP_LEVEL)
    assert set(TOP_LEVEL) == set(RunConfig.model_fields)


@pytest.mark.parametrize("name", sorted(NEED_A_PATH))
def test_a_preset_that_needs_a_path_asks_for_it(name):
    assert "data.path" in refusal(source=name)


def test_the_papers_preset_has_the_papers_numbers(tmp_path):
    config = loaded("paper-cifar10", tmp_path)
    assert config.optimizer.learning_rate == 2e-4
    assert config.optimizer.betas == (0.5, 0.99)
    assert set(config.population.mutations) == {"minimax", "heuristic", "least_squares"}
    assert config.population.survivors == 1
    assert config.population.noise == "fresh"


# ---------------------------------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("seed=7", lambda c: c.seed == 7),
        ("seed = 7", lambda c: c.seed == 7),
        ("population.survivors=2", lambda c: c.population.survivors == 2),
        ("population.mutations=[minmax]", lambda c: c.population.mutations == ("minimax",)),
        ("optimizer.learning_rate=1e-3", lambda c: c.optimizer.learning_rate == 1e-3),
        ("optimizer.betas=[0, 0.9]", lambda c: c.optimizer.betas == (0, 0.9)),
        ("fitness.gamma=-.5", lambda c: c.fitness.gamma == -0.5),
        ("tracking.uri=null", lambda c: c.tracking.uri is None),
        ("tracking.uri=", lambda c: c.tracking.uri is None),
        ("tracking.uri=http://a:1/x=y", lambda c: c.tracking.uri == "http://a:1/x=y"),
        ("execution={executor: local}", lambda c: c.execution.executor == "local"),
        ("execution.workers=3", lambda c: c.execution.workers == 3),
        ("execution.workers=auto", lambda c: c.execution.workers == "auto"),
        ("data.source=gaussians", lambda c: c.data.source == "gaussians"),
        ("name='1'", lambda c: c.name == "1"),
    ],
)
def test_an_override_is_read_as_yaml(override, read):
    assert read(load_config("digits", [override]))


def test_the_last_of_two_overrides_holds():
    assert load_config("digits", ["seed=1", "seed=2"]).seed == 2


def test_keywords_are_overrides_with_two_underscores_for_a_dot():
    assert load_config("digits", population__survivors=2, seed=5) == load_config(
        "digits", ["population.survivors=2", "seed=5"]
    )


@pytest.mark.parametrize("override", ["seed", "=1", "", " =1"])
def test_an_override_without_its_form_is_told_the_form(override):
    assert "key=value" in refusal(override)


def test_an_override_cannot_put_a_key_into_a_number():
    assert "seed is a value, not a section" in refusal("seed.x=1")


# ----------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("override", "key", "hint"),
    [
        ("generatons=3", "generatons", "generations"),
        ("population.survivers=3", "population.survivers", "survivors"),
        ("fitness.gama=3", "fitness.gama", "gamma"),
        ("selection.nam=egan", "selection.nam", "name"),
        ("discriminator.update=3", "discriminator.update", "updates"),
        ("optimizer.learning_rat=3", "optimizer.learning_rat", "learning_rate"),
        ("execution.worker=3", "execution.worker", "workers"),
        ("checkpoint.evry=3", "checkpoint.evry", "every"),
        ("tracking.experimnt=x", "tracking.experimnt", "experiment"),
        ("data.resolutoin=16", "data.resolutoin", "resolution"),
        ("backbone.widht=3", "backbone.widht", "width"),
        ("data.source=digitz", "data.source", "digits"),
        ("backbone.name=dcgn", "backbone.name", "dcgan"),
        ("selection.name=nsga", "selection.name", "nsga2"),
        ("execution.executor=rya", "execution.executor", "ray"),
        ("execution.device=cpuu", "execution.device", "cpu"),
        ("population.noise=comon", "population.noise", "common"),
        ("discriminator.loss=bse", "discriminator.loss", "bce"),
        ("population.mutations=[minmx]", "population.mutations", "minimax"),
    ],
)
def test_a_misspelt_name_is_named_with_the_nearest_valid_one(override, key, hint):
    first, *lines = refusal(override).splitlines()
    assert first == "the config digits is not valid:"
    assert len(lines) == 1
    assert lines[0].startswith(f"  {key}: ")
    assert f"did you mean {hint!r}?" in lines[0]


@pytest.mark.parametrize(
    "override",
    [
        "seed=-1",
        "seed=1.5",
        "seed=[1]",
        f"seed={2**63}",
        "generations=0",
        "generations=many",
        "name=../../elsewhere",
        "name=",
        "name=no",
        "population.survivors=0",
        "population.batch=1",
        "population.steps=0",
        "population.average=1",
        "population.mutations=minimax",
        "population.mutations=[]",
        "population.mutations=[minimax, minmax]",
        "population.mutations=[nowhere:function]",
        "population.mutations=['math:pi']",
        "fitness.batch=x",
        "fitness.gamma=.nan",
        "fitness.gamma=.inf",
        "optimizer.learning_rate=0",
        "optimizer.learning_rate=.nan",
        "optimizer.learning_rate=.inf",
        "optimizer.betas=[0.5]",
        "optimizer.betas=[0.5, 1]",
        "optimizer.betas=[0.5, 0.9, 0.9]",
        "discriminator.updates=0",
        "execution.threads=0",
        "execution.restarts=-1",
        "execution.workers=two",
        "checkpoint.every=0",
        "checkpoint.keep=0",
        "checkpoint.grace=-1",
        "checkpoint.grace=.inf",
        "checkpoint.mirror=outputs/copy",
        "checkpoint.mirror=s3://key:secret@bucket/prefix",
        "tracking.enabled=perhaps",
        "tracking.experiment=''",
        "backbone.width=0",
        "data.resolution=3",
        "data={}",
        "data=5",
        "data=null",
        "population=null",
        "checkpoint=[1]",
        "backbone.name=[]",
        "data.source=null",
    ],
)
def test_an_impossible_value_is_refused_under_its_key(override):
    key = override.partition("=")[0]
    lines = refusal(override).splitlines()[1:]
    assert lines and all(line.startswith(f"  {key}") for line in lines), lines
    assert all(len(line) < 400 for line in lines)


def test_each_of_several_mistakes_has_its_line():
    lines = refusal("seed=-1", "checkpoint.every=0", "colour=red").splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == ["seed", "checkpoint.every", "colour"]


def test_survivors_that_the_batch_cannot_show_to_the_discriminator_are_refused():
    assert "population.batch" in refusal("population.survivors=60")


def test_winograd_is_refused_where_no_layer_has_it():
    assert "for backbone dcgan, not mlp" in refusal(
        "execution.precision=winograd", "backbone.name=mlp"
    )
    load_config("digits", ["execution.precision=winograd"])


def test_nsga2_of_one_child_is_refused():
    assert "selection.name" in refusal("selection.name=nsga2", "population.mutations=[minimax]")


@pytest.mark.parametrize("name", ["digitz", "digit", "DIGITS"])
def test_an_unknown_preset_is_answered_with_the_nearest(name):
    message = refusal(source=name)
    assert f"no preset {name!r}" in message and "gaussians8" in message
    if name != "DIGITS":
        assert "did you mean 'digits'?" in message


@pytest.mark.parametrize("source", ["nowhere.yaml", "a" * 300, "nul\0byte", "nul\0byte.yaml", ""])
def test_what_is_neither_a_preset_nor_a_file_is_a_mistake(source):
    assert "\n" not in refusal(source=source)


def test_a_folder_is_no_config(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    assert "folder.yaml" in refusal(source=str(tmp_path / "folder.yaml"))


# --------------------------------------------------------------------------------------------- YAML


@pytest.mark.parametrize(
    "text",
    [
        "name: a\nname: b\n",
        "population: {batch: 8, batch: 9}\n",
        "data: {source: digits, source: gaussians}\n",
    ],
)
def test_a_key_that_stands_twice_is_refused(text):
    with pytest.raises(ConfigError, match="twice"):
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
        load_config("digits", [f"name={text.partition(': ')[2]}"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "- a\n", "5", "a: [", "[" * 5000, "a: " + "[" * 5000, "\0"])
def test_what_is_no_mapping_is_refused_in_a_line(text):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "x")
    assert "\n" not in str(caught.value)


def test_values_that_are_written_once_may_be_merged_in():
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n"
    assert parse_yaml(text, "x")["b"] == {"x": 1, "y": 3}


def test_aliases_that_would_fill_the_memory_are_answered_in_a_line():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError) as caught:
        validate(parse_yaml("\n".join([*levels, "name: *a11"]), "x"), "x")
    assert len(str(caught.value)) < 10_000


def test_a_value_that_contains_itself_is_refused():
    with pytest.raises(ConfigError, match="contains itself"):
        parse_yaml("name: &a [*a]", "x")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name: \xe9\n"])
def test_a_file_that_is_no_text_is_refused(content, tmp_path):
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


# ------------------------------------------------------------------------------ at the command line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("digitz",), "did you mean 'digits'?"),
        (("nowhere.yaml",), "nowhere.yaml"),
        (("digits", "--set", "seed"), "key=value"),
        (("digits", "--set", "population.survivers=2"), "did you mean 'survivors'?"),
        (("digits", "--seed", "-1"), "seed: -1"),
        (("digits", "--seed", "x"), "--seed"),
        (("digits", "--executor", "rya"), "did you mean 'ray'?"),
        (("digits", "--workers", "two"), "execution.workers: 'two'"),
        (("digits", "--workers", "²"), "execution.workers"),
        (("digits", "--device", "tpu"), "did you mean 'cpu'?"),
        (("images64",), "data.path"),
        (("images64", "--set", "data.path=nowhere", "--executor", "local"), "nowhere"),
        (("digits", "--outptu", "x"), "--output"),
        ((), "PRESET|CONFIG.yaml"),
    ],
)
def test_a_mistake_at_the_command_line_is_one_message_and_status_2(
    arguments, said, mistake, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert said in mistake("train", *arguments)
    assert not list(tmp_path.iterdir())


def test_a_mistake_in_a_real_process_shows_no_traceback(run, tmp_path):
    done = run("train", "digits", "--set", "population.survivers=2", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines()[0] == "error: the config digits is not valid:"
    assert len(done.stderr.splitlines()) == 2


def test_help_needs_neither_torch_nor_ray_nor_mlflow():
    code = (
        "import sys\n"
        "from runs.cli.main import main\n"
        "for arguments in (['--help'], ['train', '--help'], ['resume', '--help']):\n"
        "    main(arguments, standalone_mode=False)\n"
        "heavy = {'torch', 'ray', 'mlflow', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "population" in done.stdout
