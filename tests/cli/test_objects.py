"""Objects on the command line: train on ids, predict ids."""

import json

import numpy as np
import pytest

from napari_unetseg.cli import main
from napari_unetseg.core import samples
from napari_unetseg.core.compute import scratch_arrays as scratch
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference import predict_objects
from napari_unetseg.core.io import read_image, read_labels, write_image, write_labels
from napari_unetseg.core.models_io.native import load
from napari_unetseg.core.objects import decode_blocks
from napari_unetseg.core.objects.masks import label

QUICK = ("--labels-are", "objects", "--set", "width=8", "--set", "depth=2", "--set", "patch=96")
QUICK += ("--set", "batch=2", "--set", "averaging=0.9")


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two images of touching nuclei with their ids, and one to test on."""
    place = tmp_path_factory.mktemp("data")
    for seed, (folder, name) in enumerate([("train", "a"), ("train", "b"), ("test", "c")], 1):
        sample = samples.nuclei(
            (192, 192), seed=seed, touching=0.7, density=1.5, noise=0.5, unevenness=0.2
        )
        write_image(place / folder / "images" / f"{name}.tif", sample.as_image())
        write_labels(place / folder / "ids" / f"{name}.tif", Image.of(sample.objects))
        region = np.zeros((192, 192), np.uint8)
        region[:100] = 1
        write_labels(place / folder / "regions" / f"{name}.tif", Image.of(region))
    return place


@pytest.fixture(scope="module")
def model(data):
    path = data / "model.zip"
    words = (*QUICK, "--epochs", 4, "--set", "steps=30")
    assert run("train", data / "train/images", data / "train/ids", "-o", path, *words) == 0
    return path


def test_objects_come_out_of_ids(data, model, tmp_path, capsys):
    assert load(model).decoder is not None
    out = tmp_path / "out"
    words = ("--split-depth", 0.15, "--min-size", 20)
    assert run("predict", model, data / "test/images", "-o", out, "--what", "objects", *words) == 0
    found, truth = (read_labels(p).asarray() for p in (out / "c.tif", data / "test/ids/c.tif"))
    n = len(np.unique(found)) - 1
    assert np.array_equal(np.unique(found), np.arange(n + 1))
    assert f"{n} objects" in capsys.readouterr().out
    assert n > label(truth > 0)[1]
    table = tmp_path / "s.json"
    assert run("evaluate", out, data / "test/ids", "--objects", "--json", table) == 0
    assert json.loads(table.read_text())["mean"]["f1"] > 0.6


def test_a_flag_of_decoding_means_objects(data, model, tmp_path, capsys):
    one = data / "test/images/c.tif"
    assert run("predict", model, one, "-o", tmp_path / "a.tif", "--split", "none") == 0
    assert run("predict", model, one, "-o", tmp_path / "b.tif", "--split-depth", "0.15") == 0
    joined, split = (read_labels(tmp_path / f"{name}.tif").asarray().max() for name in "ab")
    assert 1 < joined < split
    assert run("predict", model, one, "-o", tmp_path / "c.tif", "--what", "classes") == 0
    assert read_labels(tmp_path / "c.tif").asarray().max() == 1
    capsys.readouterr()
    words = ("--what", "classes", "--min-size", 5)
    assert run("predict", model, one, "-o", tmp_path / "d.tif", *words) == 2
    assert "--min-size has an effect only with --what objects" in capsys.readouterr().err


def test_a_stack_is_linked_and_a_large_one_is_the_same(data, model, tmp_path, capsys, monkeypatch):
    plane = read_image(data / "test/images/c.tif").asarray()
    stack = np.stack([plane, np.roll(plane, 1, 1), np.roll(plane, 2, 1)])
    one = tmp_path / "stack.tif"
    write_image(one, Image.of(stack, "ZYX"))
    made, one_by_one = {}, ("--orientations", "one")
    for name, words in (("a", ("--link", "none")), ("l", ("--link", "auto"))):
        assert run("predict", model, one, "-o", tmp_path / f"{name}.tif", *one_by_one, *words) == 0
        made[name] = read_labels(tmp_path / f"{name}.tif").asarray()
    planes = [set(np.unique(plane)) - {0} for plane in made["a"]]
    assert not planes[0] & planes[1]
    linked = [set(np.unique(plane)) - {0} for plane in made["l"]]
    assert len(linked[0] & linked[2]) > 0.6 * len(linked[0])
    assert made["l"].max() < 0.6 * made["a"].max()
    monkeypatch.setattr(scratch, "IN_MEMORY", 1000)
    monkeypatch.setattr(predict_objects, "AT_ONCE", 1000)
    monkeypatch.setattr(decode_blocks, "SIDES", {2: 50})
    capsys.readouterr()
    for suffix in ("tif", "zarr"):
        out = tmp_path / f"large.{suffix}"
        assert run("predict", model, one, "-o", out, *one_by_one) == 0
        np.testing.assert_array_equal(read_labels(out).asarray(), made["l"])
        assert f"{made['l'].max()} objects, linked through 3 planes" in capsys.readouterr().out


def test_info_says_how_objects_are_told_apart(model, capsys):
    assert run("info", model) == 0
    assert "separates objects by: distance" in capsys.readouterr().out


def test_the_other_decoding_and_none_are_options(data, tmp_path):
    words = ("--model", "cnn", "--set", "layers=2", "--set", "width=4", "--set", "patch=32")
    words += ("--labels-are", "objects", "--epochs", 1, "--set", "steps=2")
    folder = data / "train"
    for name, learnt in (("boundary", True), ("none", False)):
        out = tmp_path / f"{name}.zip"
        said = ("train", folder / "images", folder / "ids", "-o", out, *words)
        assert run(*said, "--set", f"objects={name}") == 0
        assert (load(out).decoder is not None) == learnt


def test_a_pixel_model_writes_objects_by_shape(data, tmp_path, capsys):
    out = tmp_path / "l.zip"
    words = ("--model", "logistic", "--labels-are", "objects", "--set", "sigmas=1, 3")
    assert run("train", data / "train/images", data / "train/ids", "-o", out, *words) == 0
    assert run("predict", out, data / "test/images", "-o", tmp_path, "--what", "objects") == 0
    assert read_labels(tmp_path / "c.tif").asarray().max() > 5
    capsys.readouterr()
    one = data / "test/images/c.tif"
    assert run("predict", out, one, "-o", tmp_path / "d.tif", "--split", "learnt") == 2
    assert "learnt classes" in capsys.readouterr().err


def test_regions_say_what_is_finished(data, tmp_path, capsys):
    folder, out = data / "train", tmp_path / "r.zip"
    words = (*QUICK, "--epochs", 1, "--set", "steps=2")
    said = ("train", folder / "images", folder / "ids", "-o", out, *words)
    assert run(*said, "--regions", folder / "regions") == 0
    assert load(out).decoder is not None
    capsys.readouterr()
    one = tmp_path / "regions" / "a.tif"
    write_labels(one, Image.of(np.ones((192, 192), np.uint8)))
    assert run(*said, "--regions", one.parent) == 2
    assert "b.tif has no file of its name" in capsys.readouterr().err
    scribbles = [w if w != "objects" else "scribbles" for w in said]
    assert run(*scribbles, "--regions", folder / "regions") == 2
    assert "scribbles" in capsys.readouterr().err


def test_a_model_is_calibrated_by_other_images(data, model, tmp_path, capsys):
    out, folder = tmp_path / "better.zip", data / "train"
    assert run("calibrate", model, folder / "images", folder / "ids", "-o", out) == 0
    said = capsys.readouterr().out
    assert "Objects are made with" in said
    old, new = load(model), load(out)
    assert all(np.array_equal(old.state[name], new.state[name]) for name in old.state)
    assert {"foreground", "min_size", "min_score"} < set(new.chosen_decoding)
    told = new.provenance["calibrated"]
    assert (told["model"], told["images"]) == (old.fingerprint, 2)
    assert f"the best for {told['objects']} known objects" in said
    assert run("info", out) == 0
    assert "objects are made with" in capsys.readouterr().out
    few, ids = tmp_path / "few.tif", np.zeros((192, 192), np.int32)
    given = (folder / "images/a.tif", few, "-o", tmp_path / "m.zip")
    write_labels(few, Image.of(ids))
    assert run("calibrate", model, *given) == 2
    assert not (tmp_path / "m.zip").exists()
    ids[20:40, 20:40], ids[60:80, 60:80] = 1, 2
    write_labels(few, Image.of(ids))
    assert run("calibrate", model, *given) == 0
    assert "2 objects are too few" in capsys.readouterr().out
    assert load(tmp_path / "m.zip").decoding.min_size == 20
