"""`cells` on files."""

import csv

import numpy as np
import pytest

from napari_unetseg.cli import main
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_labels, write_image, write_labels
from napari_unetseg.core.measure import CellMeasureOptions, measure_cells
from napari_unetseg.core.objects.compartments import find_compartments
from napari_unetseg.core.samples import cells as draw_cells

SAMPLE = draw_cells((120, 140), seed=3, binucleate=0.3, anucleate=0.2)


def run(*words):
    return main([str(word) for word in words])


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def one(tmp_path):
    write_labels(tmp_path / "n.tif", Image.of(SAMPLE.nuclei))
    write_labels(tmp_path / "c.tif", Image.of(SAMPLE.objects))
    write_image(tmp_path / "i.tif", SAMPLE.as_image())
    return tmp_path / "n.tif", tmp_path / "c.tif", tmp_path / "i.tif"


@pytest.mark.parametrize("method", ["objects", "mask", "grow"])
def test_the_table_is_that_of_python(one, tmp_path, capsys, method):
    nuclei, cells, image = one
    given = [nuclei] if method == "grow" else [nuclei, cells]
    places = ("-o", tmp_path / "t.csv", "--labels", tmp_path / "made", "--image", image)
    assert run("cells", *given, *places, "--method", method) == 0
    options = CellMeasureOptions(method=method)
    found = find_compartments(
        Image(SAMPLE.nuclei, "YX", SAMPLE.spacing, "µm"),
        Image.of(SAMPLE.objects),
        options,
    )
    table = measure_cells(found, SAMPLE.as_image(), options)
    rows = read(tmp_path / "t.csv")
    assert list(rows[0]) == list(table)
    for column in ("label", "n_nuclei", "nucleus_area_um2", "cytoplasm_mean_cytoplasm"):
        written = [float(row[column] or "nan") for row in rows]
        assert np.allclose(written, table[column], equal_nan=True, rtol=1e-6)
    for kind in ("nuclei", "cells", "cytoplasm"):
        labels = read_labels(tmp_path / "made" / kind / "n.tif")
        assert np.array_equal(labels.data, getattr(found, kind).data)
        assert labels.calibrated
    assert found.summary() in capsys.readouterr().out


def test_several_become_one_table(tmp_path, capsys):
    for stem in "ab":
        write_labels(tmp_path / "n" / f"{stem}.tif", Image.of(SAMPLE.nuclei))
        write_labels(tmp_path / "c" / f"{stem}.tif", Image.of(SAMPLE.objects[:, 1:]))
    write_labels(tmp_path / "c" / "a.tif", Image.of(SAMPLE.objects))
    assert run("cells", tmp_path / "n", tmp_path / "c", "-o", tmp_path / "t.csv") == 2
    assert "1 of 2 images failed" in capsys.readouterr().err
    assert {row["image"] for row in read(tmp_path / "t.csv")} == {"a"}
    assert run("cells", tmp_path / "n", tmp_path / "c", "-o", tmp_path / "t.csv", "--pairs") == 0
    assert "2 pairs" in capsys.readouterr().out


def test_boundaries_are_followed_in_a_channel(one, tmp_path):
    nuclei, cells, image = one
    words = ("cells", nuclei, cells, "-o", tmp_path / "t.csv", "--boundary", "dark")
    assert run(*words) == 2
    assert run(*words, "--image", image, "--boundaries-in", 5) == 2
    assert run(*words, "--image", image, "--boundaries-in", 1) == 0
    assert "nucleus_mean_nuclei" in read(tmp_path / "t.csv")[0]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("n.tif", "-o", "t.csv"), "needs CELLS"),
        (("n.tif", "c.tif", "-o", "t.csv", "--method", "grow"), "Leave CELLS out"),
        (("n.tif", "c.tif", "-o", "t.xlsx"), ".csv"),
        (("n.tif", "c.tif", "-o", "t.csv", "--labels", "made.tif"), "Give the name of a folder"),
        (("n.tif", "c.tif", "-o", "t.csv", "--distance", "3"), "--method grow"),
        (("n.tif", "-o", "t.csv", "--method", "grow", "--pairs"), "Name CELLS"),
    ],
)
def test_bad_calls_write_nothing(one, tmp_path, monkeypatch, capsys, words, error):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert run("cells", *words) == 2
    assert error in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
