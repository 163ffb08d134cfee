"""Runs of pairs and of two sets end in the same bits after kills, and on Ray workers."""

import os
import signal

import pytest
import yaml

from tests.runs.copies import checksum, kinds, no_pictures, record

SMALL = {"width": 2, "critic_width": 2, "critic_layers": 1, "dropout": 0.5}
NETWORKS = {
    "pairs": {"name": "unet", "downs": 2, **SMALL},
    "sets": {"name": "resnet", "blocks": 1, **SMALL},
}


@pytest.fixture(scope="module", params=[pytest.param("pairs", marks=pytest.mark.long), "sets"])
def translation(request, own_modules, tmp_path_factory) -> str:
    """The path of a config of 20 quick generations; the learning rate falls after the sixth."""
    folder = tmp_path_factory.mktemp("translation")
    pairs = request.param == "pairs"
    config = {
        "name": "translation",
        "seed": 3,
        "generations": 20,
        "data": {"source": "glyphs", "resolution": 16, "count": 64, "aligned": pairs},
        "backbone": NETWORKS[request.param],
        "game": {} if pairs else {"pool": 3},
        "population": {"batch": 2, "mutations": ["heuristic", "paced:paced"]},
        "fitness": {"batch": 2, "reconstruction": 1.0},
        "optimizer": {"decay": {"after": 0.012, "over": 0.02}},  # thousands of images
        "execution": {"executor": "local", "threads": 1},
        "checkpoint": {"every": 6},
        "tracking": {"enabled": False},
    }
    (folder / "translation.yaml").write_text(yaml.safe_dump(config))
    return str(folder / "translation.yaml")


@pytest.fixture(scope="module")
def undisturbed(translation, invoke, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    with no_pictures():
        done = invoke("train", translation, "--output", folder)
    assert done.exit_code == 0, done.output
    return folder, checksum(done.output)


def test_a_killed_run_ends_in_the_same_bits(
    translation, undisturbed, start, invoke, until_lines, without_pictures, tmp_path
):
    folder = tmp_path / "run"
    for moment in (3, 10):  # before the first snapshot; and after it, while the rate falls
        arguments = ("resume", folder) if folder.exists() else ("train", translation)
        options = () if folder.exists() else ("--output", folder)
        process = start(*arguments, *options, PAUSE="0.05")
        until_lines(process, folder, moment)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = invoke("resume", folder)
    assert done.exit_code == 0, done.output
    assert checksum(done.output) == undisturbed[1]
    assert record(folder) == record(undisturbed[0])
    assert kinds(folder).count("resumed") == 2


@pytest.mark.ray
def test_ray_workers_end_in_the_same_bits(translation, undisturbed, run, tmp_path):
    done = run(
        *("train", translation, "--executor", "ray", "--workers", "2", "--output", tmp_path / "run")
    )
    assert done.returncode == 0, done.stderr
    assert checksum(done.stdout) == undisturbed[1]
