"""`evaluate` with metrics of the latent space: path lengths and separability of real runs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from egan.backbones.stylegan.latents import Latents
from egan.backbones.stylegan.styles import map_latents
from egan.state import Weights
from egan.streams import Purpose
from fitness.features.pixels import PixelSpace
from fitness.metrics.lpips import distance_in
from fitness.metrics.ppl import arc, line, perceptual_path_length
from populations.seeding import numpy_stream
from runs.evaluation.latent_metrics import Attributes, score_latents
from runs.sampling.opening import open_sampler
from runs.training.driver import evolve

PIXELS = distance_in(PixelSpace((1, 16, 16)))
AVATARS = """\
generations: 1
data: {source: avatars, count: 80, resolution: 8}
backbone: {name: stylegan, latent: 6, style: 5, mapping_layers: 2, fmap_base: 64, fmap_max: 8}
population: {batch: 8}
fitness: {batch: 8}
execution: {executor: local}
tracking: {enabled: false}
"""
PPL = ("ppl-z-full", "ppl-z-end", "ppl-w-full", "ppl-w-end")


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def run(grown, tmp_path) -> Path:
    """A run's folder to write into."""
    return Path(shutil.copytree(grown, tmp_path / "run"))


@pytest.fixture
def found(invoke):
    """Call `evaluate --json` and give what it prints."""

    def call(*arguments: object) -> dict:
        result = invoke("evaluate", *arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return call


def lengths_by_hand(sampler, space, full, count, seed):
    """Every length on its own, by the generator itself in float64, on the pairs that are drawn."""
    function = sampler.game.generators["generator"]
    weights = sampler.weights["generator"]
    exact = Weights(
        weights.params.double(), {name: b.double() for name, b in weights.buffers.items()}
    )
    found = []
    for start in range(0, count, 128):
        inputs = sampler.rows(2 * start, seed)
        draws = numpy_stream(seed, 0, Purpose.PATH, start).uniform(size=min(128, count - start))
        for pair in range(min(128, count - start)):
            ends = inputs.z[2 * pair : 2 * pair + 2].double()
            if space == "w":
                ends = map_latents(function, exact, ends)
            t = torch.tensor([draws[pair] if full else 0.0], dtype=torch.float64)
            images = []
            for at in (t, t + 1e-4):
                way = arc if space == "z" else line
                point = way(ends[:1], ends[1:], at)
                seeds = inputs.seeds[2 * pair : 2 * pair + 1]
                images.append(image_of(sampler, function, exact, space, point, seeds))
            found.append(((images[0] - images[1]) / 2).square().sum(1).mean() / 1e-8)
    return torch.stack(found)


def image_of(sampler, function, weights, space, point, seeds):
    from egan.backbones.stylegan.latents import every_layer, layers
    from egan.backbones.stylegan.noise import noise_images
    from egan.backbones.stylegan.styles import synthesise

    w = map_latents(function, weights, point) if space == "z" else point
    styles = every_layer(w, layers(16))
    noise = [part.double() for part in noise_images(seeds, 16)]
    return synthesise(function, weights, styles, noise, sampler.stage)


@pytest.mark.parametrize(("metric", "count"), [*zip(PPL, (20, 20, 131, 20), strict=True)])
def test_a_path_length_is_that_of_single_pairs_in_float64(grown, metric, count):
    sampler = open_sampler(grown)[0]
    name, value = score_latents(sampler, [metric], count, 3, distance=PIXELS).popitem()
    assert name == f"{metric}-pixels-{count}"
    _, space, ends = metric.split("-")
    by_hand = lengths_by_hand(sampler, space, ends == "full", count, 3)
    assert value == pytest.approx(perceptual_path_length(by_hand), rel=0.02)
    assert value > 0


def test_the_noise_of_a_pair_stays_the_same(grown):
    """If it did not, a step of 1e-4 would change the image by as much as another noise does."""
    sampler = open_sampler(grown)[0]
    generator = sampler.weights["generator"]
    noisy = generator.params.clone()
    function = sampler.game.generators["generator"]
    for name, part in function.named(noisy).items():
        if name.endswith("noise_scale"):
            part += 1  # a view into `noisy`
    loud = replace(sampler, weights={"generator": Weights(noisy, generator.buffers)})
    (value,) = score_latents(loud, ["ppl-w-full"], 20, 0, distance=PIXELS).values()
    assert value < 1e4  # other noise: (0.1 / 1e-4)^2 and more


def test_a_truncated_sampler_is_measured_without_truncation(grown):
    sampler = open_sampler(grown)[0]
    plain = score_latents(sampler, ["ppl-w-end"], 20, 0, distance=PIXELS)
    assert score_latents(sampler.truncated(0.1), ["ppl-w-end"], 20, 0, distance=PIXELS) == plain


class Brighter:
    """A classifier whose second class is of images brighter than a threshold."""

    def __init__(self, threshold, side=16):
        self.threshold, self.side = threshold, side

    def features_and_logits(self, images):
        assert images.dtype == torch.uint8 and images.shape[1:] == (1, self.side, self.side)
        brightness = images.double().mean((1, 2, 3))
        return brightness, torch.stack(
            [torch.zeros_like(brightness), brightness - self.threshold], 1
        )


def test_separability_is_of_the_latents_of_the_classified_images(grown):
    """The images' brightness is nearly linear in w here, and a random answer is not."""
    sampler = open_sampler(grown)[0]
    images = np.concatenate([part.numpy() for part in sampler.batches(400, 2)])
    middle = float(np.median(images.mean((1, 2, 3))))
    told = Attributes("brightness", [Brighter(middle)])
    metrics = ["separability-z", "separability-w"]
    values = score_latents(sampler, metrics, 400, 2, attributes=told)
    assert list(values) == ["separability-z-brightness-400", "separability-w-brightness-400"]
    assert 1 <= values["separability-w-brightness-400"] < 1.3

    class Random(Brighter):
        def features_and_logits(self, images):
            draw = torch.randn(len(images), 2, generator=torch.Generator().manual_seed(1))
            return draw, draw

    chance = score_latents(sampler, metrics, 400, 2, attributes=Attributes("chance", [Random(0)]))
    assert min(chance.values()) > 1.7
    both = Attributes("both", [Brighter(middle), Random(0)])
    product = score_latents(sampler, ["separability-w"], 400, 2, attributes=both)
    assert product["separability-w-both-400"] == pytest.approx(
        values["separability-w-brightness-400"] * chance["separability-w-chance-400"]
    )


def test_an_early_stage_is_classified_and_measured_at_the_reals_size(growing):
    """Pixels that are repeated change no mean, so the values are those of the small images."""
    sampler = open_sampler(growing)[0]
    early = replace(sampler, stage=type(sampler.stage)(8))
    small = replace(early, shape=(1, 8, 8))
    images = np.concatenate([part.numpy() for part in small.batches(200, 0)])
    assert images.shape == (200, 1, 8, 8)
    middle = float(np.median(images.mean((1, 2, 3))))

    def values(sampler, side):
        told = Attributes("brightness", [Brighter(middle, side)])
        distance = distance_in(PixelSpace((1, side, side)))
        metrics = ["separability-w", "ppl-w-end"]
        return score_latents(sampler, metrics, 200, 0, distance=distance, attributes=told)

    found = values(early, 16)
    assert list(found) == ["separability-w-brightness-200", "ppl-w-end-pixels-200"]
    assert found == pytest.approx(values(small, 8))
    assert 1 <= found["separability-w-brightness-200"] < 2 and found["ppl-w-end-pixels-200"] > 0


# -------------------------------------------------------------------------------------- the command


def test_a_run_is_scored_kept_and_told(run, found, invoke):
    protocol = ("--metrics", "ppl,separability,fid", "--count", 60, "--space", "classifier")
    shown = found(run, *protocol)
    assert set(shown["values"]) == {
        "fid-classifier-60",
        *(f"{metric}-classifier-60" for metric in PPL),
        "separability-z-classifier-60",
        "separability-w-classifier-60",
    }
    assert all(np.isfinite(value) for value in shown["values"].values())
    assert min(v for k, v in shown["values"].items() if k.startswith("separability")) >= 1
    (kept,) = json.loads(Path(shown["file"]).read_text())
    assert kept["values"] == shown["values"]
    assert kept["attributes_identity"] == [kept["space_identity"]]
    assert found(run, *protocol)["values"] == shown["values"]
    other = found(run, "--metrics", "ppl-w", "--count", 60, "--space", "classifier", "--seed", 1)
    assert other["values"]["ppl-w-end-classifier-60"] != shown["values"]["ppl-w-end-classifier-60"]
    table = invoke("evaluate", run, "--metrics", "ppl-z", "--count", 20, "--space", "pixels").stdout
    assert "ppl-z-full-pixels-20" in table and "lower" in table


@pytest.mark.long
def test_values_are_logged_to_the_runs_record(grown, found, tmp_path):
    from mlflow import MlflowClient

    run = Path(shutil.copytree(grown, tmp_path / "logged"))
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    record = client.create_run(client.create_experiment("e")).info.run_id
    state = {"uri": f"sqlite:///{tmp_path / 'mlflow.db'}", "run_id": record}
    (run / "tracking.json").write_text(json.dumps(state))
    shown = found(run, "--metrics", "ppl-w", "--count", 20, "--space", "pixels")
    assert "logged to run" in shown["mlflow"]
    logged = client.get_run(record).data.metrics
    for name, value in shown["values"].items():
        assert logged[f"evaluation/{name}"] == value


def test_z_is_for_every_generator_of_images_and_w_for_styles(plain, found, refusal, tmp_path):
    dcgan = shutil.copytree(plain["dcgan"], tmp_path / "dcgan")
    arguments = ("--space", "pixels", "--count", 30)
    values = found(dcgan, "--metrics", "ppl-z", *arguments)["values"]
    assert set(values) == {"ppl-z-full-pixels-30", "ppl-z-end-pixels-30"}
    for metrics in ("ppl", "ppl-w-end", "separability"):
        message = refusal("evaluate", dcgan, "--metrics", metrics, *arguments)
        assert "needs a generator with styles (backbone.name: stylegan)" in message
        assert "-z is for every generator of images" in message
    message = refusal("evaluate", plain["mlp"], "--metrics", "ppl-z")
    assert "ppl-z-full is of generators of images, and this run's samples are points" in message


def test_what_cannot_be_is_refused_before_anything_is_computed(run, refusal, tmp_path):
    def refused(*arguments):
        return " ".join(refusal("evaluate", run, *arguments).split())

    np.savez(tmp_path / "a.npz", images=np.zeros((60, 16, 16), np.uint8))
    message = refusal("evaluate", tmp_path / "a.npz", "--against", "digits", "--metrics", "ppl")
    assert "holds images: name a run's folder" in message
    message = refused("--metrics", "ppl", "--space", "lpips-vgg16")
    assert "torchvision's vgg16-397923af.pth" in message and "--weights" in message
    message = refused("--metrics", "ppl,fid", "--space", "lpips-vgg16")
    assert "is for path lengths only: evaluate fid in another space" in message
    message = refused("--metrics", "separability", "--space", "pixels")
    assert "space 'classifier', which learns them from labels; 'pixels' was asked for" in message
    message = refused("--metrics", "separability", "--labels", "a,b")
    assert "only data.source=avatars has labels to choose from" in message
    assert not (run / "evaluations").exists()


@pytest.mark.long
def test_of_avatars_any_part_is_an_attribute(found, refusal, config_of, tmp_path):
    pytest.importorskip("resvg_py")
    evolve(config_of(AVATARS), tmp_path / "run")
    protocol = ("--metrics", "separability-w", "--count", 40)
    own = found(tmp_path / "run", *protocol)
    both = found(tmp_path / "run", *protocol, "--labels", "bodyVariant,eyesVariant")
    assert list(own["values"]) == ["separability-w-classifier-40"]
    assert list(both["values"]) == ["separability-w-classifier.bodyVariant.eyesVariant-40"]
    assert both["attributes_identity"][:1] == own["attributes_identity"]
    assert len(set(both["attributes_identity"])) == 2
    (least,), (value,) = own["values"].values(), both["values"].values()
    assert value >= least  # the body's attributes are among them
    message = refusal("evaluate", tmp_path / "run", *protocol, "--labels", "hatVariant")
    assert "no critters avatar has 'hatVariant'" in message


def test_while_a_run_evolves_its_latent_space_is_not_scored(growing_yaml, refusal):
    message = refusal("train", growing_yaml, "--set", "evaluation.metrics=[fid,ppl-w]")
    assert "evaluation" in message and "evaluate RUN_DIR --metrics ppl-w-full" in message


def test_the_latents_of_a_run_are_those_that_sample_uses(grown):
    sampler = open_sampler(grown)[0]
    rows = sampler.rows(256, 5)
    assert isinstance(rows, Latents)
    images = np.concatenate([part.numpy() for part in sampler.batches(300, 5)])
    assert np.array_equal(sampler.make(rows[:44]).numpy(), images[256:])
