import subprocess
import sys

import pytest
import yaml

from runs.config.loading import load_config, validate
from runs.config.safe_yaml import parse_yaml
from runs.config.schema import TOP_LEVEL, RunConfig
from runs.presets import preset_names

NEED_A_PATH = {
    "fashion-mnist",
    "paper-cifar10",
    "images64",
    "progan-fashion",
    "stylegan-fashion",
    "stylegan-images",
    "fashion-conditional",
    "conditional-mnist",
    "cifar-conditional",
    "pix2pix-facades",
    "cyclegan-images",
}


def loaded(name: str, tmp_path) -> RunConfig:
    return load_config(name, [f"data.path={tmp_path}"] if name in NEED_A_PATH else [])


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
def test_a_preset_that_needs_a_path_asks_for_it(name, refusal):
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
        ("name=1", lambda c: c.name == "1"),
        ("seed=1_000", lambda c: c.seed == 1000),
        ("tracking.enabled=no", lambda c: c.tracking.enabled is False),
        ("evaluation={every: 5, metrics: [fid]}", lambda c: c.evaluation.every == 5),
        ("execution.labels={zone: 010}", lambda c: c.execution.labels == {"zone": "010"}),
        ("execution.resources={slot: .5}", lambda c: c.execution.resources == {"slot": 0.5}),
    ],
)
def test_an_override_is_read_as_its_keys_type(override, read):
    assert read(load_config("digits", [override]))


def test_the_last_of_two_overrides_holds():
    assert load_config("digits", ["seed=1", "seed=2"]).seed == 2


def test_keywords_are_overrides_with_two_underscores_for_a_dot():
    assert load_config("digits", population__survivors=2, seed=5) == load_config(
        "digits", ["population.survivors=2", "seed=5"]
    )


@pytest.mark.parametrize("override", ["seed", "=1", "", " =1"])
def test_an_override_without_its_form_is_told_the_form(override, refusal):
    assert "key=value" in refusal(override)


def test_an_override_cannot_put_a_key_into_a_number(refusal):
    assert "seed is a value, not a section" in refusal("seed.x=1")


# ----------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("survivors=2", "did you mean 'population.survivors' or 'evaluation.survivors'?"),
        ("gama=2", "did you mean 'fitness.gamma'?"),
        ("fitness.learning_rate=2", "did you mean 'optimizer.learning_rate'?"),
        ("data.channels=1", "other kinds of the section data have it."),
    ],
)
def test_a_key_of_another_section_is_told_its_section(override, said, refusal):
    assert f"{override.partition('=')[0]}: unknown key; {said} Allowed here: " in refusal(override)


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
def test_a_misspelt_name_is_named_with_the_nearest_valid_one(override, key, hint, refusal):
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
        "tracking.experiment=",
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
def test_an_impossible_value_is_refused_under_its_key(override, refusal):
    key = override.partition("=")[0]
    lines = refusal(override).splitlines()[1:]
    assert lines and all(line.startswith(f"  {key}") for line in lines), lines
    assert all(len(line) < 400 for line in lines)


def test_each_of_several_mistakes_has_its_line(refusal):
    lines = refusal("seed=-1", "checkpoint.every=0", "colour=red").splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == ["seed", "checkpoint.every", "colour"]


def test_survivors_that_the_batch_cannot_show_to_the_discriminator_are_refused(refusal):
    assert "population.batch" in refusal("population.survivors=60")


def test_winograd_is_refused_where_no_layer_has_it(refusal):
    assert "for backbone dcgan, not mlp" in refusal(
        "execution.precision=winograd", "backbone.name=mlp"
    )
    load_config("digits", ["execution.precision=winograd"])


def test_nsga2_of_one_child_is_refused(refusal):
    assert "selection.name" in refusal("selection.name=nsga2", "population.mutations=[minimax]")


@pytest.mark.parametrize("name", ["digitz", "digit", "DIGITS"])
def test_an_unknown_preset_is_answered_with_the_nearest(name, refusal):
    message = refusal(source=name)
    assert f"no preset {name!r}" in message and "gaussians8" in message
    if name != "DIGITS":
        assert "did you mean 'digits'?" in message


@pytest.mark.parametrize("source", ["nowhere.yaml", "a" * 300, "nul\0byte", "nul\0byte.yaml", ""])
def test_what_is_neither_a_preset_nor_a_file_is_a_mistake(source, refusal):
    assert "\n" not in refusal(source=source)


def test_a_folder_is_no_config(tmp_path, refusal):
    (tmp_path / "folder.yaml").mkdir()
    assert "folder.yaml" in refusal(source=str(tmp_path / "folder.yaml"))


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


@pytest.mark.process
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
