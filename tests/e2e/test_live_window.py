"""Live mode in a real window: strokes, undo, other planes, layers that go away."""

import numpy as np
import pytest

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.shared.layers import image_of
from napari_unetseg.gui.shared.preview import is_preview

TRAIN = 2


@pytest.fixture
def live(hand):
    """The Train page in live mode over an image with two strokes."""
    sample = samples.nuclei((160, 192), seed=2)
    image = hand.viewer.add_image(sample.image, name="nuclei", scale=(0.5, 0.5))
    labels = hand.viewer.add_labels(
        np.zeros(sample.mask.shape, np.uint8), name="strokes", scale=(0.5, 0.5)
    )
    labels.brush_size = 5
    hand.truth, hand.image, hand.labels = sample.mask, image, labels
    hand.turn_to(TRAIN)
    hand.tool(TRAIN).pick.pick(image)
    return hand


def settle(hand):
    hand.qtbot.wait(60)
    hand.wait(lambda: not hand.tool(TRAIN).live_row.live.busy)


def stroke(hand, value):
    """Paint a few dabs of a class where it is right."""
    places = np.argwhere(hand.truth == (value == 2))
    for y, x in places[:: len(places) // 6]:
        hand.labels.paint((y, x), value)


def shown(hand):
    found = [layer for layer in hand.viewer.layers if is_preview(layer)]
    return found[0].data if found else None


def test_strokes_change_what_is_seen_and_undo_takes_it_back(live):
    tool = live.tool(TRAIN)
    tool.live.setChecked(True)
    settle(live)
    assert "Nothing is annotated" in tool.message.text()
    stroke(live, 1)
    settle(live)
    assert "one class" in tool.message.text()
    stroke(live, 2)
    settle(live)
    first = shown(live)
    assert first.shape == live.truth.shape
    hit = 2 * ((first == 2) & live.truth).sum() / ((first == 2).sum() + live.truth.sum())
    assert hit > 0.6
    live.labels.paint((2, 2), 2)
    settle(live)
    assert not np.array_equal(shown(live), first)
    live.labels.undo()
    settle(live)
    assert (shown(live) == first).mean() > 0.999
    # Painting goes on: the Labels layer is still the one in hand, and was not written to.
    assert live.viewer.layers.selection.active is not None
    assert not is_preview(live.viewer.layers.selection.active)
    assert set(np.unique(live.labels.data)) == {0, 1, 2}
    # What Train keeps is what was seen.
    live.run(tool)
    model = tool.session.models[-1]
    said = predict(model, image_of(live.image)).asarray()
    seen = first[first > 0]
    assert (said[first > 0] == seen).mean() > 0.999


def test_it_ends_with_its_reasons(live):
    tool = live.tool(TRAIN)
    tool.live.setChecked(True)
    stroke(live, 1)
    stroke(live, 2)
    settle(live)
    assert shown(live) is not None
    # A network has no live mode.
    tool.rung.setCurrentIndex(tool.rung.findData("unet"))
    assert not tool.live.isVisible()
    assert shown(live) is None
    tool.rung.setCurrentIndex(tool.rung.findData("softmax"))
    settle(live)
    assert shown(live) is not None
    # Another page.
    live.turn_to(0)
    assert shown(live) is None
    live.turn_to(TRAIN)
    settle(live)
    assert shown(live) is not None
    # The labels are deleted while a stroke is being learnt.
    live.labels.paint((3, 3), 1)
    live.viewer.layers.remove(live.labels)
    settle(live)
    assert shown(live) is None
    tool.live.setChecked(False)


def test_features_are_there_before_the_first_stroke_and_options_are_followed(live):
    tool = live.tool(TRAIN)
    tool.live.setChecked(True)
    settle(live)
    following = tool.live_row.live
    learner = following._learner
    assert not learner.missing((), (slice(0, 160), slice(0, 192)))
    stroke(live, 1)
    stroke(live, 2)
    settle(live)
    assert following._learner is learner
    # Options that change during a computation hold for the next one.
    live.labels.paint((2, 2), 2)
    live.wait(lambda: following._task is not None)
    tool.rung.setCurrentIndex(tool.rung.findData("softmax"))
    settle(live)
    assert following._learner._segmenter.spec.kind == "softmax"
    tool.live.setChecked(False)


def test_three_classes_are_too_many_for_the_logistic_model(live):
    tool = live.tool(TRAIN)
    tool.live.setChecked(True)
    for value in (1, 2):
        stroke(live, value)
    live.labels.paint((80, 80), 3)
    settle(live)
    assert "softmax" in tool.message.text()
    tool.rung.setCurrentIndex(tool.rung.findData("softmax"))
    settle(live)
    assert shown(live) is not None


def test_planes_of_a_stack(hand):
    sample = samples.nuclei((160, 192), seed=2)
    stack = np.stack([sample.image, sample.image[::-1], sample.image])
    image = hand.viewer.add_image(stack, name="stack")
    painted = np.zeros(stack.shape, np.uint8)
    rows = np.arange(10, 150, 20)
    painted[0, rows] = np.where(sample.mask[rows], 2, 1)
    labels = hand.viewer.add_labels(painted, name="strokes")
    hand.turn_to(TRAIN)
    tool = hand.tool(TRAIN)
    tool.pick.pick(image)
    tool.labels.pick(labels)
    tool.live.setChecked(True)
    hand.viewer.dims.set_current_step(0, 1)
    settle(hand)
    # Nothing is painted on this plane; what was learnt from the first holds for it.
    said, truth = shown(hand) == 2, sample.mask[::-1]
    assert 2 * (said & truth).sum() / (said.sum() + truth.sum()) > 0.6
    hand.viewer.dims.ndisplay = 3
    settle(hand)
    hand.viewer.dims.ndisplay = 2
    tool.live.setChecked(False)


def unet_of(name, channels=1):
    """Return a UNet of a session, hardly trained."""
    sample = samples.nuclei((96, 96), seed=1)
    image = Image.of(np.stack([sample.image] * channels), "CYX")
    spec = UNetSpec(width=4, depth=1, convolutions=1, resolution="full")
    options = TrainOptions(until="epochs", epochs=1, steps=4, patch=64, validation=0)
    lessons = [TrainingPair(image, sample.mask.astype(np.uint8))]
    return train(spec, lessons, options, name=name, labels_are="mask").model


def test_features_of_a_unet(live):
    tool = live.tool(TRAIN)
    unet = unet_of("eyes")
    tool.session.add_model(unet)
    # Models that ship stand after those of the session.
    offered = [tool.features.itemText(k) for k in range(5)]
    assert offered == [
        "bank + pretrained",
        "filter bank",
        "pretrained network",
        "eyes + bank",
        "eyes",
    ]
    tool.live.setChecked(True)
    stroke(live, 1)
    stroke(live, 2)
    settle(live)
    pretrained = shown(live).copy()
    tool.features.setCurrentIndex(1)
    settle(live)
    bank = shown(live).copy()
    assert not np.array_equal(pretrained, bank)
    sigmas = tool.specs["logistic"].widget("sigmas").native
    for number, kept in ((3, "both"), (4, "network")):
        tool.features.setCurrentIndex(number)
        assert tool.spec().features == kept
        assert sigmas.isHidden() == (kept == "network")
        settle(live)
        seen = shown(live).copy()
        assert not np.array_equal(seen, bank)
        live.run(tool)
        model = tool.session.models[-1]
        assert model.spec.features == kept
        assert model.features_from.fingerprint == unet.fingerprint
        said = predict(model, image_of(live.image)).asarray()
        assert (said == seen)[seen > 0].mean() > 0.999
    # To go on with a model is to go on with what it sees.
    tool.features.setCurrentIndex(0)
    tool.start.setCurrentIndex(2)
    assert tool.features.currentText() == "eyes"
    live.run(tool)
    assert tool.session.models[-1].parent == model.fingerprint
    # A network has no such choice, and UNets of other images say so.
    tool.rung.setCurrentIndex(tool.rung.findData("unet"))
    assert not tool.features.isVisibleTo(tool)
    assert tool.features_from() is None
    tool.rung.setCurrentIndex(tool.rung.findData("logistic"))
    tool.session.add_model(unet_of("colour", 3))
    tool.start.setCurrentIndex(tool.start.findText("nothing"))
    tool.features.setCurrentIndex(tool.features.findText("colour"))
    settle(live)
    assert "images have 1" in tool.message.text()
    live.run(tool)
    assert "images have 1" in tool.message.text()
    # A model that is gone from the session takes its features along.
    tool.session.models.clear()
    tool.session.models_changed.emit()
    assert tool.features.currentText() == "bank + pretrained"
    settle(live)
    assert np.array_equal(shown(live), pretrained)
    tool.live.setChecked(False)
