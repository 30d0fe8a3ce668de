"""`compare` on files: the table, the recommendation, and the model that is kept."""

import errno
import json

import numpy as np
import pytest

from napari_unetseg.cli import compare_command as command
from napari_unetseg.cli import main
from napari_unetseg.cli.watch_training import TrainingWatcher
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_labels, write_image, write_labels
from napari_unetseg.core.models_io.native import load
from napari_unetseg.core.progress import StopEarly
from napari_unetseg.core.samples import nuclei
from napari_unetseg.core.training.compare_models import Scoreboard


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two images with their objects and strokes, and labels that mean nothing."""
    place = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for seed, name in enumerate("ab"):
        sample = nuclei((96, 112), seed=seed)
        write_image(place / "images" / f"{name}.tif", sample.as_image())
        write_labels(place / "objects" / f"{name}.tif", Image.of(sample.objects))
        strokes = np.zeros(sample.classes.shape, np.uint8)
        strokes[4::8] = np.where(sample.mask[4::8], 2, 1)
        write_labels(place / "strokes" / f"{name}.tif", Image.of(strokes))
        three = strokes.copy()
        three[:, :20] = np.where(three[:, :20] > 0, 3, 0)
        write_labels(place / "three" / f"{name}.tif", Image.of(three))
        noise = rng.permutation(sample.classes.ravel()).reshape(sample.classes.shape)
        write_labels(place / "noise" / f"{name}.tif", Image.of(noise))
        if name == "b":
            continue
        single = np.where(np.arange(96)[:, None] < 48, 1, 2) * np.ones((96, 112), int)
        write_labels(place / "single" / f"{name}.tif", Image.of(single.astype(np.uint8)))
    return place


def test_the_table_the_sentence_and_the_best(data, tmp_path, capsys):
    best, table = tmp_path / "best.zip", tmp_path / "table.json"
    words = ("--models", "mlp,logistic", "-o", best, "--json", table, "--validation", 0.3)
    assert run("compare", data / "images", data / "strokes", *words) == 0
    said = capsys.readouterr().out.splitlines()
    content = json.loads(table.read_text())
    assert said[0] == "Comparing mlp, logistic on 2 images."
    assert said[1].split() == ["model", "Dice", "IoU", "training", "s/megapixel"]
    for line, row in zip(said[2:4], content["models"], strict=True):
        cells = line.split()
        assert cells[0] == row["asked"] == row["model"]
        assert cells[1:3] == [f"{row['dice']:.3f}", f"{row['iou']:.3f}"]
        assert row["dice"] > 0.9
    assert said[4] == content["recommendation"]
    assert said[4].startswith(f"Use {content['recommended']}: Dice 0.9")
    model = load(best)
    assert model.spec.kind == content["recommended"]
    assert model.scores["dice"] in [row["dice"] for row in content["models"]]
    assert f"Next: napari-unetseg predict {best}" in said[-2]

    assert run("predict", best, data / "images/a.tif", "-o", tmp_path / "a.tif") == 0
    assert set(np.unique(read_labels(tmp_path / "a.tif").data)) == {1, 2}


def test_the_seed_and_the_share_decide_what_is_held_out(data, tmp_path, capsys):
    def held_out(*words):
        table = tmp_path / "t.json"
        given = ("--models", "logistic", "--json", table)
        assert run("compare", data / "images", data / "strokes", *given, *words) == 0
        return json.loads(table.read_text())["held_out_pixels"]

    first = held_out()
    assert held_out("--seed", 0) == first
    assert held_out("--seed", 1) != first
    assert sum(held_out("--validation", 0.5).values()) > sum(first.values())


@pytest.mark.parametrize(("labels", "straight"), [("strokes", "logistic"), ("three", "softmax")])
def test_every_model_that_is_worth_it_by_default(labels, straight, data, capsys, monkeypatch):
    given = {}

    def unhurried(specs, lessons, options, **known):
        given["kinds"], given["options"] = [spec.kind for spec in specs], options
        return Scoreboard((), {})

    monkeypatch.setattr(command, "compare_models", unhurried)
    assert run("compare", data / "images", data / labels, "--device", "cpu") == 0
    assert given["kinds"] == [straight, "mlp", "cnn", "unet"]
    options = given["options"]
    assert (options.until, options.budget, options.device) == ("time", 1.0, "cpu")
    assert "nothing to compare" in capsys.readouterr().out
    assert run("compare", data / "images", data / labels, "--budget", "90s") == 0
    assert given["options"].budget == 1.5
    assert run("compare", data / "images", data / labels, "--epochs", 3) == 0
    assert (given["options"].until, given["options"].epochs) == ("epochs", 3)


def test_a_network_says_what_it_fell_back_on(data, capsys):
    words = ("--models", "softmax,cnn", "--epochs", 1)
    assert run("compare", data / "images/a.tif", data / "three/a.tif", *words) == 0
    said = capsys.readouterr()
    rows = said.out.splitlines()[2:4]
    assert rows[0].startswith("softmax  ")
    assert rows[1].startswith("softmax (cnn fell back on it)")
    assert "Next: run it again with -o" in said.out
    # Nobody watches, so a log is told each row as it is done.
    log = [line for line in said.err.splitlines() if "trained in" in line]
    assert [line.split(":")[0] for line in log] == ["softmax", "softmax (cnn fell back on it)"]


def test_a_model_that_cannot_be_trained_is_a_line(data, tmp_path, capsys):
    best = tmp_path / "best.zip"
    words = ("--models", "logistic,softmax", "-o", best)
    assert run("compare", data / "images", data / "three", *words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[2].startswith("logistic  ")
    assert "two classes" in said[2]
    assert load(best).spec.kind == "softmax"


def test_what_guesses_is_kept_but_not_recommended(data, tmp_path, capsys):
    best = tmp_path / "best.zip"
    words = ("--models", "logistic", "--labels-are", "mask", "-o", best)
    assert run("compare", data / "images", data / "noise", *words) == 0
    said = capsys.readouterr()
    assert "No model does much better than guessing" in said.out
    assert "hardly better than a guess" in said.err
    assert load(best).spec.kind == "logistic"


def test_objects_are_one_class(data, tmp_path):
    best = tmp_path / "best.zip"
    words = ("--models", "logistic", "--labels-are", "objects", "-o", best)
    assert run("compare", data / "images", data / "objects", *words) == 0
    assert load(best).values == (0, 1)


@pytest.mark.parametrize(
    ("labels", "words", "expected"),
    [
        ("strokes", ("--models", "forest"), "--models 'forest': choose one of logistic"),
        ("strokes", ("--models", ","), "--models ','"),
        ("strokes", ("--labels-are", "paint"), "--labels-are 'paint'"),
        ("strokes", ("--budget", "soon"), "--budget 'soon'"),
        ("strokes", ("--budget", "1m", "--epochs", 2), "--budget or --epochs"),
        ("strokes", ("--epochs", 0), "--epochs 0"),
        ("strokes", ("--validation", 0), "validation share is 0"),
        ("strokes", ("--validation", 2), "--validation"),
        ("strokes", ("--ndim", 4), "--ndim 4"),
        ("strokes", ("--ndim", 3), "no Z axis"),
        ("strokes", ("-o", "best.tif"), "must end in .zip"),
        ("single", (), "cannot spare any"),
        ("objects", (), "class"),
        ("nowhere", (), "nowhere"),
    ],
)
def test_what_is_wrong_is_one_line(labels, words, expected, data, capsys):
    given = ("--models", "logistic", *words) if "--models" not in words else words
    assert run("compare", data / "images", data / labels, *given) == 2
    said = capsys.readouterr()
    assert said.err.count("error: ") == 1
    assert expected in said.err.splitlines()[-1]


def test_a_table_that_cannot_be_written_is_refused_before_the_training(data, tmp_path, capsys):
    best, table = tmp_path / "best.zip", tmp_path / "taken"
    table.mkdir()
    words = ("--models", "logistic", "-o", best, "--json", table)
    assert run("compare", data / "images", data / "strokes", *words) == 2
    assert str(table) in capsys.readouterr().err
    assert not best.exists()


def test_a_table_that_fails_at_the_end_costs_no_model(data, tmp_path, capsys, monkeypatch):
    def fail(self):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Scoreboard, "as_json", fail)
    best, table = tmp_path / "best.zip", tmp_path / "table.json"
    words = ("--models", "logistic", "-o", best, "--json", table)
    assert run("compare", data / "images", data / "strokes", *words) == 2
    assert "The disk is full" in capsys.readouterr().err
    assert load(best).spec.kind == "logistic"
    assert not table.exists()


def test_three_classes_and_the_logistic_alone_say_why(data, tmp_path, capsys):
    best = tmp_path / "best.zip"
    words = ("--models", "logistic", "-o", best)
    assert run("compare", data / "images", data / "three", *words) == 2
    assert "No model could be trained. logistic: " in capsys.readouterr().err
    assert not best.exists()


def test_ctrl_c_keeps_rows_once_there_is_one():
    seen = TrainingWatcher(lambda fraction, said: None, lines=False)
    with pytest.raises(KeyboardInterrupt):
        seen.interrupt()
    seen.keep("logistic: Dice 0.9")
    seen.interrupt()
    with pytest.raises(StopEarly):
        seen.progress(0.5, "unet")
    with pytest.raises(KeyboardInterrupt):
        seen.interrupt()
