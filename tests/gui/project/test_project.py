"""A viewer's project: saved by itself, opened again as it was."""

import copy
import json

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from napari.layers._layer_actions import _duplicate_layer
from napari.layers._source import layer_source

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import write_image
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.project import ProjectFolder
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.project import autosave
from napari_unetseg.gui.project.autosave import Autosave
from napari_unetseg.gui.project.project_dock import ProjectWidget
from napari_unetseg.gui.project.project_layers import layers_from_contents
from napari_unetseg.gui.project.project_reader import get_project_reader, read_project
from napari_unetseg.gui.shared.layers import find_layer
from napari_unetseg.gui.shared.session import Session


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


def waits(qtbot, keeper):
    qtbot.waitUntil(lambda: not keeper.busy, timeout=20_000)


def model():
    noise = np.random.default_rng(0).random((24, 24)).astype(np.float32)
    labels = (noise > 0.5).astype(np.uint8)
    lesson = TrainingPair(Image.of(noise), labels)
    options = TrainOptions()
    return train(LogisticSpec(sigmas="1"), [lesson], options, name="m", labels_are="mask").model


def filled(viewer, shape=(20, 30)):
    """Return an image layer and a result on it with a stroke."""
    image = viewer.add_image(
        np.random.default_rng(0).random(shape),
        name="cells",
        scale=(0.5, 2),
        rotate=10,
        units=("um", "um"),
        colormap="magma",
    )
    session = Session.of(viewer)
    result, _ = session.show_labels(
        viewer.layers,
        image,
        "mask",
        np.ones(shape, np.uint8),
        name="cells mask",
        options={"method": "otsu"},
    )
    result.paint((5, 5), 3)
    return image, result


def test_a_project_comes_back(qtbot, viewer, tmp_path):
    image, result = filled(viewer)
    Session.of(viewer).add_model(model())
    keeper = Autosave.of(viewer)
    with qtbot.waitSignal(keeper.saved, timeout=20_000):
        keeper.save_as(tmp_path / "p.unetseg")
    waits(qtbot, keeper)
    keeper.set_automatic(False)

    other = ViewerModel()
    opener = Autosave.of(other)
    with qtbot.waitSignal(opener.opened, timeout=20_000) as told:
        opener.open(tmp_path / "p.unetseg")
    waits(qtbot, opener)
    opener.set_automatic(False)
    assert "1 image, 1 label layer, 1 model" in told.args[0]
    again, mask = other.layers
    assert (again.name, mask.name) == ("cells", "cells mask")
    assert np.array_equal(again.data, image.data)
    assert np.array_equal(mask.data, result.data)
    np.testing.assert_allclose(again.extent.world, image.extent.world)
    np.testing.assert_allclose(mask.extent.world, result.extent.world)
    assert again.colormap.name == "magma"
    session = Session.of(other)
    assert np.array_equal(session.locks(mask).pixels().array(), result.data == 3)
    assert find_layer(other.layers, "mask", again) is mask
    assert [one.name for one in session.models] == ["m"]
    # The next run goes around what was drawn before the project was closed.
    new = np.full((20, 30), 2, np.uint8)
    session.show_labels(other.layers, again, "mask", new, name="x", options={})
    assert np.array_equal(mask.data, np.where(result.data == 3, 3, 2))


def test_only_what_changed_is_saved_again(qtbot, viewer, tmp_path):
    _, result = filled(viewer)
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p")
    waits(qtbot, keeper)

    def files():
        return sorted(path.name for path in (tmp_path / "p").rglob("*.tif"))

    first = files()
    keeper.autosave()
    assert not keeper.busy
    result.paint((10, 10), 4)
    keeper.autosave()
    waits(qtbot, keeper)
    second = files()
    assert len(set(first) & set(second)) == 1
    result.undo()
    keeper.autosave()
    waits(qtbot, keeper)
    assert files() != second
    found = keeper.folder.open()
    assert np.array_equal(found.labels[0].labels, result.data)
    assert np.array_equal(found.labels[0].ink.array(), result.data == 3)


def test_an_opened_project_goes_on_in_place(qtbot, viewer, tmp_path):
    filled(viewer)
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p")
    waits(qtbot, keeper)
    keeper.set_automatic(False)
    other = ViewerModel()
    opener = Autosave.of(other)
    opener.open(tmp_path / "p")
    waits(qtbot, opener)
    opener.autosave()
    assert not opener.busy, "nothing has changed"
    other.layers[1].paint((1, 1), 9)
    opener.autosave()
    waits(qtbot, opener)
    assert (opener.folder.open().labels[0].labels == 9).any()


def test_a_stroke_before_the_end_is_saved(qtbot, viewer, tmp_path):
    _, result = filled(viewer)
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p")
    waits(qtbot, keeper)
    result.paint((1, 1), 9)
    keeper.finish()
    assert (keeper.folder.open().labels[0].labels == 9).any()


def test_images_of_files_are_not_copied(qtbot, viewer, tmp_path):
    noise = np.random.default_rng(0).random((9, 8)).astype(np.float32)
    write_image(tmp_path / "a.tif", Image.of(noise))
    with layer_source(path=str(tmp_path / "a.tif")):
        viewer.add_image(noise, name="a")
    viewer.add_image(np.zeros((2, 3, 20, 30)), name="time")
    viewer.add_image(np.zeros((20, 30, 3), np.uint8), name="colour", rgb=True)
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p")
    waits(qtbot, keeper)
    assert len(list((tmp_path / "p" / "images").iterdir())) == 2
    other = ViewerModel()
    Autosave.of(other).open(tmp_path / "p")
    waits(qtbot, Autosave.of(other))
    Autosave.of(other).set_automatic(False)
    assert [layer.data.shape for layer in other.layers] == [(9, 8), (2, 3, 20, 30), (20, 30, 3)]
    assert other.layers[2].rgb
    assert np.array_equal(other.layers[0].data, noise)


def test_what_cannot_be_saved_is_told(qtbot, viewer, tmp_path):
    filled(viewer)
    (tmp_path / "thesis.txt").write_text("x")
    keeper = Autosave.of(viewer)
    with qtbot.waitSignal(keeper.refused, timeout=20_000) as told:
        keeper.save_as(tmp_path)
    assert "other files" in told.args[0]
    waits(qtbot, keeper)


def test_a_gone_viewer_is_no_trouble(qtbot, tmp_path):
    viewer = ViewerModel()
    filled(viewer)
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p")
    waits(qtbot, keeper)
    keeper._ref = lambda: None
    keeper.autosave()
    keeper.finish()
    assert not keeper.automatic


def test_napari_is_offered_projects_only(qtbot, viewer, tmp_path):
    filled(viewer)
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p.unetseg")
    waits(qtbot, keeper)
    keeper.set_automatic(False)
    assert get_project_reader(str(tmp_path)) is None
    assert get_project_reader([str(tmp_path / "p.unetseg")]) is None
    assert get_project_reader(str(tmp_path / "p.unetseg")) is read_project
    layers = read_project(str(tmp_path / "p.unetseg"))
    assert [kind for _, _, kind in layers] == ["image", "labels"]
    assert isinstance(ImageLayer(layers[0][0], **layers[0][1]), ImageLayer)


def test_a_save_that_fails_is_tried_again_and_asked_about_at_the_end(qtbot, viewer, tmp_path):
    _, result = filled(viewer)
    keeper = Autosave.of(viewer)
    path = tmp_path / "p"
    keeper.save_as(path)
    waits(qtbot, keeper)
    refused, asked = [], []
    keeper.refused.connect(refused.append)
    result.paint((1, 1), 9)
    (path / "labels").rename(tmp_path / "away")
    (path / "labels").write_text("")
    for times in (1, 2):
        keeper.autosave()
        waits(qtbot, keeper)
        assert len(refused) == times
    assert keeper.problem == refused[-1]

    def mended(_, title, question):
        asked.append(question)
        (path / "labels").unlink()
        (tmp_path / "away").rename(path / "labels")
        return True

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(autosave, "ask", mended)
        keeper.finish()
        keeper.finish()
    assert len(asked) == 1
    assert "not saved" in asked[0]
    assert (keeper.folder.open().labels[0].labels == 9).any()


@pytest.mark.parametrize("answer", [True, False])
def test_changes_that_are_not_saved_automatically_are_asked_about(
    qtbot, viewer, tmp_path, monkeypatch, answer
):
    _, result = filled(viewer)
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p")
    waits(qtbot, keeper)
    keeper.set_automatic(False)
    result.paint((1, 1), 9)
    monkeypatch.setattr(autosave, "ask", lambda *words: answer)
    keeper.finish()
    assert (keeper.folder.open().labels[0].labels == 9).any() == answer


def test_a_mended_failure_is_no_longer_told(qtbot, viewer, tmp_path):
    _, result = filled(viewer)
    dock = ProjectWidget(viewer)
    qtbot.addWidget(dock)
    dock.save_as(tmp_path / "p")
    waits(qtbot, dock.keeper)
    (tmp_path / "p" / "labels").rename(tmp_path / "away")
    (tmp_path / "p" / "labels").write_text("")
    result.paint((1, 1), 9)
    dock.keeper.autosave()
    waits(qtbot, dock.keeper)
    later = ProjectWidget(viewer)
    qtbot.addWidget(later)
    assert later.message.text() == dock.keeper.problem != ""
    (tmp_path / "p" / "labels").unlink()
    dock.keeper.autosave()
    waits(qtbot, dock.keeper)
    assert dock.keeper.problem == ""
    assert later.message.text().startswith("Saved")
    dock.close_tool()
    later.close_tool()


def opened(qtbot, path):
    """Return a new viewer with a project, and the sentence about it."""
    viewer = ViewerModel()
    keeper = Autosave.of(viewer)
    with qtbot.waitSignal(keeper.opened, timeout=20_000) as told:
        keeper.open(path)
    waits(qtbot, keeper)
    keeper.set_automatic(False)
    return viewer, told.args[0]


def test_a_long_table_comes_back_with_its_types(qtbot, viewer, tmp_path):
    _, result = filled(viewer)
    n = 20_001
    table = pd.DataFrame(
        {
            "index": np.arange(n),
            "area": np.random.default_rng(0).random(n).astype(np.float32),
            "name": ["a", None, "c"] * (n // 3),
            "count": pd.array([1, None, 3] * (n // 3), "Int64"),
            "kind": pd.Categorical(["x", "y", "x"] * (n // 3)),
        }
    )
    result.features = table
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p")
    waits(qtbot, keeper)
    assert (tmp_path / "p" / "project.json").stat().st_size < 10_000
    result.features = table.assign(area=0.5)
    keeper.autosave()  # a new table alone is a change
    waits(qtbot, keeper)
    keeper.set_automatic(False)
    again, said = opened(qtbot, tmp_path / "p")
    assert said.endswith("model" + "s.")
    pd.testing.assert_frame_equal(again.layers[1].features, table.assign(area=0.5))
    Autosave.of(again).save()
    waits(qtbot, Autosave.of(again))
    (file,) = (tmp_path / "p" / "tables").iterdir()
    assert file.name.endswith("-2.csv"), "it has not changed"


PLACES = {
    "units": [["+", "+"], ["", ""], ["um"], [7, 8], "um", {"um": 1}],
    "scale": [[1e308, 1e308], [float("nan"), 1], ["x", "y"], [1], [0, 0], [10**400, 1], {}],
    "affine": [[[1]], "x", [[float("inf")] * 3] * 3],
    "rotate": [[1, 2, 3], "x", {}, 10**400],
    "opacity": [5, "x", None, []],
    "blending": ["x", 3, None],
    "order": ["x", None, []],
}


def test_a_damaged_position_is_told_and_the_layer_is_shown(qtbot, viewer, tmp_path):
    filled(viewer)
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p")
    waits(qtbot, keeper)
    keeper.set_automatic(False)
    whole, n_told = json.loads((tmp_path / "p" / "project.json").read_text()), 0
    for name, odd in ((name, odd) for name, oddities in PLACES.items() for odd in oddities):
        content = copy.deepcopy(whole)
        content["labels"][0]["place"][name] = odd
        (tmp_path / "p" / "project.json").write_text(json.dumps(content))
        found = ProjectFolder(tmp_path / "p").open()
        layers, problems = layers_from_contents(found)
        ViewerModel().layers.extend(layers)
        assert len(layers) == 2
        assert len(problems) <= 1
        assert all(problem.startswith("cells mask ") for problem in problems), problems
        n_told += len(problems)
    assert n_told > 15


@pytest.mark.parametrize("answer", [True, False])
def test_a_window_that_came_second_saves_beside(qtbot, viewer, tmp_path, monkeypatch, answer):
    _, result = filled(viewer)
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p.unetseg")
    waits(qtbot, keeper)
    keeper.set_automatic(False)
    other, _ = opened(qtbot, tmp_path / "p.unetseg")
    result.paint((1, 1), 9)
    keeper.save()
    waits(qtbot, keeper)
    second = Autosave.of(other)
    other.layers[1].paint((15, 20), 8)
    second.save()
    waits(qtbot, second)
    assert "another window" in second.problem
    asked = []
    monkeypatch.setattr(autosave, "ask", lambda *words: asked.append(words[-1]) or answer)
    second.set_automatic(True)
    second.finish()
    second.set_automatic(False)
    assert "p-2.unetseg" in asked[0]
    assert (keeper.folder.open().labels[0].labels == 9).any()
    beside = tmp_path / "p-2.unetseg"
    assert beside.exists() == answer
    if answer:
        assert (ProjectFolder(beside).open().labels[0].labels == 8).any()


def test_a_duplicate_and_its_original_are_saved_each(qtbot, viewer, tmp_path):
    filled(viewer)
    keeper = Autosave.of(viewer)
    keeper.save_as(tmp_path / "p")
    waits(qtbot, keeper)
    keeper.set_automatic(False)
    other = ViewerModel()
    opener = Autosave.of(other)
    opener.open(tmp_path / "p")
    waits(qtbot, opener)
    original = other.layers[1]
    other.layers.selection = {original}
    _duplicate_layer(other.layers)
    duplicate = next(one for one in other.layers[1:] if one is not original)
    original.paint((10, 10), 7)
    duplicate.paint((15, 20), 9)
    # The same project once more in the same window: six layers, of six keys.
    opener.open(tmp_path / "p")
    waits(qtbot, opener)
    opener.save()
    waits(qtbot, opener)
    opener.set_automatic(False)
    assert opener.problem == ""
    found = [item.labels for item in opener.folder.open().labels]
    shown = [layer.data for layer in other.layers if isinstance(layer, Labels)]
    assert len(found) == len(shown) == 3
    assert all(map(np.array_equal, found, shown))
