"""Translators in MLflow: the model translates as the run does."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from runs.sampling.opening import chosen_snapshot
from runs.sampling.translator_folder import load_translator, save_translator
from runs.store.folder import RunFolder
from runs.translation.opening import open_translator


@pytest.mark.parametrize("aligned", ["true", "false"])
def test_a_translator_without_its_run_translates_alike(letters, aligned, tmp_path):
    folder = RunFolder.open(letters(aligned))
    exported, _ = chosen_snapshot(folder)
    save_translator(tmp_path / "one", folder.load_config(), folder.load_data(), exported)
    image = np.random.default_rng(0).integers(0, 256, (2, 1, 16, 16), np.uint8)
    own, again = open_translator(folder.path).translator, load_translator(tmp_path / "one")
    assert (own.pictures(image) == again.pictures(image)).all()
    if aligned == "false":
        ways = [one.reversed().pictures(image) for one in (own, again)]
        assert (ways[0] == ways[1]).all()


@pytest.mark.mlflow
@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")  # of MLflow's own, imported first
def test_the_pyfunc_model_takes_images_and_gives_images(letters, tmp_path):
    from runs.tracking.translator_model import example_of, signature_of, translator_model

    folder = RunFolder.open(letters("false"))
    exported, _ = chosen_snapshot(folder)
    made = save_translator(tmp_path / "one", folder.load_config(), folder.load_data(), exported)
    model = translator_model()
    model.load_context(SimpleNamespace(artifacts={"generator": str(tmp_path / "one")}))
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), np.uint8)
    for reverse, own in ((False, made), (True, made.reversed())):
        found = model.predict(None, images, {"reverse": reverse})
        expected = own.pictures(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
        assert (found == expected.transpose(0, 2, 3, 1)).all()
    signature = signature_of(made)
    assert signature.inputs.inputs[0].shape == (-1, -1, -1, 1) == signature.outputs.inputs[0].shape
    assert example_of(made).shape == (1, 16, 16, 1)
    for wrong in (images[:, 1:], images.repeat(3, 3)):
        with pytest.raises(ValueError, match=r"arrived; this way takes 1 channel\(s\) and sides"):
            model.predict(None, wrong)
    there_and_back = replace(made, target=(3, 16, 16))
    assert signature_of(there_and_back).inputs.inputs[0].shape == (-1, -1, -1, -1)
