"""`click`: objects from marks in a table, on the command line."""

import numpy as np
import pytest

from napari_unetseg.cli import main
from napari_unetseg.core import samples
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_labels, write_image
from napari_unetseg.core.prompts.marked_objects import click_objects
from napari_unetseg.core.prompts.marks import Mark


@pytest.fixture(scope="module")
def sample():
    return samples.nuclei((96, 112), seed=4)


@pytest.fixture
def image(tmp_path, sample):
    path = tmp_path / "cells.tif"
    write_image(path, sample.as_image())
    return path


def middle(sample, number):
    """Return a pixel of an object near its middle."""
    places = np.argwhere(sample.objects == number)
    return places[np.abs(places - places.mean(0)).sum(1).argmin()]


def test_clicks_of_a_table_become_the_objects_that_python_gives(tmp_path, image, sample, capsys):
    (y, x), (v, u) = middle(sample, 1), middle(sample, 2)
    marks, out = tmp_path / "marks.csv", tmp_path / "labels.tif"
    marks.write_text(f"object,y,x\n3,{y},{x}\n5,{v},{u}\n")
    assert main(["click", str(image), str(marks), "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 2 objects from marks\n"
    made = read_labels(out)
    expected = click_objects(
        sample.as_image(), [Mark(3, (float(y), float(x))), Mark(5, (float(v), float(u)))]
    )
    np.testing.assert_array_equal(made.asarray(), expected.labels.asarray())
    assert made.spacing == pytest.approx(sample.spacing)


def test_marks_without_an_object_are_noted(tmp_path, image, sample, capsys):
    y, x = middle(sample, 1)
    marks, out = tmp_path / "marks.csv", tmp_path / "labels.tif"
    marks.write_text(f"object,y,x\ncell,{y},{x}\nlost,-40,3\n")
    assert main(["click", str(image), str(marks), "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert "1 object from marks" in said.out
    assert "nothing was found at lost" in said.err


@pytest.mark.parametrize(
    ("table", "words", "sentence"),
    [
        ("y,x\n-9,-9\n", (), "no object at any of the marks"),
        ("a,b\n1,1\n", (), "no columns y and x"),
        ("y,x\n9,9\n", ("--carry",), "one plane along Z"),
        ("y,x\n9,9\n", ("--like", "2"), "--like"),
    ],
)
def test_slips_are_one_line(tmp_path, image, capsys, table, words, sentence):
    marks, out = tmp_path / "marks.csv", tmp_path / "labels.tif"
    marks.write_text(table)
    assert main(["click", str(image), str(marks), "-o", str(out), *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_a_file_that_is_no_table(tmp_path, image, capsys):
    assert main(["click", str(image), str(image), "-o", str(tmp_path / "o.tif")]) == 2
    assert "no table of marks" in capsys.readouterr().err


def test_a_plane_of_a_stack_with_channels(tmp_path, sample):
    both = np.stack([np.zeros_like(sample.image), sample.image])
    stack = np.stack([both, both], 1)
    path, marks, out = tmp_path / "s.tif", tmp_path / "marks.csv", tmp_path / "o.tif"
    write_image(path, Image.of(stack, "CZYX", channel_names=("none", "nuclei")))
    y, x = middle(sample, 1)
    marks.write_text(f"z,y,x\n1,{y},{x}\n")
    assert main(["click", str(path), str(marks), "-o", str(out), "--channel", "nuclei"]) == 0
    labels = read_labels(out)
    assert labels.axes == "ZYX"
    assert not labels.asarray()[0].any()
    assert labels.asarray()[1, y, x] == 1
