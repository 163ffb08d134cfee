"""What `evaluate` refuses, in words that help; and what is never fatal."""

import numpy as np
import pytest

PIXELS = ("--space", "pixels", "--metrics", "fid,prdc")


def test_inception_without_its_weights_says_where_to_get_them(refused, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("EGAN_INCEPTION_WEIGHTS", raising=False)
    message = refused("--space", "inception")
    assert "weights-inception-2015-12-05-6726825d.pth" in message and "--weights" in message


@pytest.mark.parametrize("space", ["inception", "classifier"])
def test_a_cut_weights_file_is_named(refused, tmp_path, space):
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut")
    message = refused("--space", space, "--weights", tmp_path / "cut.pth")
    assert "cut.pth" in message


def test_an_unknown_space_or_metric_gets_the_nearest_one(refused):
    assert "did you mean 'pixels'" in refused("--space", "pixel")
    assert "did you mean 'fid'" in refused("--metrics", "fdi")
    assert "package" in refused("--space", "no_such_package:Net")


def test_metrics_of_points_cannot_score_images(refused):
    assert "modes cannot score images" in refused("--metrics", "modes,fid")


def test_too_few_images_are_refused(refused, npz, digits, tmp_path):
    assert f"--count 61: {npz} holds only 60 images" in refused("--count", 61)
    np.savez(tmp_path / "few.npz", images=digits[:4])
    message = refused(*PIXELS, subject=tmp_path / "few.npz")
    assert "precision" in message and "at least 6 images; count is 4" in message
    message = refused(*PIXELS, against=tmp_path / "few.npz")
    assert "at least 6 images; count is 4" in message


def test_other_sizes_are_not_brought_together_unasked(refused, found, tmp_path, npz):
    larger = np.random.default_rng(0).integers(0, 256, (60, 16, 16), np.uint8)
    np.savez(tmp_path / "larger.npz", images=larger)
    message = refused(*PIXELS, against=tmp_path / "larger.npz")
    assert "(1, 8, 8)" in message and "(1, 16, 16)" in message and "larger.npz" in message
    assert ": --resolution 8 brings image files and arrays to one side" in message
    found(npz, "--against", tmp_path / "larger.npz", "--resolution", 8, *PIXELS)


def test_more_samples_than_memory_holds_features_of_are_refused_with_the_size(run, mistake):
    arguments = ("--metrics", "fid,kid,prdc", "--count", 10**11)
    message = " ".join(mistake("evaluate", run, *arguments).split())
    assert "kid, precision, recall, density, coverage keep the features of all samples" in message
    assert "25,600.0 GB for 100,000,000,000 in space 'pixels'" in message
    assert "Score fewer, or by fid alone" in message
    assert not (run / "evaluations").exists()


def test_colour_and_grey_are_not_compared(refused, tmp_path):
    colour = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "colour.npz", images=colour)
    message = refused(*PIXELS, against=tmp_path / "colour.npz")
    assert "(1, 8, 8)" in message and "(3, 8, 8)" in message


def test_unlabelled_reals_have_no_classifier_space(refused, pngs, tmp_path, digits):
    np.savez(tmp_path / "unlabelled.npz", images=digits[:60])
    message = refused(against=tmp_path / "unlabelled.npz")
    assert "'classifier' needs labelled images" in message


def test_images_need_something_to_be_compared_with(mistake, npz):
    assert "--against DATA" in mistake("evaluate", npz)


def test_image_files_need_a_side(refused, pngs):
    assert "--resolution R" in refused(subject=pngs)


def test_what_is_not_there_is_named(refused, mistake, tmp_path):
    assert "nothing.npz" in refused(against=tmp_path / "nothing.npz")
    assert "nowhere" in mistake("evaluate", tmp_path / "nowhere")


def test_points_and_images_are_not_compared(mistake, points_run, run, npz):
    message = mistake("evaluate", points_run, "--against", npz)
    assert "(2,)" in message and "(1, 8, 8)" in message


def test_a_runs_own_data_are_of_their_own_size(mistake, run):
    assert "--resolution" in mistake("evaluate", run, "--resolution", 16)


def test_an_option_that_no_metric_uses_is_refused(mistake, run, points_run):
    said = mistake("evaluate", run, "--labels", "eyes", "--metrics", "fid")
    assert "--labels is for separability, which is not among the metrics" in said
    for option in (("--space", "inception"), ("--weights", "a.pth")):
        said = mistake("evaluate", points_run, "--metrics", "modes", *option)
        assert f"{option[0]}: points have no feature space, and modes need none" in said
        assert "points have no feature space" in mistake("evaluate", points_run, *option)


def test_weights_that_are_not_there_are_told_as_such(refused, tmp_path):
    said = refused("--space", "classifier", "--weights", tmp_path / "nope.pth")
    assert f"{tmp_path / 'nope.pth'}: no such file" in said and "delete" not in said


def test_a_damaged_cache_is_told_of_and_made_again(found, npz, cache, caplog):
    values = found(npz, "--against", "digits", *PIXELS)["values"]
    (file,) = cache.glob("real-*.npz")
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    assert found(npz, "--against", "digits", *PIXELS)["values"] == values
    assert f"the cached file {file} cannot be used" in caplog.text
    assert file.read_bytes() == whole


def test_without_a_cache_scores_are_the_same(found, npz, monkeypatch, caplog):
    protocol = ("--against", "digits", "--resolution", 8, "--metrics", "fid,is", "--count", 60)
    values = found(npz, *protocol)["values"]
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert found(npz, *protocol)["values"] == values
    assert "the cache /dev/null/evolutionary-gan cannot be written" in caplog.text


@pytest.mark.parametrize(
    "arguments",
    [("--metrics", "fid,ms-ssim"), ("--against", "digits", "--count", "4", "--metrics", "prdc"),
     ("--space", "inception", "--weights", "cut.pth"), ("--metrics", "is")],
)  # fmt: skip
def test_after_a_mistake_nothing_is_left_behind(run, mistake, cache, tmp_path, arguments):
    (tmp_path / "cut.pth").write_bytes(b"cut")
    arguments = [str(tmp_path / a) if a == "cut.pth" else a for a in arguments]
    mistake("evaluate", run, *arguments)
    assert not (run / "evaluations").exists()
    assert not cache.exists() or not [*cache.iterdir()]
