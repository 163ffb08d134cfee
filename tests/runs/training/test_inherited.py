"""What is said where other keys make something else of the same weights, and that it is true."""

import pytest
import torch

from egan.backbones import StyleGANConfig, UNetConfig, build_networks
from runs import load_config
from runs.common.errors import ConfigError
from runs.store.folder import RunFolder
from runs.training.driver import evolve, fork
from runs.training.forking import plan_fork
from runs.training.inherited import note_on_fork

SIZES = {"latent": 4, "style": 5, "mapping_layers": 1, "fmap_base": 32, "fmap_max": 4}
SHAPE = (1, 16, 16)
STYLED = """\
seed: 3
generations: 1
data: {source: digits, resolution: 8}
backbone: {name: stylegan, latent: 4, style: 5, mapping_layers: 1, fmap_base: 32, fmap_max: 4}
population: {batch: 4, mutations: [minimax]}
fitness: {batch: 4}
execution: {executor: local}
tracking: {enabled: false}
"""


def images(config):
    """Three images, of weights that the config has no part in."""
    networks = build_networks(config, SHAPE)
    weights = build_networks(StyleGANConfig(**SIZES), SHAPE).generator.initialise(
        torch.Generator().manual_seed(0)
    )
    for name, buffer in networks.generator.module.named_buffers():  # such as a path's mean length
        weights.buffers.setdefault(name, torch.zeros(buffer.shape))
    stream = torch.Generator().manual_seed(1)
    moved = weights.params + torch.randn(weights.params.shape, generator=stream) / 4
    latents = build_networks(StyleGANConfig(**SIZES, mixing=0), SHAPE).noise(3, stream)
    with torch.no_grad():
        made, _ = networks.generator(type(weights)(moved, weights.buffers), latents, training=False)
    return made


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"filter_taps": 4}, "backbone.filter_taps: 3, here 4"),
        ({"output": "tanh"}, "backbone.output: linear, here tanh"),
        ({"norm": "batch"}, "backbone.norm: instance, here batch"),
        ({"rgb": "sum", "filter_taps": 4},
         "backbone.rgb: last, here sum; backbone.filter_taps: 3, here 4"),
        ({"checkpoint": True, "mixing": 0.5, "mean_decay": 0.9, "constant": "normal"}, None),
        ({"discriminator": "plain", "discriminator_width": 9, "condition": "embedding"}, None),
    ],
)  # fmt: skip
def test_a_key_is_told_where_it_changes_the_images_of_the_same_weights(keys, said):
    former = StyleGANConfig(**SIZES)
    now = StyleGANConfig(**SIZES | keys)
    found = note_on_fork(former, now)
    if "discriminator" in keys:  # told of a fork, whose state holds one; not of a first parent
        assert "backbone.discriminator: progressive, here plain: the same weights judge" in found
    elif said is None:
        assert found is None
    else:
        assert (
            found == f"note: the parent's networks had {said}: the same weights make other samples"
        )
    assert torch.equal(images(former), images(now)) is (said is None)


def test_keys_that_come_to_the_same_sizes_are_not_told():
    assert note_on_fork(UNetConfig(), UNetConfig(downs=5, critic_layers=3, gain=0.01)) is None
    assert "backbone.dropout" in note_on_fork(UNetConfig(), UNetConfig(dropout=0.1))


class Told:
    """A display that keeps what it is told."""

    def __init__(self, progress):
        self.progress, self.lines = progress, []

    def __getattr__(self, name):
        return getattr(self.progress, name)

    def message(self, line):
        """Keep a line."""
        self.lines.append(line)


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    """A run of a StyleGAN, of one generation."""
    folder = tmp_path_factory.mktemp("styled")
    (folder / "config.yaml").write_text(STYLED)
    evolve(load_config(folder / "config.yaml"), folder / "run")
    return folder / "run"


def test_a_fork_with_other_keys_says_so(styled, without_pictures, tmp_path):
    from runs.display.progress import Silent

    more = ("generations=2", "backbone.mixing=0.5")
    for number, keys in enumerate([("backbone.filter_taps=4",), ()]):
        told = Told(Silent())
        fork(str(styled), (*more, *keys), tmp_path / str(number), told)
        notes = [line for line in told.lines if "the parent's networks" in line]
        assert len(notes) == len(keys)
        assert all("filter_taps: 3, here 4" in note and "mixing" not in note for note in notes)


def test_a_fork_with_another_multiplier_is_refused_as_a_first_parent_is(styled):
    planned = plan_fork(str(styled), ["generations=2", "backbone.mapping_multiplier=0.5"])
    said = r"run, generation 1 was made with backbone\.mapping_multiplier: 0\.01, by .* is 0\.5"
    with pytest.raises(ConfigError, match=said):
        planned.check(RunFolder(styled).load_data())
