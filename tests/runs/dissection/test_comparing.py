"""Dissections side by side."""

import json
from dataclasses import replace

import pytest

from runs.common.errors import ConfigError
from runs.dissection import commands
from runs.dissection.comparing import compare
from tests.runs.dissection.conftest import OBJECTS


@pytest.fixture(scope="module")
def folders(subject, segmenter, tmp_path_factory):
    """Dissections of the same generator with two seeds, and one of other images."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "open_segmenter", lambda *_: segmenter)
        for name, seed, count in (("a", 0, 40), ("b", 1, 40), ("c", 0, 50)):
            found[name] = tmp_path_factory.mktemp(name)
            own = replace(subject, seed=seed)
            commands.dissect(own, "all", "hand", count, "ratio", found[name])
    return found


def test_detectors_are_counted_by_class_and_averaged_by_label(folders, tmp_path):
    out = tmp_path / "detectors.png"
    path = folders["a"] / "dissection.json"
    text = json.loads(path.read_text())
    text["layers"]["objects"]["detectors"]["red"] = 4
    path.write_text(json.dumps(text))
    lines = compare((f"x={folders['a']}", f"x={folders['b']}", str(folders["b"])), out)
    assert lines[0] == "x: 4.5 detectors: 2.5 red, 1 green, 1 blue (mean of 2)"
    assert lines[1].endswith("hand-built generator: 3 detectors: 1 red, 1 green, 1 blue")
    found = json.loads((tmp_path / "detectors.json").read_text())
    assert found["classes"] == list(OBJECTS) and found["averaged"]["x"] == 2
    assert found["means"]["x"] == {"red": 2.5, "green": 1, "blue": 1}
    assert [one["label"] for one in found["dissections"][:2]] == ["x", "x"]
    assert out.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_compared_is_refused(folders, tmp_path):
    out = tmp_path / "detectors.png"
    with pytest.raises(ConfigError, match="differ in the count"):
        compare((str(folders["a"]), str(folders["c"])), out)
    with pytest.raises(ConfigError, match="holds no dissection; make one first"):
        compare((str(tmp_path),), out)
    assert not out.exists()
