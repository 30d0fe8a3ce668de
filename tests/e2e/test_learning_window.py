"""The upper rungs in a real window: paint, train, predict, correct, save, load."""

import numpy as np

from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.shared.layers import role_of
from napari_unetseg.gui.train.train_dock import TrainWidget
from napari_unetseg.gui.workbench.workbench_dock import WorkbenchWidget

TRAIN, PREDICT = (WorkbenchWidget.rungs.index(tool) for tool in (TrainWidget, PredictWidget))


def choose(box, entry):
    box.setCurrentIndex(box.findData(entry))


def dice(mask, truth):
    return 2 * np.count_nonzero(mask & truth) / (np.count_nonzero(mask) + np.count_nonzero(truth))


def test_without_labels_it_says_what_to_do(hand):
    hand.viewer.add_image(np.zeros((32, 32)))
    hand.turn_to(TRAIN)
    tool = hand.tool(TRAIN)
    hand.click(tool.run_button)
    assert "Labels layer" in tool.message.text()
    assert not tool.running


def test_an_empty_annotation_says_what_to_do(hand):
    hand.viewer.add_image(np.zeros((32, 32)))
    hand.viewer.add_labels(np.zeros((32, 32), np.uint8))
    hand.turn_to(TRAIN)
    tool = hand.tool(TRAIN)
    hand.run(tool)
    assert "Paint" in tool.message.text() or "paint" in tool.message.text()
    assert not hand.tool(PREDICT).session.models


def test_paint_train_predict_correct_and_train_on(hand, nuclei, tmp_path):
    hand.turn_to(TRAIN)
    train = hand.tool(TRAIN)
    painted = train.labels.layer().data.copy()
    hand.run(train)
    assert "Too little was held out for a score" in train.message.text(), "of a few thin strokes"
    assert np.array_equal(train.labels.layer().data, painted)

    hand.turn_to(PREDICT)
    predict = hand.tool(PREDICT)
    hand.run(predict)
    labels = hand.viewer.layers[-1]
    assert role_of(labels) == "predicted classes"
    assert np.array_equal(labels.scale, nuclei.scale)
    assert dice(labels.data == 2, hand.truth) > 0.8
    assert train.labels.layer().name == "strokes", "a prediction was taken for strokes"

    labels.paint((5, 5), 2)
    corrected = labels.data.copy()
    hand.viewer.layers.selection.active = nuclei
    hand.run(predict)
    assert np.array_equal(labels.data, corrected)

    path = tmp_path / "model.zip"
    predict.files.save(path)
    hand.wait(path.exists)
    hand.wait(lambda: "Saved" in predict.message.text())
    before = hand.viewer.layers[-1].data.copy()
    predict.files.load(path)
    hand.wait(lambda: "Loaded" in predict.message.text())
    assert len(predict.session.models) == 2
    hand.viewer.layers.selection.active = nuclei
    hand.run(predict)
    assert np.array_equal(hand.viewer.layers[-1].data, before)


def test_a_broken_model_file_is_a_sentence(hand, nuclei, tmp_path):
    path = tmp_path / "broken.zip"
    path.write_bytes(b"PK not really")
    hand.turn_to(PREDICT)
    tool = hand.tool(PREDICT)
    tool.files.load(path)
    hand.wait(lambda: "broken.zip" in tool.message.text() and "Reading" not in tool.message.text())
    assert not tool.session.models


def test_a_unet_shows_its_curve_and_stops_when_asked(hand, nuclei):
    hand.turn_to(TRAIN)
    tool = hand.tool(TRAIN)
    choose(tool.rung, "unet")
    tool.specs["unet"].options = tool.specs["unet"].options.model_copy(
        update={"width": 4, "depth": 1}
    )
    tool.form.set(budget=5.0, patch=64, climbing="off")
    hand.click(tool.run_button)
    hand.wait(lambda: tool.curve.n_points > 3, seconds=60)
    hand.click(tool.stop_button)
    hand.wait(lambda: not tool.running, seconds=60)
    assert [model.spec.kind for model in tool.session.models] == ["unet"]


def test_a_cancelled_training_leaves_no_model(hand, nuclei):
    hand.turn_to(TRAIN)
    tool = hand.tool(TRAIN)
    choose(tool.rung, "cnn")
    tool.form.set(budget=5.0, patch=64, climbing="off")
    layers = list(hand.viewer.layers)
    hand.click(tool.run_button)
    hand.wait(lambda: tool.curve.n_points > 1, seconds=60)
    hand.click(tool.cancel_button)
    hand.wait(lambda: not tool.running, seconds=60)
    assert tool.session.models == []
    assert list(hand.viewer.layers) == layers
