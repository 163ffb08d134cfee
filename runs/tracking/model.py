"""The evolved generator as MLflow's pyfunc model: code and safetensors, nothing pickled."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from runs.config.schema import RunConfig
from runs.sampling.conditions import asked_for
from runs.sampling.generators import load_sampler, save_generator
from runs.sampling.opening import chosen_snapshot
from runs.sampling.sampler import Sampler
from runs.sampling.translator_folder import save_translator
from runs.store.folder import RunFolder
from runs.tracking import translator_model
from runs.tracking.client import default_store

# Models from code: MLflow keeps this text and the packages, and unpickles nothing.
MODEL_CODE = '''"""The evolved generator: predict({"count": [16], "seed": [0]}) gives samples.

Of one that was trained on classes, {"count": [16], "seed": [0], "class": ["NAME"]} asks for one.
"""

import mlflow
from runs.tracking.model import generator_model

mlflow.models.set_model(generator_model())
'''


def log_model(folder: RunFolder, config: RunConfig, uri: str, run_id: str) -> None:
    """Log the generator of a run's best or newest snapshot to the MLflow run."""
    import mlflow
    import pandas

    exported, name = chosen_snapshot(folder)
    card = folder.load_data()
    with tempfile.TemporaryDirectory() as temporary, default_store(uri):
        generator, code = Path(temporary, "generator"), Path(temporary, "generator_model.py")
        if card.partner is None:
            sampler = save_generator(generator, config, card, exported)
            text, signature = MODEL_CODE, signature_of(sampler)
            example: Any = pandas.DataFrame({"count": [1], "seed": [0]})
        else:
            translator = save_translator(generator, config, card, exported)
            text, signature = translator_model.MODEL_CODE, translator_model.signature_of(translator)
            example = translator_model.example_of(translator)
        code.write_text(text, encoding="utf-8")
        with mlflow.start_run(run_id=run_id, log_system_metrics=False):
            mlflow.pyfunc.log_model(
                name="generator",
                python_model=str(code),
                artifacts={"generator": str(generator)},
                code_paths=[str(path) for path in project_packages()],
                signature=signature,
                input_example=example,
                pip_requirements=["torch", "numpy", "pydantic", "safetensors", "pandas"],
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
            return np.concatenate([self._samples(**row) for row in model_input.to_dict("records")])

        def _samples(self, count: int, seed: int, **asked: Any) -> np.ndarray:
            told = {key: (str(text),) for key, text in asked.items() if is_given(text)}
            found = asked_for(self._sampler.conditions, told.get("class", ()), told.get("tags", ()))
            conditions = None if found is None else found.cycled(int(count))
            return self._sampler(int(count), int(seed), conditions)

    return GeneratorModel()


def is_given(value: Any) -> bool:
    """Tell whether a cell of a table says something: pandas fills gaps with None or NaN."""
    return value is not None and value == value


def signature_of(sampler: Sampler) -> Any:
    """Return the model's signature: rows of (count, seed), and a condition, in; samples out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    columns = [ColSpec("long", "count"), ColSpec("long", "seed")]
    if sampler.conditions is not None:
        name = "class" if sampler.classes is not None else "tags"
        columns.append(ColSpec(AnyType(), name, required=False))
    shape = sampler.sample_shape
    if len(shape) == 3:
        channels, height, width = shape
        outputs = TensorSpec(np.dtype(np.uint8), (-1, height, width, channels))
    else:
        outputs = TensorSpec(np.dtype(np.float32), (-1, *shape))
    return ModelSignature(Schema(columns), Schema([outputs]))


def project_packages() -> Iterator[Path]:
    """Yield the folders of the project's packages, which a model carries with it."""
    for name in ("egan", "fitness", "populations", "runs"):
        yield Path(str(sys.modules[name].__file__)).parent
