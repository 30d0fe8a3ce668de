"""The demo: what it finds, what it writes, what it says, and that it needs no screen."""

import csv
import sys
from types import SimpleNamespace

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_unetseg import demo, demo_climb
from napari_unetseg.cli import main
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.io import read_image, read_labels


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def cases(out):
    return {case.recipe.name: case for case in demo.run_case(out)}


def test_finds_the_objects(cases):
    assert len(cases["cell"].table["label"]) == 1
    assert len(cases["coins"].table["label"]) == 24


def test_taking_out_the_background_helps_where_the_truth_is_known(cases):
    raw, flattened = cases["neurons"].dice
    assert flattened > 0.55
    assert raw < 0.3


@pytest.mark.parametrize("name", ["coins", "neurons"])
def test_the_background_becomes_flat(cases, name):
    fit = cases[name].fit
    assert fit["flatness_after"] < fit["flatness_before"] / 2


@pytest.mark.parametrize("name", [recipe.name for recipe in demo.RECIPES])
def test_writes_what_it_found(cases, out, name):
    case = cases[name]
    np.testing.assert_array_equal(read_image(out / f"{name}.tif").data, case.image.data)
    flattened = read_image(out / f"{name}_flattened.tif")
    np.testing.assert_array_equal(flattened.data, case.flattened.data)
    labels = read_labels(out / f"{name}_labels.tif")
    np.testing.assert_array_equal(labels.data, case.labels.data)
    assert flattened.spacing == labels.spacing == case.image.spacing
    with open(out / f"{name}_objects.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == labels.data.max()
    assert sum(int(row["pixels"]) for row in rows) == np.count_nonzero(labels.data)
    figure = imageio.imread(out / f"{name}.png")
    assert figure.shape[2] == 3
    assert figure.std() > 20


def test_says_in_words_what_came_out_and_what_is_next(cases, out):
    said = "\n".join(demo.report(list(cases.values()), out))
    assert "24 objects" in said
    assert "1 object." in said
    assert f"{cases['neurons'].dice[1]:.3f}" in said
    assert "Next:" in said


def test_without_a_screen_it_says_so(cases, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert "no display" in demo.show(list(cases.values()))


def test_without_napari_it_says_so(cases, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setitem(sys.modules, "napari", None)
    assert "napari-unetseg[all]" in demo.show(list(cases.values()))


def test_with_a_screen_it_shows_every_case(cases, monkeypatch):
    shown = []

    class Viewer:
        def __init__(self, title):
            self.add_image = self.add_labels = lambda data, **options: shown.append(options)

        def reset_view(self):
            shown.append("reset")

    napari = SimpleNamespace(Viewer=Viewer, run=lambda: shown.append("ran"))
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setitem(sys.modules, "napari", napari)
    assert demo.show(list(cases.values())) == "napari was closed."
    layers = shown[:-2]
    assert shown[-2:] == ["reset", "ran"]
    assert [layer["name"] for layer in layers[:3]] == ["cell", "cell flattened", "cell labels"]
    assert len(layers) == 3 * len(cases)
    assert sum(layer["visible"] for layer in layers) == 3


def test_runs_from_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "RECIPES", demo.RECIPES[:1])
    assert main(["demo", "--out", str(tmp_path / "demo"), "--headless", "--minutes", "0"]) == 0
    said = capsys.readouterr()
    assert "Next:" in said.out
    assert said.err == ""
    assert (tmp_path / "demo" / "cell.png").exists()
    assert "neurons, phase contrast: Dice of threshold" in said.out
    assert "they need PyTorch" in said.out
    figure = imageio.imread(tmp_path / "demo" / demo_climb.FIGURE)
    assert figure.std() > 20


def test_networks_beat_thresholds_and_the_figure_shows_all(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    known = {"until": "epochs", "epochs": 2, "steps": 15, "patch": 64, "validation": 0}
    monkeypatch.setattr(demo_climb, "TrainOptions", lambda budget: TrainOptions(**known))
    monkeypatch.setattr(demo_climb, "_SIDE", 160)
    climbs = demo_climb.run_climbs(0.1)
    neurons, nuclei = (list(climb.scores.values()) for climb in climbs)
    assert neurons[0] < neurons[1]
    assert neurons[2] > neurons[0], "a UNet that has learnt a moment beats the raw threshold"
    assert nuclei[3] > 0.9, "a shipped model finds drawn nuclei"
    assert "UNet, 3 s" in "".join(demo_climb.report_climbs(climbs))
    assert imageio.imread(demo_climb.write_climbs(climbs, tmp_path)).std() > 20
