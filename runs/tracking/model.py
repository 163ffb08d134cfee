"""The evolved generator as MLflow's pyfunc model: code and safetensors, nothing pickled."""

import math
import numbers
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fitness.suggestion import nearest
from runs.common.errors import ConfigError
from runs.config.schema import RunConfig
from runs.sampling.conditions import asked_for
from runs.sampling.generators import load_sampler, save_generator
from runs.sampling.opening import chosen_snapshot
from runs.sampling.repair import check_fit
from runs.sampling.sampler import Sampler
from runs.sampling.states import sampler_of
from runs.sampling.translator_folder import save_translator
from runs.sampling.units import UnitsFile
from runs.store.folder import RunFolder
from runs.tracking import translator_model
from runs.tracking.client import default_store

if TYPE_CHECKING:
    from mlflow import MlflowClient

COLUMNS = ("count", "seed", "class", "tags")  # of the model's input; the first two are needed
# Models from code: MLflow keeps this text and the packages, and unpickles nothing.
MODEL_CODE = '''"""The evolved generator: predict({"count": [16], "seed": [0]}) gives samples.

Of one that was trained on classes, {"count": [16], "seed": [0], "class": ["NAME"]} asks for one.
"""

import mlflow
from runs.tracking.model import generator_model

mlflow.models.set_model(generator_model())
'''


def has_model(client: "MlflowClient", run_id: str, snapshot: str) -> bool:
    """Return whether an MLflow run has the generator of a snapshot, by its name."""
    outputs = client.get_run(run_id).outputs  # None: of an older server
    found = outputs.model_outputs if outputs else ()
    models = [client.get_logged_model(output.model_id) for output in found]
    return any(model.params.get("snapshot") == snapshot for model in models)


def log_model(
    client: "MlflowClient",
    folder: RunFolder,
    config: RunConfig,
    uri: str,
    run_id: str,
    repair: UnitsFile | None = None,
) -> None:
    """Log the generator of a run's best or newest snapshot to the MLflow run, unless it has it.

    With `repair` it is another model, `repaired-generator`, which has these units switched off.

    Raises:
        ConfigError: the units are of another generator.
    """
    import mlflow
    import pandas

    exported, name = chosen_snapshot(folder)
    if repair is not None:
        sampler = sampler_of(config, folder.load_data(), exported)
        check_fit(repair, sampler, name, "the model")
        off = ", ".join(map(str, sorted(repair.units)))
        name = f"{name}, without units {off} of {repair.layer}"
    if has_model(client, run_id, name):
        return
    card = folder.load_data()
    with tempfile.TemporaryDirectory() as temporary, default_store(uri):
        generator, code = Path(temporary, "generator"), Path(temporary, "generator_model.py")
        if card.partner is None:
            sampler = save_generator(generator, config, card, exported, repair)
            text, signature = MODEL_CODE, signature_of(sampler)
            example: Any = pandas.DataFrame({"count": [1], "seed": [0]})
        else:
            translator = save_translator(generator, config, card, exported)
            text, signature = translator_model.MODEL_CODE, translator_model.signature_of(translator)
            example = translator_model.example_of(translator)
        code.write_text(text, encoding="utf-8")
        with mlflow.start_run(run_id=run_id, log_system_metrics=False):
            mlflow.pyfunc.log_model(
                name="generator" if repair is None else "repaired-generator",
                python_model=str(code),
                artifacts={"generator": str(generator)},
                code_paths=[str(path) for path in project_packages()],
                signature=signature,
                input_example=example,
                pip_requirements=["torch", "numpy", "pydantic", "safetensors", "pandas"],
                params={"snapshot": name},
                metadata={"snapshot": name},
            )


def generator_model() -> Any:
    """Return the pyfunc model that samples the generator among its artifacts."""
    from mlflow.pyfunc import PythonModel
    from pandas import DataFrame

    class GeneratorModel(PythonModel):  # type: ignore[misc]
        """Samples for (count, seed): uint8 images (N, H, W, C), or float32 points (N, D).

        Of a generator that takes conditions, a row may say `class` (a name or a number), or `tags`
        ("A,B"); else its samples' conditions are like the data's.
        """

        def load_context(self, context: Any) -> None:
            self._sampler = load_sampler(Path(context.artifacts["generator"]))

        def predict(
            self, context: Any, model_input: DataFrame, params: dict[str, Any] | None = None
        ) -> np.ndarray:
            # MLflow hands on what it got: a table, or a mapping of lists or of single values.
            scalars = isinstance(model_input, dict) and not any(
                isinstance(value, list | np.ndarray) for value in model_input.values()
            )
            table = DataFrame([model_input] if scalars else model_input)
            check_columns([str(name) for name in table.columns])
            return np.concatenate([self._samples(**row) for row in table.to_dict("records")])

        def _samples(self, count: Any, seed: Any, **asked: Any) -> np.ndarray:
            count, seed = whole("count", count, 1), whole("seed", seed, 0)
            told = {key: (str(text),) for key, text in asked.items() if is_given(text)}
            found = asked_for(self._sampler.conditions, told.get("class", ()), told.get("tags", ()))
            conditions = None if found is None else found.cycled(count)
            return self._sampler(count, seed, conditions)

    return GeneratorModel()


def check_columns(names: Sequence[str]) -> None:
    """Refuse a table without a column that is needed, or with one that means nothing.

    Raises:
        ConfigError: so is this one.
    """
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise ConfigError(
            f"{unknown[0]!r} is no column of this model's input{nearest(unknown[0], COLUMNS)} "
            f"Columns: {', '.join(COLUMNS)}"
        )
    missing = [name for name in COLUMNS[:2] if name not in names]
    if missing:
        raise ConfigError(
            f"the model's input has no column {missing[0]!r}; it has {', '.join(names) or 'none'}"
        )


def whole(name: str, value: Any, least: int) -> int:
    """Return a cell of a table as a whole number.

    Raises:
        ConfigError: it is none, or less than `least`.
    """
    number = float(value) if isinstance(value, numbers.Real) else math.nan
    if number < least or not number.is_integer():
        raise ConfigError(f"{name}: must be a whole number from {least}, not {value!r}")
    return int(value)


def is_given(value: Any) -> bool:
    """Tell whether a cell of a table says something: pandas fills gaps with None or NaN."""
    return value is not None and value == value


def signature_of(sampler: Sampler) -> Any:
    """Return the model's signature: samples come out.

    What goes in is left open, because MLflow drops the columns that a signature does not name, so
    that a misspelt `class` would be no error: see `check_columns`.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    shape = sampler.sample_shape
    if len(shape) == 3:
        channels, height, width = shape
        outputs = TensorSpec(np.dtype(np.uint8), (-1, height, width, channels))
    else:
        outputs = TensorSpec(np.dtype(np.float32), (-1, *shape))
    return ModelSignature(outputs=Schema([outputs]))


def project_packages() -> Iterator[Path]:
    """Yield the folders of the project's packages, which a model carries with it."""
    for name in ("egan", "fitness", "populations", "runs"):
        yield Path(str(sys.modules[name].__file__)).parent
