"""`napari-unetseg run`: the same as the single commands, a line for each image, exit statuses."""

import numpy as np
import pytest

from napari_unetseg.cli import main
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_labels, write_image
from napari_unetseg.core.samples import nuclei

RECIPE = """\
format: napari-unetseg recipe
version: 3
background: {terms: quadratic}
threshold: {method: li, result: objects, min_size: 12, fill_holes: true}
measurement: {outline: false}
"""


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture
def place(tmp_path):
    for seed in range(2):
        write_image(tmp_path / "in" / f"n{seed}.tif", nuclei((128, 136), seed=seed).as_image())
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def test_the_same_as_the_single_commands(place, capsys):
    images, recipe = place / "in", place / "recipe.yaml"
    assert run("run", recipe, images, "-o", place / "out") == 0
    said = capsys.readouterr()
    assert "n0: done, " in said.out
    assert "2 of 2 images done; " in said.out
    assert said.err == ""
    assert run("background", images, "-o", place / "flat", "--terms", "quadratic") == 0
    words = ("--method", "li", "--as", "objects", "--min-size", 12, "--fill-holes")
    assert run("threshold", place / "flat", "-o", place / "labels", *words) == 0
    words = ("-o", place / "table.csv", "--no-outline")
    assert run("measure", place / "labels", images, *words) == 0
    for name in ("n0.tif", "n1.tif"):
        mine, other = (read_labels(place / p / name) for p in ("out/labels", "labels"))
        np.testing.assert_array_equal(mine.data, other.data)
        assert mine.data.max() > 1
        assert mine.spacing == other.spacing
    assert (place / "out" / "measurements.csv").read_bytes() == (place / "table.csv").read_bytes()


def test_one_that_fails_is_reported_and_the_others_are_done(place, capsys):
    (place / "in" / "bad.png").write_bytes(b"")
    assert run("run", place / "recipe.yaml", place / "in", "-o", place / "out") == 2
    said = capsys.readouterr()
    assert "n1: done, " in said.out
    assert "bad.png: the file is empty" in said.err
    assert "2 of 3 images done, 1 failed" in said.err
    (place / "in" / "bad.png").unlink()
    words = ("-o", place / "out", "--resume")
    assert run("run", place / "recipe.yaml", place / "in", *words) == 0
    assert "n0: kept, " in capsys.readouterr().out


def test_what_is_wrong_is_one_line(place, capsys):
    assert run("run", place / "no.yaml", place / "in", "-o", place / "out") == 2
    assert "no.yaml cannot be read" in capsys.readouterr().err
    (place / "recipe.yaml").write_text(RECIPE.replace("min_size: 12", "min_siz: 12"))
    assert run("run", place / "recipe.yaml", place / "in", "-o", place / "out") == 2
    said = capsys.readouterr().err
    assert "Line 4: threshold has no option 'min_siz'. Did you mean min_size?" in said
    assert said.count("\n") == 1
    assert not (place / "out").exists()


def test_flattened_images_are_kept_or_said_to_be_none(place, capsys):
    words = ("-o", place / "out", "--flattened")
    assert run("run", place / "recipe.yaml", place / "in", *words) == 0
    assert (place / "out" / "flattened" / "n0.tif").is_file()
    (place / "recipe.yaml").write_text(RECIPE.replace("background: {terms: quadratic}\n", ""))
    assert run("run", place / "recipe.yaml", place / "in", *words) == 0
    assert "--flattened has no effect" in capsys.readouterr().err


def test_a_background_that_may_be_wrong_is_noted_for_each_image(tmp_path, capsys):
    rng = np.random.default_rng(3)
    data = rng.normal(160, 2, (128, 128))
    data -= 60 * np.kron(np.indices((16, 16)).sum(0) % 16 == 0, np.ones((8, 8)))
    write_image(tmp_path / "in" / "full.tif", Image.of(data.astype(np.float32)))
    (tmp_path / "recipe.yaml").write_text(
        "format: napari-unetseg recipe\nversion: 3\nbackground: {terms: plane, robust: bright}\n"
    )
    common = ("run", tmp_path / "recipe.yaml", tmp_path / "in", "-o")
    for words in (("a",), ("a", "--resume"), ("b", "--memory", 1)):
        assert run(*common, tmp_path / words[0], *words[1:]) == 0
        said = capsys.readouterr().err
        assert "full.tif: The background may be wrong: it does not follow" in said
        assert "may be wrong" in (tmp_path / words[0] / "images.csv").read_text()
