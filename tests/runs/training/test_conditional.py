"""Runs on labels and on tags: killed and resumed, or on Ray workers, they end in the same bits."""

import os
import signal

import numpy as np
import pytest
import yaml

from tests.runs.copies import checksum, kinds, no_pictures, record

SMALL = {"latent": 4, "fmap_base": 16, "fmap_max": 4}
NETWORKS = {
    "labels": {"name": "stylegan", "style": 4, "mapping_layers": 2, **SMALL},
    "tags": {"name": "dcgan", "latent": 4, "width": 4},
}


@pytest.fixture(scope="module", params=[pytest.param("labels", marks=pytest.mark.long), "tags"])
def conditional(request, own_modules, tmp_path_factory) -> str:
    """The path of a config of 30 generations in a moment."""
    folder = tmp_path_factory.mktemp("conditional")
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (90, 8, 8), np.uint8)
    tags = random.integers(0, 2, (90, 3)).astype(np.float32)
    names = np.array(["red", "round", "big"])
    np.savez(folder / "data.npz", images=images, labels=np.arange(90) % 4, tags=tags,
             tag_names=names)  # fmt: skip
    config = {
        "name": "conditional",
        "seed": 3,
        "generations": 30,
        "data": {"source": "array", "path": str(folder / "data.npz"), "condition": request.param},
        "backbone": NETWORKS[request.param],
        "game": {"condition_ramp": 80, "ac_weight": 1.0 if request.param == "tags" else 0.0},
        "population": {"batch": 8, "mutations": ["heuristic", "paced:paced"]},
        "fitness": {"batch": 8},
        "execution": {"executor": "local", "threads": 1},
        "checkpoint": {"every": 8},
        "tracking": {"enabled": False},
    }
    (folder / "conditional.yaml").write_text(yaml.safe_dump(config))
    return str(folder / "conditional.yaml")


@pytest.fixture(scope="module")
def undisturbed(conditional, invoke, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    with no_pictures():
        done = invoke("train", conditional, "--output", folder)
    assert done.exit_code == 0, done.output
    return folder, checksum(done.output)


def test_a_killed_run_ends_in_the_same_bits(
    conditional, undisturbed, start, invoke, until_lines, without_pictures, tmp_path
):
    folder = tmp_path / "run"
    for moment in (3, 13):  # before the first snapshot, inside the ramp; and after it
        arguments = ("resume", folder) if folder.exists() else ("train", conditional)
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
def test_ray_workers_end_in_the_same_bits(conditional, undisturbed, run, tmp_path):
    done = run(
        *("train", conditional, "--executor", "ray", "--workers", "2", "--output", tmp_path / "run")
    )
    assert done.returncode == 0, done.stderr
    assert checksum(done.stdout) == undisturbed[1]
