"""The evolved translator as MLflow's pyfunc model: images in, images out; nothing is pickled."""

from pathlib import Path
from typing import Any

import numpy as np

from egan.games.unpaired import UnpairedGame
from runs.sampling.translator import Translator
from runs.sampling.translator_folder import load_translator

MODEL_CODE = '''"""The evolved translator: predict(images), uint8 (N, H, W, C), translates them.

Of a run of two sets, predict(images, params={"reverse": True}) translates from B to A.
"""

import mlflow
from runs.tracking.translator_model import translator_model

mlflow.models.set_model(translator_model())
'''


def translator_model() -> Any:
    """Return the pyfunc model that translates by the networks among its artifacts."""
    from mlflow.pyfunc import PythonModel

    class TranslatorModel(PythonModel):  # type: ignore[misc]
        """Translations uint8 (N, H, W, C') of images uint8 (N, H, W, C)."""

        def load_context(self, context: Any) -> None:
            self._translator = load_translator(Path(context.artifacts["generator"]))

        def predict(
            self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None
        ) -> np.ndarray:
            told = params or {}
            translator = self._translator
            translator = translator.reversed() if told.get("reverse") else translator
            images = np.ascontiguousarray(model_input.transpose(0, 3, 1, 2))
            _check(translator, images)
            made = translator.pictures(images, int(told.get("seed", 0)))
            return made.transpose(0, 2, 3, 1)

    return TranslatorModel()


def _check(translator: Translator, images: np.ndarray) -> None:
    channels, height, width = images.shape[1:]
    if channels != translator.shape[0] or height % translator.factor or width % translator.factor:
        raise ValueError(
            f"images of {height} x {width} pixels with {channels} channel(s) arrived; this way "
            f"takes {translator.shape[0]} channel(s) and sides that are multiples of "
            f"{translator.factor}"
        )


def signature_of(translator: Translator) -> Any:
    """Return the model's signature: images in, images out; the way and the seed as parameters.

    The number of channels is open where the two ways have different ones.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    channels = [shape[0] for shape in (translator.shape, translator.target)]
    if isinstance(translator.game, UnpairedGame) and channels[0] != channels[1]:
        channels = [-1, -1]
    tensors = [
        Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1, number))]) for number in channels
    ]
    parameters = [ParamSpec("reverse", "boolean", False), ParamSpec("seed", "long", 0)]
    return ModelSignature(*tensors, ParamSchema(parameters))


def example_of(translator: Translator) -> np.ndarray:
    """Return an input of the model: one black image of the training's size."""
    channels, height, width = translator.shape
    return np.zeros((1, height, width, channels), np.uint8)
