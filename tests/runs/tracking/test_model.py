"""The model that MLflow serves: what it takes, and that it gives the run's samples."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from runs.common.errors import ConfigError
from runs.config.loading import load_config
from runs.sampling.generators import save_generator
from runs.sampling.opening import chosen_snapshot, open_sampler
from runs.store.folder import RunFolder
from runs.tracking.model import generator_model, signature_of
from runs.training.driver import evolve

pytestmark = [
    pytest.mark.mlflow,
    pytest.mark.filterwarnings("ignore:.*type hint:UserWarning"),  # of MLflow's own, imported first
]

RUN = """\
generations: 1
data: {source: gaussians, condition: CONDITION}
backbone: {name: mlp, width: 8, depth: 1}
population: {batch: 8, mutations: [heuristic]}
fitness: {batch: 8}
execution: {executor: local}
tracking: {enabled: false}
"""


@pytest.fixture(params=["labels", "null"])
def served(request, tmp_path):
    """A model with a run's generator among its artifacts, and the run's own sampler."""
    (tmp_path / "run.yaml").write_text(RUN.replace("CONDITION", request.param))
    folder = RunFolder(evolve(load_config(tmp_path / "run.yaml"), tmp_path / "run").path)
    exported, _ = chosen_snapshot(folder)
    save_generator(tmp_path / "g", folder.load_config(), folder.load_data(), exported)
    model = generator_model()
    model.load_context(SimpleNamespace(artifacts={"generator": str(tmp_path / "g")}))
    return model, open_sampler(folder.path)[0]


def predict(model, **columns) -> np.ndarray:
    from pandas import DataFrame

    return model.predict(None, DataFrame(columns))


def test_rows_are_answered_one_after_the_other(served):
    model, sampler = served
    expected = np.concatenate([sampler(5, 7), sampler(2, 1)])
    assert np.array_equal(predict(model, count=[5, 2], seed=[7, 1]), expected)


def test_a_row_may_ask_for_a_class_by_name_or_number(served):
    model, sampler = served
    columns = {"count": [4, 4, 4], "seed": [0, 0, 0], "class": ["3", 3, None]}
    if sampler.conditions is None:
        with pytest.raises(ConfigError, match="takes no conditions"):
            predict(model, **columns)
        return
    three = sampler(4, 0, torch.eye(8)[[3] * 4])
    assert np.array_equal(predict(model, **columns), np.concatenate([three, three, sampler(4, 0)]))
    with pytest.raises(ConfigError, match="no class 'nine'"):
        predict(model, **{**columns, "class": "nine"})


def test_a_column_that_means_nothing_is_an_error_that_names_the_near_miss(served):
    model = served[0]
    with pytest.raises(ConfigError, match=r"'clas' is no column .* 'class'\?"):
        predict(model, count=[1], seed=[0], clas=["3"])
    with pytest.raises(ConfigError, match="no column 'seed'; it has count"):
        predict(model, count=[1])


@pytest.mark.parametrize(
    ("name", "value"), [("count", 2.5), ("count", 0), ("count", "4"), ("seed", None), ("seed", -1)]
)
def test_a_number_that_is_not_whole_is_refused_by_the_name_of_its_column(served, name, value):
    with pytest.raises(ConfigError, match=f"^{name}: must be a whole number from"):
        predict(served[0], **({"count": [1], "seed": [0]} | {name: [value]}))


def test_mlflow_leaves_every_column_to_the_model(served):
    signature = signature_of(served[1])
    assert signature.inputs is None  # else MLflow drops what a signature does not name
    assert signature.outputs.inputs[0].shape == (-1, 2)


def test_a_row_may_come_as_a_mapping(served):
    model, sampler = served
    for row in ({"count": 3, "seed": 1}, {"count": [3], "seed": np.array([1])}):
        assert np.array_equal(model.predict(None, row), sampler(3, 1))
