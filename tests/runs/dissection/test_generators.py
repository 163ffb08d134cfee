"""Every generator of images can be looked into, and changed."""

import pytest
import torch
from pydantic import TypeAdapter

from egan.backbones import BackboneConfig
from egan.backbones.progressive.growth import Stage
from egan.games import GameRules, build_game
from egan.state import Weights
from runs.dissection.editing import Edit, before_and_after
from runs.dissection.subject import Subject
from runs.sampling.repair import repaired
from runs.sampling.sampler import Sampler
from runs.sampling.units import UnitsFile

STYLES = {"name": "stylegan", "latent": 6, "style": 5, "mapping_layers": 2, "fmap_base": 64}
BACKBONES = {
    "dcgan": ({"name": "dcgan", "latent": 4, "width": 4}, None),
    "r3gan": ({"name": "r3gan", "latent": 4, "width": 8, "blocks": 1, "group": 4}, None),
    "stylegan": (STYLES | {"fmap_max": 8}, None),
    "a growing stylegan": (
        STYLES | {"fmap_max": 8, "growth": {"start": 8}},
        Stage(resolution=8, alpha=1.0),
    ),
    "progan": ({"name": "progan", "latent": 6, "fmap_base": 64, "fmap_max": 8}, None),
}


@pytest.fixture(params=BACKBONES)
def subject(request, tmp_path):
    values, stage = BACKBONES[request.param]
    backbone = TypeAdapter(BackboneConfig).validate_python(values)
    game = build_game(backbone, (3, 16, 16), None, GameRules(), None)
    function = game.generators["generator"]
    stream = torch.Generator().manual_seed(0)
    first = function.initialise(stream)
    lively = first.params + 0.1 * torch.randn(first.params.shape, generator=stream)  # none is zero
    weights = {"generator": Weights(lively, first.buffers)}
    (tmp_path / "generator.json").write_text("{}")
    return Subject(tmp_path, "generator", Sampler(game, weights, (3, 16, 16), stage))


def test_its_layers_are_found_and_their_units_are_changed_by_edit_and_repair_alike(subject):
    layers = subject.chosen("all")
    assert layers
    for layer, shape in layers.items():
        units, shares = tuple(range(shape[0])), (1.0,) * shape[0]
        before, after = before_and_after(subject, Edit(layer, shape, units, shares), 2)
        assert not torch.equal(before, after), layer
        file = UnitsFile(layer=layer, units=list(units), shares=list(shares))
        off = Subject(subject.path, "", repaired(subject.sampler, file))
        assert torch.allclose(next(off.images(0, 2)), after, atol=1e-6)
        ((_, maps),) = subject.seen(0, 2, [layer])
        assert maps[layer].shape == (2, *shape)
