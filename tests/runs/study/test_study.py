"""Studies as configurations: what they mean, and what they refuse."""

from pathlib import Path

import pytest
import yaml

from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.store.budgets import BudgetConfig, Spent, cost, generations_within
from runs.store.journal import Entry
from runs.studies import study_names
from runs.study.folder import StudyFolder
from runs.study.loading import load_study, parse_study
from runs.training.precision import by_default

EXAMPLE = Path(__file__).parents[3] / "examples" / "tournament-fashion.yaml"


@pytest.fixture
def changed(tmp_path, study_text):
    def change(**keys):
        values = yaml.safe_load(study_text) | keys
        values = {key: value for key, value in values.items() if value is not None}
        return parse_study(yaml.safe_dump(values), "small.yaml", tmp_path)

    return change


def test_every_strategy_meets_every_seed(study):
    assert study.trials == [("evolution", 0), ("random", 0), ("evolution", 1), ("random", 1)]


def test_the_built_in_strategies_mean_what_they_say(changed):
    names = ["evolution", "random", "minimax", "heuristic", "least_squares"]
    configs = changed(strategies=names).configs
    assert configs["evolution"].selection.name == "egan"
    assert configs["evolution"].children == 3
    assert configs["random"].selection.name == "random"
    assert configs["random"].children == 1
    for name in names[2:]:
        assert configs[name].population.mutations == (name,)


def test_a_nested_override_changes_that_key_alone(study):
    config = study.configs["evolution"]
    assert (config.backbone.width, config.backbone.depth, config.backbone.latent) == (8, 1, 2)
    assert (config.checkpoint.every, config.checkpoint.keep) == (5, 10)


def test_another_strategy_is_a_set_of_overrides(changed):
    study = changed(strategies={"evolution": None, "greedy": {"fitness": {"gamma": 0.0}}})
    assert study.configs["greedy"].fitness.gamma == 0.0
    assert study.configs["evolution"].fitness.gamma == 1.0


def test_a_run_stays_float32_on_a_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    study = load_study("translation-emoji")
    config = study.config_of(*study.trials[0])
    assert config.backbone.name != "mlp" and config.execution.precision == "float32"
    assert by_default(config, pytest.fail) == (config, None)


def test_a_run_is_the_strategy_with_its_seed_and_place(study):
    config = study.config_of("random", 7, {"executor": "local", "device": "cpu"})
    assert (config.seed, config.execution.device, config.selection.name) == (7, "cpu", "random")


def test_each_run_has_a_place_of_its_own_in_the_mirror(changed, study, study_text):
    assert study.config_of("random", 7).checkpoint.mirror is None
    uri = "s3://bucket/studies/small/?endpoint_override=host:9000&scheme=http"
    common = yaml.safe_load(study_text)["set"] | {"checkpoint": {"mirror": uri}}
    mirrored = changed(set=common)
    places = {mirrored.config_of(*trial).checkpoint.mirror for trial in mirrored.trials}
    assert len(places) == len(mirrored.trials)
    assert places >= {"s3://bucket/studies/small/random-0?endpoint_override=host:9000&scheme=http"}


def test_equal_generator_steps_make_evolution_pay_for_its_children(changed):
    configs = changed(budget={"generator_steps": 120}).configs
    assert configs["evolution"].generations == 40
    assert configs["random"].generations == 120


def test_what_generations_cost(study):
    config = study.configs["evolution"]
    assert cost(config, 10) == {
        "generations": 10,
        "discriminator_updates": 10,
        "generator_steps": 30,
        "steps": 40,
        "images": 80,
    }
    assert generations_within(BudgetConfig(images=801), config) == 100


@pytest.fixture
def growing():
    return load_config(
        "progan-fashion",
        data__path="none",
        discriminator__updates=2,
        backbone__growth={
            "start": 8,
            "training_kimg": 0.1,
            "transition_kimg": 0.1,
            "batch": {8: 20, 16: 8, 32: 4},
        },
    )


def test_images_of_a_growing_run_are_counted_by_the_batch_of_every_stage(growing):
    # 40 a generation until above 100; 16 until above 300; then 8.
    shown = [cost(growing, generations)["images"] for generations in range(21)]
    assert shown[:6] == [0, 40, 80, 120, 136, 152]
    assert shown[14:18] == [296, 312, 320, 328]


@pytest.mark.parametrize("images", [39, 40, 119, 120, 311, 312, 1_000_003])
def test_a_budget_in_images_of_a_growing_run_is_not_overspent(growing, images):
    bought = generations_within(BudgetConfig(images=images), growing)
    assert cost(growing, bought)["images"] <= images < cost(growing, bought + 1)["images"]


def test_the_account_of_a_growing_run_counts_its_stages(growing):
    spent = Spent(growing)
    for generation in range(16):
        spent.add(Entry(generation, 0.0, "", (), (), ()))
    assert spent.values()["images"] == 320


def test_the_last_generation_is_scored(changed):
    for amount in (20, 23, 4):
        config = changed(budget={"generations": amount}).configs["random"]
        assert config.generations % config.evaluation.every == 0
        assert config.generations // config.evaluation.every == 4
        assert amount - 4 < config.generations <= amount


def test_a_study_reads_back_what_it_writes(study, tmp_path):
    again = parse_study(study.to_yaml(), "study.yaml", tmp_path)
    assert again.configs == study.configs
    assert again.trials == study.trials


@pytest.mark.parametrize("name", study_names())
def test_the_studies_of_the_package_are_valid(name):
    assert load_study(name).trials


def test_the_example_of_a_study_is_valid_on_data_that_are_there(tmp_path):
    values = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    values["set"]["data"] = {"source": "digits"}
    study = parse_study(yaml.safe_dump(values), EXAMPLE.name, tmp_path)
    assert study.configs.keys() == load_study("tournament-digits").configs.keys()
    assert len(study.trials) == 25


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"seed": 3}, "did you mean 'seeds'"),
        ({"budget": {"generation": 3}}, "did you mean 'generations'"),
        ({"budget": {}}, "exactly one of"),
        ({"budget": {"generations": 3, "images": 4}}, "exactly one of"),
        ({"budget": {"generations": 3}}, "fewer than the 4 scorings"),
        ({"budget": {"seconds": 3}, "set": {"evaluation.every": None}}, "evaluation.every"),
        ({"budget": None}, "budget: is required"),
        ({"seeds": 0}, "at least 1 seed"),
        ({"seeds": [1, 1]}, "no duplicates"),
        ({"strategies": ["evoluton"]}, "did you mean 'evolution'"),
        ({"strategies": {"a/b": {}}}, "strategies"),
        ({"strategies": {"mine": {"fitness.gama": 1}}}, "did you mean 'gamma'"),
        ({"strategies": {"evolution": None, "twin": {"selection.name": "egan"}}}, "the same as"),
        ({"strategies": []}, "at least one is needed"),
        ({"set": {"population.mutations": ["minimax"]}}, "chooses among mutations"),
        ({"metrics": ["fid"]}, "not among evaluation.metrics"),
        ({"metrics": ["modus"]}, "did you mean 'modes'"),
        ({"base": "gausians8"}, "did you mean 'gaussians8'"),
        (
            {"control": "evolutoin"},
            "control: unknown strategy 'evolutoin'; did you mean 'evolution'",
        ),
    ],
)
def test_a_mistake_is_named(changed, keys, said):
    with pytest.raises(ConfigError, match=said):
        changed(**keys)


def test_an_unknown_study_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'gaussians25'"):
        load_study("gausians25")


def test_a_base_file_beside_the_study_is_found(study, study_text, tmp_path):
    (tmp_path / "mine.yaml").write_text(study.configs["evolution"].to_yaml(), encoding="utf-8")
    file = tmp_path / "study.yaml"
    file.write_text(
        yaml.safe_dump(yaml.safe_load(study_text) | {"base": "mine.yaml"}), encoding="utf-8"
    )
    assert load_study(file).base["backbone"]["width"] == 8


# ------------------------------------------------------------------------------------------- folder


def kept(tmp_path, study):
    folder = StudyFolder(tmp_path / "out")
    with folder.lock():
        folder.keep(study)
    return folder


def test_the_same_study_is_continued(tmp_path, study):
    kept(tmp_path, study)
    assert kept(tmp_path, study).load().configs == study.configs


def test_more_seeds_and_strategies_may_be_added(changed, tmp_path, study):
    kept(tmp_path, study)
    more = changed(seeds=3, strategies=["evolution", "random", "minimax"])
    assert len(kept(tmp_path, more).load().trials) == 9


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"budget": {"generations": 40}}, "generations was 20, is 40"),
        ({"strategies": ["random"]}, "evolution: was left out"),
        ({"seeds": [1, 2]}, "seeds that are left out: 0"),
    ],
)
def test_another_study_is_not_mixed_with_the_former(changed, tmp_path, study, keys, said):
    kept(tmp_path, study)
    with pytest.raises(ConfigError, match=said):
        kept(tmp_path, changed(**keys))


def test_a_folder_of_something_else_is_left_alone(tmp_path, study):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds no study"):
        kept(tmp_path, study)
