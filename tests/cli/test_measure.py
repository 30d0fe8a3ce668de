"""`measure` on files."""

import csv
import json

import numpy as np
import pytest
import roifile

from napari_unetseg.cli import main
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import write_image, write_labels

OBJECTS = np.zeros((20, 30), np.uint16)
OBJECTS[2:6, 3:8], OBJECTS[10:15, 10:12] = 3, 8
VALUES = np.arange(600, dtype=np.float32).reshape(20, 30)


def run(*words):
    return main([str(word) for word in words])


def read(path, delimiter=","):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


@pytest.fixture
def one(tmp_path):
    write_labels(tmp_path / "l.tif", Image.of(OBJECTS))
    write_image(tmp_path / "i.tif", Image.of(VALUES, spacing=(0.5, 0.5), unit="µm"))
    np.save(tmp_path / "f.npy", VALUES + 0.5)
    return tmp_path / "l.tif", tmp_path / "i.tif"


@pytest.fixture
def many(tmp_path):
    for name, objects in (("a", OBJECTS), ("=b", OBJECTS > 9), ("c", OBJECTS * 2)):
        write_labels(tmp_path / "labels" / f"{name}.tif", Image.of(objects))
        write_image(tmp_path / "images" / f"{name}.tif", Image.of(VALUES))
    return tmp_path / "labels", tmp_path / "images"


def test_labels_alone(one, tmp_path, capsys):
    assert run("measure", one[0], "-o", tmp_path / "t.csv") == 0
    rows = read(tmp_path / "t.csv")
    assert [row["label"] for row in rows] == ["3", "8"]
    assert [row["area_px2"] for row in rows] == ["20.0", "10.0"]
    assert "perimeter_px" in rows[0]
    assert not {"image", "mean", "solidity", "t"} & set(rows[0])
    assert "2 objects, median area_px2 15" in capsys.readouterr().out


def test_the_image_gives_intensities_and_the_pixel_size(one, tmp_path):
    words = ("--hull", "--skeleton", "--median", "--no-outline")
    assert run("measure", *one, "-o", tmp_path / "t.tsv", *words) == 0
    first = read(tmp_path / "t.tsv", "\t")[0]
    assert float(first["area_um2"]) == 5
    assert float(first["mean"]) == float(first["median"]) == VALUES[2:6, 3:8].mean()
    assert {"solidity", "feret_max_um", "skeleton_length_um", "branches"} <= set(first)
    assert "perimeter_um" not in first


def test_several_become_one_table(many, tmp_path):
    places = ("--rois", tmp_path / "rois", "--geojson", tmp_path / "maps")
    assert run("measure", *many, "-o", tmp_path / "t.csv", *places) == 0
    rows = read(tmp_path / "t.csv")
    assert [(row["image"], row["label"]) for row in rows] == [
        ("a", "3"),
        ("a", "8"),
        ("c", "6"),
        ("c", "16"),
    ]
    assert sorted(path.name for path in (tmp_path / "rois").iterdir()) == ["a.zip", "c.zip"]
    assert [roi.name for roi in roifile.roiread(tmp_path / "rois" / "c.zip")] == [
        "000006",
        "000016",
    ]
    features = json.loads((tmp_path / "maps" / "a.geojson").read_text())["features"]
    assert [f["properties"]["measurements"]["area_px2"] for f in features] == [20, 10]
    assert json.loads((tmp_path / "maps" / "=b.geojson").read_text())["features"] == []


def test_a_name_is_no_formula(many, tmp_path):
    write_labels(many[0] / "=b.tif", Image.of(OBJECTS))
    assert run("measure", many[0], "-o", tmp_path / "t.csv") == 0
    assert [row["image"] for row in read(tmp_path / "t.csv")][:2] == ["'=b", "'=b"]


def test_masks_are_noted(tmp_path, capsys):
    write_labels(tmp_path / "m.tif", Image.of(OBJECTS > 0))
    assert run("measure", tmp_path / "m.tif", "-o", tmp_path / "t.csv") == 0
    assert "label their objects first" in capsys.readouterr().err


def test_one_that_fails_leaves_the_others(many, tmp_path, capsys):
    write_image(many[1] / "a.tif", Image.of(VALUES[:10]))
    assert run("measure", *many, "-o", tmp_path / "t.csv") == 2
    assert {row["image"] for row in read(tmp_path / "t.csv")} == {"c"}
    assert "do not fit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nowhere", "-o", "t.csv"), "no file or folder"),
        (("l.tif", "-o", "t.xlsx"), ".csv or .tsv"),
        (("f.npy", "-o", "t.csv"), "labels are whole numbers"),
        (("l.tif", "l.tif", "-o", "t.csv"), "both the labels and the images"),
        (("l.tif", "-o", "t.csv", "--rois", "a.roi"), ".zip"),
        (("l.tif", "-o", "t.csv", "--geojson", "a.txt"), ".geojson"),
        (("*.tif", "-o", "t.csv", "--rois", "a.zip"), "folder"),
        (("l.tif", "-o", "t.csv", "--spurs", "-1"), "--spurs"),
        (("l.tif",), "out"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(one, tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    assert run("measure", *words) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "t.csv").exists()


def test_spurs_ask_for_the_skeleton(one, tmp_path):
    assert run("measure", one[0], "-o", tmp_path / "t.csv", "--spurs", "2") == 0
    assert "skeleton_length_px" in read(tmp_path / "t.csv")[0]


def test_tracks_of_a_movie_go_into_files_and_a_table(tmp_path, capsys):
    pytest.importorskip("laptrack")
    grey = np.full((3, 40, 40), 10, np.uint8)
    grey[0, 10:20, 5:15] = grey[1, 10:20, 17:27] = 200
    grey[2, 7:13, 18:26] = grey[2, 17:23, 18:26] = 200
    write_image(tmp_path / "m.tif", Image(grey, "TYX"))
    ids = tmp_path / "ids.tif"
    assert run("threshold", tmp_path / "m.tif", "-o", ids, "--as", "objects", "--link", "time") == 0
    assert (tmp_path / "ids_tracks.txt").read_text() == "1 0 1 0\n2 2 2 1\n3 2 2 1\n"
    words = ("measure", ids, "-o", tmp_path / "t.csv", "--tracks")
    assert run(*words, tmp_path / "k.csv") == 0
    assert [row["parent"] for row in read(tmp_path / "t.csv")] == ["0", "0", "1", "1"]
    first, *_ = read(tmp_path / "k.csv")
    assert (first["frames"], first["daughters"], first["path_px"]) == ("2", "2", "12.0")
    assert "3 tracks" in capsys.readouterr().out
    assert run(*words, tmp_path / "t.csv") == 2
    (tmp_path / "ids_tracks.txt").unlink()
    assert run(*words, tmp_path / "k.csv") == 2
    assert "not linked over time" in capsys.readouterr().err

    (tmp_path / "r.yaml").write_text(
        "format: napari-unetseg recipe\nversion: 2\nthreshold: {result: objects, link: time}\n"
        "measurement: {}\n"
    )
    assert run("run", tmp_path / "r.yaml", tmp_path / "m.tif", "-o", tmp_path / "out") == 0
    assert (tmp_path / "out/labels/m_tracks.txt").read_text().startswith("1 0 1 0\n")
    assert len(read(tmp_path / "out/tracks/m.csv")) == 3
