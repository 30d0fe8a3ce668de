"""`evaluate --objects` on files."""

import json

import numpy as np
import pytest

from napari_unetseg.cli import main
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import write_image, write_labels
from napari_unetseg.core.samples import nuclei


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture
def files(tmp_path):
    def write(name, said, true, **facts):
        for folder, values in (("said", said), ("true", true)):
            array = np.asarray(values)
            save = write_image if array.dtype.kind == "f" else write_labels
            save(tmp_path / folder / f"{name}.tif", Image.of(array, **facts))

    def judge(*words):
        table = tmp_path / "s.json"
        places = (tmp_path / "said", tmp_path / "true")
        assert run("evaluate", *places, "--objects", "--json", table, *words) == 0
        return json.loads(table.read_text())

    return write, judge


LEFT, RIGHT = np.zeros((2, 12, 12), int)
LEFT[2:6, 2:6], RIGHT[2:6, 7:11] = 1, 2
BOTH = LEFT + RIGHT


def test_the_keys_of_the_contract(files, capsys):
    write, judge = files
    write("a", BOTH, BOTH)
    write("b", LEFT, BOTH)
    found = judge()
    assert {"dice", "iou", "ap50", "map", "f1"} <= set(found["mean"])
    assert found["images"]["a"]["ap50"] == found["images"]["a"]["map"] == 1
    assert found["images"]["b"]["ap50"] == 0.5
    assert found["images"]["b"]["f1"] == pytest.approx(2 / 3)
    assert found["images"]["b"]["dice"] == pytest.approx(2 / 3)
    assert found["mean"]["ap50"] == 0.75
    assert found["pooled"]["ap50"] == 0.75
    assert found["pooled"]["f1"] == pytest.approx(6 / 7)
    assert found["mean"]["matched"] == 1.5
    out = capsys.readouterr().out
    assert "b: F1 0.667, AP@0.5 0.500" in out
    assert "3 matched, 1 missed, 0 false positive" in out


def test_real_shapes_and_the_negative_control(files):
    write, judge = files
    truth = nuclei((128, 128), seed=2).objects
    write("right", np.where(truth, truth + 300, 0), truth)
    write("wrong", np.roll(truth, 40, 0), truth)
    found = judge()["images"]
    assert found["right"]["map"] == found["right"]["sbd"] == found["right"]["boundary_f1"] == 1
    assert found["right"]["rand_error"] == found["right"]["vi_split"] == 0
    assert found["wrong"]["ap50"] < 0.3
    assert found["wrong"]["vi_merge"] > 0.5


def test_ids_are_taken_as_they_are(files, capsys):
    """Of any type of number; a mask is one object, and that is said."""
    write, judge = files
    write("a", BOTH.astype(np.float32), BOTH > 0)
    found = judge()
    assert found["images"]["a"]["ap50"] == 0.5
    said = capsys.readouterr().err
    assert "Every ground truth image has one object" in said
    assert "Every predicted image" not in said


def test_a_predicted_mask_is_one_object_and_noted(files, capsys):
    write, judge = files
    write("a", BOTH > 0, BOTH)
    judge()
    assert "Every predicted image has one object" in capsys.readouterr().err


def test_empty_images_are_null_where_there_is_no_distance(files):
    write, judge = files
    nothing = np.zeros_like(BOTH)
    write("none", nothing, nothing)
    write("missed", nothing, BOTH)
    write("right", BOTH, BOTH)
    found = judge()
    assert found["images"]["none"]["map"] == 1
    assert found["images"]["none"]["hausdorff"] == 0
    assert found["images"]["missed"]["hausdorff"] is None
    assert found["mean"]["hausdorff"] == 0
    assert found["mean"]["ap50"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("objects", [True, False])
def test_images_without_anything_are_told_and_can_be_left_out(files, tmp_path, capsys, objects):
    write, _ = files
    write("none", np.zeros_like(BOTH), np.zeros_like(BOTH))
    write("some", LEFT, BOTH > 0 if not objects else BOTH)
    words = ("evaluate", tmp_path / "said", tmp_path / "true", "--json", tmp_path / "s.json")
    words += ("--objects",) if objects else ()
    assert run(*words) == 0
    told = capsys.readouterr().out
    assert "mean of 2 images, of which 1 without" in told
    assert "in both count as 1: " in told
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["mean"]["dice"] == pytest.approx((1 + 2 / 3) / 2)
    assert content["pooled"]["dice"] == pytest.approx(2 / 3)
    assert "together" in told
    assert run(*words, "--empty", "leave-out") == 0
    told = capsys.readouterr().out
    assert "mean of 1 image, 1 without" in told
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["mean"]["dice"] == content["pooled"]["dice"] == pytest.approx(2 / 3)


def test_planes_volumes_and_units(files):
    write, judge = files
    said = np.stack([LEFT, 2 * LEFT])  # labelled plane by plane
    true = np.stack([LEFT, LEFT])
    write("a", said, true, axes="ZYX", spacing=(2.0, 0.5, 0.5), unit="µm")
    assert judge()["mean"]["matched"] == 1
    assert judge("--per", "plane")["mean"]["matched"] == 2
    write("a", np.roll(true, 1, 2), true, axes="ZYX", spacing=(2.0, 0.5, 0.5), unit="µm")
    assert judge()["mean"]["hausdorff"] == 1
    assert judge("--units", "physical")["mean"]["hausdorff"] == 0.5
    assert judge("--tolerance", "0")["mean"]["boundary_f1"] < 1
    assert judge("--tolerance", "1")["mean"]["boundary_f1"] == 1


def test_frames_of_a_film_are_apart(files):
    write, judge = files
    write("a", np.stack([LEFT, 2 * LEFT]), np.stack([LEFT, LEFT]), axes="TYX")
    assert judge()["mean"]["matched"] == 2


def test_what_cannot_be(files, tmp_path, capsys):
    write, _ = files
    write("a", BOTH, BOTH[:-1])
    places = (tmp_path / "said", tmp_path / "true")
    assert run("evaluate", *places, "--objects") == 2
    assert "Give labels of the same image" in capsys.readouterr().err
    write("a", BOTH + 0.5, BOTH)
    assert run("evaluate", *places, "--objects") == 2
    assert "a.tif holds fractions" in capsys.readouterr().err
    assert run("evaluate", *places, "--objects", "--foreground", "1") == 2
    assert "--foreground has no effect with --objects" in capsys.readouterr().err
    # A flag that only objects make use of asks for them.
    write("a", BOTH, BOTH)
    assert run("evaluate", *places, "--tolerance", "1") == 0
    assert "AP@0.5 1.000" in capsys.readouterr().out


def test_the_help_says_what_is_an_object(capsys):
    assert run("evaluate", "--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--objects" in shown
    assert "Pixels with the same id" in shown
    assert "StarDist and Cellpose" in shown
