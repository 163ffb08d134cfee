"""A generator's file as the first parent: exact, known by its hash, refused where it misfits."""

import os
import shutil

import pytest
import torch
from pydantic import ValidationError

from egan.state import checksum
from egan.weights_file import WEIGHTS, FirstParent, first_parent, read_weights, write_weights


@pytest.fixture
def trained(engine_of, after, tmp_path):
    """An average of a DCGAN, with normalisers' buffers, in a folder; and its weights."""
    engine = engine_of("dcgan")
    average = after(engine, 2).parents[0].average
    write_weights(tmp_path / WEIGHTS, engine.game.generators, average)
    return tmp_path, average["generator"]


def equal(one, other):
    return torch.equal(one.params, other.params) and all(
        torch.equal(one.buffers[name], other.buffers[name]) for name in one.buffers
    )


def test_what_is_written_is_read(engine_of, trained):
    folder, weights = trained
    read = read_weights(folder / WEIGHTS, engine_of("dcgan").game.generators)
    assert (
        read.keys() == {"generator"} and read["generator"].buffers.keys() == weights.buffers.keys()
    )
    assert len(weights.buffers) and equal(read["generator"], weights)


def test_who_may_read_the_file_is_up_to_the_umask(engine_of, trained, tmp_path):
    _, weights = trained
    before = os.umask(0o027)
    try:
        functions = engine_of("dcgan").game.generators
        write_weights(tmp_path / "new.safetensors", functions, {"generator": weights})
    finally:
        os.umask(before)
    assert (tmp_path / "new.safetensors").stat().st_mode & 0o777 == 0o640


def test_the_first_parent_and_its_average_start_with_the_file(engine_of, trained):
    folder, weights = trained
    population = {"survivors": 2}
    given = engine_of("dcgan", population=population | {"first_parent": str(folder)})
    ours, seeds = given.initial_state(), engine_of("dcgan", population=population).initial_state()
    first, second = ours.parents
    assert equal(first.networks["generator"].weights, weights)
    assert equal(first.average["generator"], weights)
    assert not first.networks["generator"].moments.second.any()
    assert first.networks["generator"].moments.step == 0
    # All others are those of the seed.
    assert equal(
        second.networks["generator"].weights, seeds.parents[1].networks["generator"].weights
    )
    assert equal(ours.critics["discriminator"].weights, seeds.critics["discriminator"].weights)
    assert checksum(ours) == checksum(given.initial_state()) != checksum(seeds)


def test_the_path_may_be_the_folder_or_the_file_and_the_hash_is_taken(trained, monkeypatch):
    folder, _ = trained
    config = FirstParent.model_validate(str(folder))
    assert config == FirstParent.model_validate({"path": folder / WEIGHTS})
    assert config.path == folder / WEIGHTS and len(config.sha256) == 64
    monkeypatch.chdir(folder)
    assert FirstParent.model_validate(".") == config
    # Once known, the hash is kept: the file is not read again to read a config.
    (folder / WEIGHTS).unlink()
    assert FirstParent.model_validate(config.model_dump(mode="json")) == config


def test_no_file_is_refused_when_the_config_is_read(engine_of, tmp_path):
    with pytest.raises(ValidationError, match="cannot be read here: No such file"):
        engine_of("dcgan", population={"first_parent": str(tmp_path / "none")})
    with pytest.raises(ValidationError, match="first_parent"):
        engine_of("dcgan", population={"first_parent": 3})


def test_a_file_that_has_gone_or_changed_is_refused_when_the_run_begins(engine_of, trained):
    folder, _ = trained
    engine = engine_of("dcgan", population={"first_parent": str(folder)})
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"population\.first_parent: .* has changed: its SHA-256"):
        engine.initial_state()
    (folder / WEIGHTS).unlink()
    with pytest.raises(ValueError, match=r"population\.first_parent: .* on every machine"):
        engine.initial_state()
    (folder / WEIGHTS).write_bytes(content)
    engine.initial_state()


def test_a_file_of_other_networks_is_refused_by_name_and_shape(engine_of, trained):
    folder, _ = trained
    other = engine_of("dcgan-plain-d", population={"first_parent": str(folder)})
    with pytest.raises(ValueError) as error:
        other.initial_state()
    text = str(error.value)
    assert text.startswith("population.first_parent") and "is not of this config's backbone" in text
    wide = engine_of("dcgan").config.population.first_parent
    assert wide is None and first_parent(wide, {}) == {}
    shutil.copy(__file__, folder / WEIGHTS)
    with pytest.raises(ValueError, match="cannot be read as a generator's weights"):
        read_weights(folder / WEIGHTS, {})
