"""The commands of the ladder: train, predict, evaluate and info on files."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_unetseg.cli import main
from napari_unetseg.cli.set_options import parse_minutes
from napari_unetseg.cli.watch_training import TrainingWatcher
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_step import TrainingStep
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, read_labels, write_image, write_labels
from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.core.models_io.native import load
from napari_unetseg.core.samples import neurons
from napari_unetseg.core.scoring.pixel_scores import scores

QUICK = ("--model", "unet", "--epochs", 1, "--set", "width=4", "--set", "depth=1")
QUICK += ("--set", "steps=3", "--set", "patch=32")


def run(*words):
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three images, their masks as 0 and 255, strokes on one of them, and a colour picture."""
    place = tmp_path_factory.mktemp("data")
    for seed, name in enumerate(("a", "b", "c")):
        sample = neurons((96, 96), seed=seed)
        write_image(place / "images" / f"{name}.tif", sample.as_image())
        mask = Image.of(np.where(sample.mask, 255, 0).astype(np.uint8))
        write_labels(place / "masks" / f"{name}.png", mask)
    strokes = np.zeros((96, 96), np.uint8)
    strokes[::4] = np.where(sample.mask[::4], 2, 1)
    write_labels(place / "strokes" / "c.tif", Image.of(strokes))
    grey = (sample.image / sample.image.max() * 255).astype(np.uint8)
    write_image(place / "colour" / "a.png", Image.of(np.stack([grey] * 3, -1)))
    return place


@pytest.fixture(scope="module")
def logistic(data):
    path = data / "models" / "logistic.zip"
    words = ("--model", "logistic", "--labels-are", "mask", "--set", "sigmas=1, 3")
    assert run("train", data / "images", data / "masks", "-o", path, *words) == 0
    return path


@pytest.fixture(scope="module")
def unet(data):
    path = data / "models" / "unet.zip"
    words = (*QUICK, "--labels-are", "mask")
    assert run("train", data / "images", data / "masks", "-o", path, *words) == 0
    return path


@pytest.fixture
def refused(tmp_path, capsys):
    """Check that a command ends with status 2, one line, and nothing written."""

    def check(*words):
        assert run(*words) == 2
        said = capsys.readouterr()
        assert said.err.count("error: ") == 1
        assert said.err.splitlines()[-1].startswith("error: ")
        assert not list(tmp_path.iterdir())
        return said.err

    return check


class TestInputs:
    """Labels and names as people have them, from the file to the sentence."""

    def test_pairs_are_listed_and_nothing_is_done(self, data, tmp_path, capsys):
        for name in "abc":
            shutil.copy(data / "images" / f"{name}.tif", tmp_path / f"{name}.tif")
            shutil.copy(data / "masks" / f"{name}.png", tmp_path / f"{name}_masks.png")
        before = sorted(tmp_path.iterdir())
        commands = [
            ("train", tmp_path, tmp_path, "-o", tmp_path / "m.zip"),
            ("compare", tmp_path, tmp_path),
            ("evaluate", tmp_path / "*.tif", tmp_path / "*.png"),
            ("measure", tmp_path / "*.png", tmp_path / "*.tif", "-o", tmp_path / "t.csv"),
        ]
        for words in commands:
            assert run(*words, "--pairs") == 0
            said = capsys.readouterr()
            lines = said.out.splitlines()
            assert len(lines) == 4
            assert "a.tif" in lines[0]
            assert "a_masks.png" in lines[0]
            assert "without the ending _masks" in said.err
        assert sorted(tmp_path.iterdir()) == before

    def test_what_is_left_out_is_named_and_the_rest_is_learnt(self, data, tmp_path, capsys):
        image = read_image(data / "images" / "a.tif").asarray().astype(np.float32)
        image[:20] = np.nan
        mask = (read_labels(data / "masks" / "a.png").asarray() > 0).astype(np.int16)
        mask[:, :20] = -1
        write_image(tmp_path / "a.tif", Image.of(image))
        write_image(tmp_path / "l.tif", Image.of(mask))
        words = ("--model", "logistic", "--labels-are", "mask", "-o", tmp_path / "m.zip")
        assert run("train", tmp_path / "a.tif", tmp_path / "l.tif", *words) == 0
        said = capsys.readouterr()
        assert "a.tif has 1920 pixels that are NaN" in said.err
        assert "l.tif has 1920 pixels below 0" in said.err
        assert re.search(r"Dice 0\.[89]|Dice 1", said.out)

    def test_alpha_is_not_learnt(self, data, tmp_path):
        grey = read_image(data / "colour" / "a.png").asarray()[..., 0]
        full = np.full_like(grey, 255)
        write_labels(tmp_path / "l.tif", Image.of((grey > grey.mean()).astype(np.uint8)))
        imageio.imwrite(tmp_path / "rgba.png", np.stack([grey, grey // 2, grey, full], -1))
        imageio.imwrite(tmp_path / "rgb.png", np.stack([grey, grey // 2, grey], -1))
        words = ("--model", "logistic", "--labels-are", "mask", "-o", tmp_path / "m.zip")
        assert run("train", tmp_path / "rgba.png", tmp_path / "l.tif", *words) == 0
        assert load(tmp_path / "m.zip").n_channels == 3
        assert (
            run("predict", tmp_path / "m.zip", tmp_path / "rgb.png", "-o", tmp_path / "o.tif") == 0
        )

    def test_labels_of_one_plane_are_refused_for_a_stack(self, data, tmp_path, capsys):
        write_image(tmp_path / "s.tif", Image.of(np.zeros((3, 96, 96), np.uint8)))
        words = ("--model", "logistic", "-o", tmp_path / "m.zip")
        assert run("train", tmp_path / "s.tif", data / "strokes" / "c.tif", *words) == 2
        assert "not clear which plane" in capsys.readouterr().err

    def test_evaluate_and_measure_leave_out_what_is_below_0(self, tmp_path, capsys):
        true = np.zeros((20, 20), np.int16)
        true[2:8, 2:8], true[10:16, 2:8], true[:, 14:] = 1, 2, -1
        found = np.maximum(true, 0)
        found[3:9, 15:19] = 7
        write_image(tmp_path / "true.tif", Image.of(true))
        write_labels(tmp_path / "found.tif", Image.of(found))
        assert run("evaluate", tmp_path / "found.tif", tmp_path / "true.tif", "--objects") == 0
        said = capsys.readouterr()
        assert "2 matched, 0 missed, 0 false positive" in said.out
        assert "true.tif has 120 pixels below 0" in said.err
        assert run("evaluate", tmp_path / "found.tif", tmp_path / "true.tif") == 0
        assert "Dice 1.000" in capsys.readouterr().out
        assert run("measure", tmp_path / "true.tif", "-o", tmp_path / "t.csv") == 0
        said = capsys.readouterr()
        assert "2 objects" in said.out
        assert "below 0" in said.err


class TestTrainPredictEvaluate:
    def test_a_mask_from_images_to_a_score(self, data, logistic, tmp_path, capsys):
        out, table = tmp_path / "out", tmp_path / "scores.json"
        assert run("predict", logistic, data / "images", "-o", out) == 0
        assert sorted(os.listdir(out)) == ["a.tif", "b.tif", "c.tif"]
        found = read_labels(out / "a.tif")
        assert set(np.unique(found.data)) == {0, 1}
        assert found.spacing == read_image(data / "images" / "a.tif").spacing
        capsys.readouterr()
        assert run("evaluate", out, data / "masks", "--json", table) == 0
        said = capsys.readouterr().out
        content = json.loads(table.read_text())
        expected = {
            name: asdict(
                scores(
                    read_labels(out / f"{name}.tif").data,
                    read_labels(data / f"masks/{name}.png").data,
                )
            )
            for name in "abc"
        }
        assert content["images"] == expected
        assert content["mean"]["dice"] == pytest.approx(
            np.mean([one["dice"] for one in expected.values()])
        )
        assert content["mean"]["dice"] > 0.6
        assert f"mean of 3 images: Dice {content['mean']['dice']:.3f}" in said

    def test_says_what_came_out_and_what_to_do_next(self, data, tmp_path, capsys):
        out = tmp_path / "m.zip"
        words = ("--model", "logistic", "--labels-are", "mask", "--set", "sigmas=1")
        assert run("train", data / "images/a.tif", data / "masks/a.png", "-o", out, *words) == 0
        said = capsys.readouterr()
        assert "Dice 0." in said.out
        assert f"Next: napari-unetseg predict {out}" in said.out
        assert said.err == ""

    def test_strokes_give_classes_from_1(self, data, tmp_path, capsys):
        model, out = tmp_path / "m.zip", tmp_path / "out"
        words = ("--model", "softmax", "--set", "sigmas=1, 3")
        assert run("train", data / "images", data / "strokes", "-o", model, *words) == 0
        assert "Skipped" in (said := capsys.readouterr().err)
        assert "a.tif, b.tif" in said
        assert run("predict", model, data / "images/a.tif", "-o", out) == 0
        assert set(np.unique(read_labels(out / "a.tif").data)) == {1, 2}
        assert run("evaluate", out, data / "masks", "--json", tmp_path / "s.json") == 0
        said = capsys.readouterr()
        assert "2 is compared" in said.err
        auto = json.loads((tmp_path / "s.json").read_text())
        assert auto["mean"]["dice"] > 0.5
        words = ("--foreground", 1, "--json", tmp_path / "s.json")
        assert run("evaluate", out, data / "masks", *words) == 0
        assert json.loads((tmp_path / "s.json").read_text())["mean"]["dice"] < 0.5

    def test_probabilities_tiles_and_flips(self, data, unet, tmp_path):
        words = ("--what", "probabilities", "--device", "cpu")
        image = data / "images/a.tif"
        assert run("predict", unet, image, "-o", tmp_path / "whole.tif", *words) == 0
        assert run("predict", unet, image, "-o", tmp_path / "tiled.tif", *words, "--tile", 48) == 0
        assert run("predict", unet, image, "-o", tmp_path / "flips.tif", *words, "--flips") == 0
        whole, tiled, flips = (
            read_image(tmp_path / f"{n}.tif") for n in ("whole", "tiled", "flips")
        )
        assert (whole.axes, whole.dtype) == ("CYX", np.float32)
        np.testing.assert_allclose(whole.data.sum(0), 1, atol=1e-5)
        np.testing.assert_allclose(tiled.data, whole.data, atol=1e-4)
        assert not np.array_equal(flips.data, whole.data)

    def test_sees_the_features_of_a_unet(self, data, unet, tmp_path, capsys):
        out, more, bare = tmp_path / "eyes.zip", tmp_path / "more.zip", tmp_path / "bare.zip"
        pairs = (data / "images", data / "masks", "--labels-are", "mask")
        words = ("--model", "logistic", "--features-from", unet)
        assert run("train", *pairs, "-o", out, *words) == 0
        model = load(out)
        assert model.features_from.fingerprint == load(unet).fingerprint
        assert (model.spec.features, model.normalisation) == ("both", load(unet).normalisation)
        assert run("train", *pairs, "-o", more, "--from", out) == 0
        assert load(more).features_from.fingerprint == load(unet).fingerprint
        assert run("train", *pairs, "-o", bare, *words, "--set", "features=network") == 0
        assert load(bare).spec.features == "network"
        capsys.readouterr()
        assert run("info", out) == 0
        assert load(unet).fingerprint in capsys.readouterr().out.replace("\n", "")
        assert run("predict", out, data / "images", "-o", tmp_path / "found") == 0
        assert len(list((tmp_path / "found").iterdir())) == 3

    def test_features_that_do_not_fit_are_refused(self, data, unet, logistic, tmp_path, refused):
        words = ("-o", tmp_path / "m.zip", "--labels-are", "mask", "--model", "logistic")
        pairs, eyes = (data / "images", data / "masks"), ("--features-from", unet)
        said = refused("train", data / "colour", data / "masks", *words, *eyes)
        assert "images have 3" in said
        assert "only a UNet" in refused("train", *pairs, *words, "--features-from", logistic)
        setting = ("--set", "features=bank")
        assert "does not use it" in refused("train", *pairs, *words, *eyes, *setting)
        assert "none is given" in refused("train", *pairs, *words, "--set", "features=network")
        setting = ("--set", "method=mean-std")
        assert "another normalisation" in refused("train", *pairs, *words, *eyes, *setting)
        unet_words = ("-o", tmp_path / "m.zip", "--labels-are", "mask")
        assert "its own features" in refused("train", *pairs, *unet_words, *eyes)

    def test_a_model_can_be_continued_with_another_scaling(self, data, logistic, tmp_path):
        out, back = tmp_path / "more.zip", tmp_path / "back.zip"
        words = (data / "images", data / "masks", "--labels-are", "mask")
        way = ("--from", logistic, "--set", "method=mean-std")
        assert run("train", *words, "-o", out, *way) == 0
        assert load(out).normalisation.method == "mean-std"
        assert run("train", *words, "-o", back, "--from", logistic, "--set", "low=2") == 0
        assert load(back).normalisation == load(logistic).normalisation.model_copy(
            update={"low": 2.0}
        )

    def test_pretrains_on_images_without_labels(self, data, tmp_path, capsys):
        out = tmp_path / "before.zip"
        words = ("--labels-are", "mask", *QUICK, "--set", "pretrain_task=denoise")
        words += ("--set", "pretrain_steps=2")
        pairs = (data / "images" / "a.tif", data / "masks" / "a.png", "-o", out)
        assert run("train", *pairs, *words, "--pretrain", data / "images") == 0
        said = capsys.readouterr().out
        assert "Pretrained on 3 images without labels" in said
        assert load(out).provenance["pretraining"]["pretrain_task"] == "denoise"
        assert run("train", *pairs, *words) == 2
        assert "Give --pretrain IMAGES" in capsys.readouterr().err

    def test_continues_a_model(self, data, unet, tmp_path):
        out = tmp_path / "more.zip"
        words = ("--epochs", 1, "--set", "steps=2", "--set", "patch=32")
        assert run("train", data / "images", data / "masks", "-o", out, "--from", unet, *words) == 0
        before, after = load(unet), load(out)
        assert after.spec == before.spec
        assert (after.parent, after.classes) == (before.fingerprint, before.classes)
        assert after.labels_are == "mask"

    def test_a_start_is_suggested_unless_nothing_is_asked_for(self, data, tmp_path, capsys):
        for start, note in (("suggested", "no shipped model has these options."), ("nothing", "")):
            words = (*QUICK, "--labels-are", "mask", "-o", tmp_path / f"{start}.zip")
            given = () if start == "suggested" else ("--from", start)
            assert run("train", data / "images", data / "masks", *words, *given) == 0
            said = " ".join(capsys.readouterr().out.split())
            assert ("Started from nothing" in said) == bool(note)
            assert note in said

    def test_settings_reach_the_model_its_training_and_its_scaling(self, data, unet, tmp_path):
        model = load(unet)
        assert (model.spec.width, model.spec.depth) == (4, 1)
        assert model.provenance["options"]["epochs"] == 1
        assert model.provenance["options"]["until"] == "epochs"
        assert len(model.history) == 3
        out = tmp_path / "m.zip"
        words = (*QUICK, "--set", "residual=true", "--set", "learning-rate=0.01", "--seed", 5)
        words += ("--set", "method=mean-std", "--labels-are", "mask", "--validation", 0)
        assert run("train", data / "images", data / "masks", "-o", out, *words) == 0
        model = load(out)
        assert model.spec.residual
        assert model.normalisation.method == "mean-std"
        training = model.provenance["options"]
        assert (training["learning_rate"], training["seed"]) == (0.01, 5)
        assert training["validation"] == 0

    def test_the_same_seed_trains_the_same(self, data, unet, tmp_path):
        out = tmp_path / "again.zip"
        words = (*QUICK, "--labels-are", "mask")
        assert run("train", data / "images", data / "masks", "-o", out, *words) == 0
        assert load(out).fingerprint == load(unet).fingerprint

    def test_colour_and_object_ids(self, data, tmp_path):
        ids = tmp_path / "ids.tif"
        objects = neurons((96, 96), seed=2).objects
        write_labels(ids, Image.of(objects))
        model = tmp_path / "m.zip"
        words = ("--model", "logistic", "--labels-are", "objects", "--set", "sigmas=1, 3")
        assert run("train", data / "colour/a.png", ids, "-o", model, *words) == 0
        assert load(model).n_channels == 3
        assert run("predict", model, data / "colour", "-o", tmp_path / "out") == 0
        assert run("evaluate", tmp_path / "out/a.tif", ids, "--json", tmp_path / "s.json") == 0
        assert json.loads((tmp_path / "s.json").read_text())["mean"]["dice"] > 0.5

    def test_shuffled_labels_teach_nothing(self, data, tmp_path):
        """The negative control: the round trip finds what the labels say, not what it likes."""
        rng = np.random.default_rng(0)
        for name in ("a", "b", "c"):
            mask = rng.permuted(read_labels(data / f"masks/{name}.png").data.ravel())
            write_labels(tmp_path / f"masks/{name}.png", Image.of(mask.reshape(96, 96)))
        model, table = tmp_path / "m.zip", tmp_path / "s.json"
        words = ("--model", "logistic", "--labels-are", "mask", "--set", "sigmas=1, 3")
        assert run("train", data / "images", tmp_path / "masks", "-o", model, *words) == 0
        assert run("predict", model, data / "images", "-o", tmp_path / "out") == 0
        assert run("evaluate", tmp_path / "out", data / "masks", "--json", table) == 0
        assert json.loads(table.read_text())["mean"]["dice"] < 0.5


class TestEvaluate:
    @pytest.fixture
    def maps(self, tmp_path):
        def write(name, said, true):
            write_labels(tmp_path / "said" / f"{name}.tif", Image.of(np.array(said, np.uint8)))
            write_labels(tmp_path / "true" / f"{name}.tif", Image.of(np.array(true, np.uint16)))

        def judge(*words):
            table = tmp_path / "s.json"
            assert (
                run("evaluate", tmp_path / "said", tmp_path / "true", "--json", table, *words) == 0
            )
            return json.loads(table.read_text())

        return write, judge

    def test_classes_one_by_one(self, maps):
        write, judge = maps
        write("a", [[0, 1, 2, 2]], [[0, 1, 1, 2]])
        write("b", [[0, 1, 1, 0]], [[0, 1, 1, 0]])
        found = judge()
        assert found["images"]["a"]["classes"]["1"]["recall"] == 0.5
        assert found["images"]["a"]["dice"] == pytest.approx(2 / 3)
        assert found["images"]["b"]["dice"] == 1
        assert list(found["images"]["b"]["classes"]) == ["1"]
        assert found["mean"]["dice"] == pytest.approx(5 / 6)
        assert found["classes"]["1"]["recall"] == 0.75

    def test_one_foreground_against_ids(self, maps):
        write, judge = maps
        write("a", [[0, 1, 1, 0]], [[0, 7, 300, 0]])
        write("empty", [[0, 0]], [[0, 0]])
        found = judge()
        assert found["mean"] == {"dice": 1, "iou": 1, "precision": 1, "recall": 1}
        assert "classes" not in found

    def test_any_foreground(self, maps):
        write, judge = maps
        write("a", [[0, 1, 2, 0]], [[0, 255, 255, 255]])
        assert judge("--foreground", "any")["mean"]["recall"] == pytest.approx(2 / 3)
        assert judge("--foreground", "1,2")["mean"]["precision"] == 1

    def test_sizes_must_agree(self, maps, tmp_path, capsys):
        write, _ = maps
        write("a", [[0, 1]], [[0, 1, 1]])
        assert run("evaluate", tmp_path / "said", tmp_path / "true") == 2
        assert "(1, 2)" in capsys.readouterr().err

    def test_object_ids_are_not_classes(self, maps, tmp_path, capsys):
        write, judge = maps
        write("a", [range(100)], [range(100)])
        assert run("evaluate", tmp_path / "said", tmp_path / "true") == 2
        assert "--foreground any" in capsys.readouterr().err
        assert judge("--foreground", "any")["mean"]["dice"] == 1


class TestInfo:
    def test_of_a_model(self, unet, capsys):
        assert run("info", unet) == 0
        said = capsys.readouterr().out
        for line in ("model: unet", "  width: 4", "trained on: mask", "  0: background"):
            assert line in said.splitlines()

    def test_of_a_rung_lists_what_set_takes(self, capsys):
        assert run("info", "unet") == 0
        said = capsys.readouterr().out
        for name in (*RUNGS["unet"].spec.model_fields, *TrainOptions.model_fields):
            assert f"  {name}=" in said

    def test_loads_no_torch(self, unet):
        code = (
            f"import sys; from napari_unetseg.cli import main; main(['info', {str(unet)!r}]); "
            "print('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "False", done.stderr


class TestStopping:
    @pytest.fixture
    def interrupting(self, monkeypatch):
        def after(step, times):
            watch, seen = TrainingWatcher.watch, []

            def watched(self, record):
                watch(self, record)
                seen.append(record)
                if len(seen) == step:
                    for _ in range(times):
                        signal.raise_signal(signal.SIGINT)

            monkeypatch.setattr(TrainingWatcher, "watch", watched)
            return seen

        return after

    LONG = ("--set", "epochs=500", "--set", "width=2", "--set", "depth=1", "--set", "patch=32")

    def test_ctrl_c_keeps_the_best(self, data, tmp_path, capsys, interrupting):
        seen, out = interrupting(4, times=1), tmp_path / "m.zip"
        words = (*self.LONG, "--labels-are", "mask")
        before = signal.getsignal(signal.SIGINT)
        assert run("train", data / "images", data / "masks", "-o", out, *words) == 0
        assert signal.getsignal(signal.SIGINT) is before
        assert len(load(out).history) == len(seen) == 4
        assert "the best so far is kept" in capsys.readouterr().err

    def test_twice_abandons(self, data, tmp_path, capsys, interrupting):
        interrupting(4, times=2)
        words = (*self.LONG, "--labels-are", "mask")
        out = tmp_path / "m.zip"
        assert run("train", data / "images", data / "masks", "-o", out, *words) == 130
        assert not out.exists()
        assert "Interrupted" in capsys.readouterr().err

    def test_progress_is_told_in_lines_where_nobody_watches(self, data, tmp_path, capsys):
        words = (*QUICK, "--labels-are", "mask")
        assert run("train", data / "images", data / "masks", "-o", tmp_path / "m.zip", *words) == 0
        said = capsys.readouterr().err
        assert "held-out Dice 0." in said
        assert "loss " in said

    @pytest.mark.parametrize("least", [None, 49, 50])
    def test_no_score_is_shown_where_little_is_held_out(self, least, capsys):
        watcher = TrainingWatcher(lambda fraction, status: None, lines=True)
        watcher.watch(TrainingStep(1, 1, 0.5, 0.1, 0.7, 0.01, 1.0, 0.2, least))
        said = capsys.readouterr().err
        assert ("too little held out for a score" in said) == (least == 49)
        assert ("held-out Dice 1.000" in said) == (least != 49)

    def test_progress_is_a_bar_where_somebody_does(self, data, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        words = (*QUICK, "--labels-are", "mask")
        assert run("train", data / "images", data / "masks", "-o", tmp_path / "m.zip", *words) == 0
        said = capsys.readouterr()
        assert "m.zip: unet, trained in" in said.out
        assert "train unet" in said.err


class TestMistakes:
    def test_no_partners(self, data, tmp_path, refused):
        (data / "others").mkdir(exist_ok=True)
        write_labels(data / "others" / "z.tif", Image.of(np.ones((96, 96), np.uint8)))
        words = ("-o", tmp_path / "m.zip")
        assert "named 'a'" in refused("train", data / "images", data / "others", *words)
        empty = data / "empty"
        empty.mkdir(exist_ok=True)
        assert "no image" in refused("train", empty, data / "masks", *words)
        assert "two folders" in refused("train", data / "masks", data / "masks", *words)

    def test_one_class(self, data, tmp_path, refused):
        words = ("-o", tmp_path / "m.zip", "--model", "logistic")
        said = refused("train", data / "images", data / "masks", *words)
        assert "Only one class" in said
        assert "--labels-are mask" in said

    def test_files_that_do_not_go_together(self, data, tmp_path, refused):
        words = ("-o", tmp_path / "m.zip", "--model", "logistic", "--labels-are", "mask")
        small = data / "small" / "a.tif"
        write_labels(small, Image.of(np.ones((9, 9), np.uint8)))
        assert "(9, 9)" in refused("train", data / "images/a.tif", small, *words)
        colours = data / "small" / "c.png"
        write_image(colours, Image.of(np.eye(96, 288, dtype=np.uint8).reshape(96, 96, 3)))
        assert "colours" in refused("train", data / "images/a.tif", colours, *words)
        mixed = data / "mixed"
        mixed.mkdir(exist_ok=True)
        (mixed / "a.png").write_bytes((data / "colour/a.png").read_bytes())
        (mixed / "b.tif").write_bytes((data / "images/b.tif").read_bytes())
        assert "b.tif has 1 channel(s)" in refused("train", mixed, data / "masks", *words)
        (mixed / "b.png").write_bytes(b"")
        assert "share the name 'b'" in refused("train", mixed, data / "masks", *words)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("--set wdth=8", "Did you mean width?"),
            ("--set nonsense=8", "upsampling"),
            ("--set nonsense=8", "learning_rate"),
            ("--set width", "option and its value"),
            ("--set width=8 --set width=9", "twice"),
            ("--set width=many", "--set width 'many'"),
            ("--set width=0", "greater than or equal to 1"),
            ("--set learning_rate=nan", "--set learning_rate 'nan'"),
            ("--model logistic --set depth=2", "no such option"),
            ("--model resnet", "unet"),
            ("--labels-are boxes", "scribbles, mask, objects"),
            ("--ndim 4", "2, 3"),
            ("--budget soon", "90s"),
            ("--budget 0", "not a training time"),
            ("--budget -3", "not a training time"),
            ("--budget 5m --epochs 3", "not both"),
            ("--epochs 0", "--epochs 0"),
            ("--budget 5m --set budget=3", "set the same option"),
            ("--set epochs=3 --set until=time", "--set until=epochs"),
            ("--validation 2", "--validation 2"),
            ("--seed -1", "--seed -1"),
            ("--device tpu", "--device 'tpu'"),
            ("--from missing.zip", "missing.zip"),
        ],
    )
    def test_words(self, data, tmp_path, refused, words, said):
        line = refused(
            "train", data / "images", data / "masks", "-o", tmp_path / "m.zip", *words.split()
        )
        assert said in line

    def test_places_for_the_model(self, data, tmp_path, refused):
        images = (data / "images", data / "masks")
        assert ".zip" in refused("train", *images, "-o", tmp_path / "m.pt")
        file = data / "images" / "a.tif"
        assert "not a folder" in refused("train", *images, "-o", file / "m.zip")
        (data / "folder.zip").mkdir()
        assert "is a folder" in refused("train", *images, "-o", data / "folder.zip")

    def test_files_that_are_no_models(self, data, logistic, tmp_path, refused):
        image, out = data / "images/a.tif", tmp_path / "out"
        for wrong in (image, data / "none.zip"):
            assert wrong.name in refused("predict", wrong, image, "-o", out)
            assert wrong.name in refused("info", wrong)
        cut = data / "cut.zip"
        cut.write_bytes(logistic.read_bytes()[:2000])
        assert "cut.zip" in refused("predict", cut, image, "-o", out)

    def test_images_the_model_does_not_take(self, data, logistic, tmp_path, refused):
        two = data / "two.tif"
        write_image(two, Image(np.ones((2, 40, 40), np.uint16), "CYX"))
        said = refused("predict", logistic, two, "-o", tmp_path / "out")
        assert "two.tif" in said
        assert "2 channel(s)" in said
        words = ("-o", tmp_path / "m.zip", "--labels-are", "mask", "--from", logistic)
        said = refused("train", data / "colour", data / "masks", *words)
        assert "3 channel(s)" in said

    def test_what_a_model_to_continue_keeps(self, data, unet, tmp_path, refused):
        words = ("-o", tmp_path / "m.zip", "--from", unet)
        images = (data / "images", data / "masks")
        assert "width=4" in refused("train", *images, *words, "--set", "width=8")
        assert "not cnn" in refused("train", *images, *words, "--model", "cnn")

    def test_what_has_no_effect_is_said(self, data, tmp_path, capsys):
        words = ("--model", "logistic", "--labels-are", "mask", "--budget", "5m")
        image = (data / "images/a.tif", data / "masks/a.png")
        assert run("train", *image, "-o", tmp_path / "m.zip", *words) == 0
        assert "does not use budget" in capsys.readouterr().err

    def test_a_missing_device_is_said_aloud(self, data, unet, tmp_path, capsys, monkeypatch):
        import torch

        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        words = ("-o", tmp_path / "out", "--device", "cuda")
        assert run("predict", unet, data / "images/a.tif", *words) == 0
        assert "no graphics processor (CUDA)" in capsys.readouterr().err

    def test_a_model_that_cannot_be_written_is_kept_elsewhere(
        self, data, tmp_path, capsys, monkeypatch
    ):
        from napari_unetseg.cli import training_inputs as command

        out, written = tmp_path / "m.zip", command.save

        def save(model, path):
            if Path(path) == out:
                raise InputError(f"{path} cannot be written: no space left on device.")
            written(model, path)

        monkeypatch.setattr(command, "save", save)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        words = ("--model", "logistic", "--labels-are", "mask", "--set", "sigmas=1")
        image = (data / "images/a.tif", data / "masks/a.png")
        assert run("train", *image, "-o", out, *words) == 2
        said = capsys.readouterr().err
        assert "no space left" in said
        (kept,) = tmp_path.glob("*/m.zip")
        assert str(kept) in said
        assert load(kept).spec.kind == "logistic"


def test_times_in_words():
    words = {"90s": 1.5, "5m": 5, "2": 2, "1h": 60, " .5 min": 0.5, "1.5H": 90, "30 seconds": 0.5}
    assert {word: parse_minutes(word) for word in words} == pytest.approx(words)


def test_every_name_that_set_takes_is_of_one_thing():
    """A name of both would hide the second; the pixel rungs make no use of those two."""
    for kind, rung in RUNGS.items():
        shared = set(rung.spec.model_fields) & set(TrainOptions.model_fields)
        assert shared <= (set() if rung.family == "network" else {"intensity", "balance"}), kind


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (
            "train",
            "-o --model --labels-are --budget --epochs --from --features-from --validation --seed "
            "--device --set",
        ),
        ("predict", "-o --what --tile --device --flips"),
        ("evaluate", "--json"),
        ("info", "MODEL"),
    ],
)
def test_help_has_the_flags_of_the_contract(command, flags, capsys):
    assert run(command, "--help") == 0
    shown = capsys.readouterr().out
    assert all(flag in shown for flag in flags.split())
    if command == "train":
        kinds = get_args(TrainOptions.model_fields["device"].annotation)
        assert "|".join(kinds) in shown


class TestOtherPrograms:
    """Models in and out of other programs."""

    def test_exported_described_and_tested(self, logistic, tmp_path, capsys):
        out = tmp_path / "shared.zip"
        words = ("--licence", "CC-BY-4.0", "--authors", "A. Person", "--weights", "torchscript")
        assert run("export", logistic, "-o", out, *words) == 0
        assert "under CC-BY-4.0, weights as state dict, torchscript" in capsys.readouterr().out
        assert run("info", out, "--test") == 0
        assert "its own test: passed" in capsys.readouterr().out
        assert load(out).card.authors == "A. Person"

    def test_no_licence_no_export(self, logistic, tmp_path, refused):
        assert "licence" in refused("export", logistic, "-o", tmp_path / "shared.zip")
        assert "another name" in refused("export", logistic, "-o", logistic)

    def test_a_failing_test_exits_with_one(self, logistic, tmp_path, monkeypatch, capsys):
        from napari_unetseg.cli import predict_command as predict
        from napari_unetseg.core.models_io.foreign import ModelTestResult

        monkeypatch.setattr(
            predict, "self_test", lambda path, **how: ModelTestResult(False, "off", 1.0)
        )
        assert run("info", logistic, "--test") == 1
        assert "FAILED" in capsys.readouterr().out
