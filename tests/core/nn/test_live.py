"""Live mode says what a training would say, whatever the order of the strokes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.pixel_specs import LogisticSpec, MlpSpec, SoftmaxSpec
from napari_unetseg.core.nn.training import live_pixels as module
from napari_unetseg.core.nn.training.live_pixels import LivePixels
from napari_unetseg.core.samples import neurons
from napari_unetseg.core.training.train import train

SHAPE = (150, 170)
EVERYTHING = (slice(0, SHAPE[0]), slice(0, SHAPE[1]))
SPECS = [LogisticSpec(sigmas="1, 3"), SoftmaxSpec(sigmas="1, 3"), MlpSpec(sigmas="1, 3")]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(module, "SIDE", 64)


def scene():
    sample = neurons(SHAPE, seed=3)
    strokes = np.zeros(SHAPE, np.uint8)
    strokes[20:130:30] = np.where(sample.mask[20:130:30], 2, 1)
    return Image.of(sample.image), strokes, sample.mask


def trained(spec, image, strokes, kind="scribbles"):
    return train(
        spec, [TrainingPair(image, strokes)], TrainOptions(), name="m", labels_are=kind
    ).model


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_it_says_what_a_training_says(spec):
    image, strokes, truth = scene()
    model = trained(spec, image, strokes)
    live = LivePixels(image, spec)
    live.paint({(): strokes})
    proba = live.fit().predict_proba  # a second fit of a perceptron would go on from the first
    box, classes = live.classes((), EVERYTHING)
    assert box == EVERYTHING
    said = predict(model, image).asarray()
    assert (classes == said).mean() > 0.999
    whole = predict(model, image, PredictOptions(what="probabilities")).asarray()
    block = live._normalisation.apply(np.asarray(image.data)[None])
    np.testing.assert_allclose(proba(block, origin=(0, 0), shape=SHAPE), whole, atol=1e-3)
    hit = 2 * ((classes == 2) & truth).sum() / ((classes == 2).sum() + truth.sum())
    assert hit > 0.5


def test_colour_position_and_masks_too():
    rng = np.random.default_rng(0)
    image = Image.of(rng.random((*SHAPE, 3)).astype(np.float32), "YXC", rgb=True)
    mask = (np.asarray(image.data)[..., 1] > 0.5).astype(np.uint8)
    spec = LogisticSpec(sigmas="1", position="polynomial")
    model = trained(spec, image, mask, "mask")
    _, classes = LivePixels(image, spec, labels_are="mask").update({(): mask}, (), EVERYTHING)
    assert (classes == predict(model, image).asarray()).mean() > 0.995


@settings(max_examples=6, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 3))
def test_any_order_of_strokes_gives_the_same(order, undone):
    image, strokes, _ = scene()
    live, painted = LivePixels(image, SPECS[0]), np.zeros_like(strokes)
    for number in order:
        row = 20 + 30 * number
        painted[row] = strokes[row]
        live.paint({(): painted})
    # A stroke taken back and put again leaves no trace.
    row = 20 + 30 * undone
    kept, painted[row] = painted[row].copy(), 0
    live.paint({(): painted})
    painted[row] = kept
    _, classes = live.update({(): painted}, (), EVERYTHING)
    _, at_once = LivePixels(image, SPECS[0]).update({(): strokes}, (), EVERYTHING)
    assert (classes == at_once).mean() > 0.9999


def test_only_what_is_needed_is_computed(monkeypatch):
    image, strokes, _ = scene()
    live, computed = LivePixels(image, SPECS[0]), []
    compute = live._computed
    monkeypatch.setattr(live, "_computed", lambda *a: computed.append(a[1].start) or compute(*a))
    few = np.zeros_like(strokes)
    few[20, :40] = strokes[20, :40]
    few[22, :40] = 2
    live.update({(): few}, (), (slice(0, 10), slice(0, 10)))
    assert len(computed) == 1
    few[23, :30] = 1
    live.update({(): few}, (), (slice(0, 10), slice(0, 10)))
    assert len(computed) == 1
    live.classes((), EVERYTHING)
    assert len(computed) == 9


def test_the_memory_is_kept():
    image, strokes, _ = scene()
    live = LivePixels(image, SPECS[0], memory=1_000_000)
    _, classes = live.update({(): strokes}, (), EVERYTHING)
    assert live.n_bytes <= 1_000_000
    _, again = LivePixels(image, SPECS[0]).update({(): strokes}, (), EVERYTHING)
    assert np.array_equal(classes, again)


def test_strokes_on_several_planes():
    image, strokes, _ = scene()
    plane = np.asarray(image.data)
    stack = Image.of(np.stack([plane, plane[::-1], plane]), "ZYX")
    live = LivePixels(stack, SPECS[0])
    upper, lower = strokes.copy(), strokes[::-1].copy()
    upper[70:], lower[70:] = 0, 0
    live.paint({(0,): upper, (1,): lower})
    labels = np.stack([upper, lower, 0 * upper])
    model = trained(SPECS[0], stack, labels)
    _, classes = live.update({}, (2,), EVERYTHING)
    assert (classes == predict(model, stack).asarray()[2]).mean() > 0.999


def test_what_is_missing_is_said():
    image, strokes, _ = scene()
    live = LivePixels(image, SPECS[0])
    with pytest.raises(InputError, match="Nothing"):
        live.update({(): 0 * strokes}, (), EVERYTHING)
    with pytest.raises(InputError, match="one class"):
        live.update({(): np.minimum(strokes, 1)}, (), EVERYTHING)
    three = strokes.copy()
    three[20, :9] = 3
    with pytest.raises(InputError, match="softmax"):
        live.update({(): three}, (), EVERYTHING)
    with pytest.raises(InputError, match="shape"):
        live.paint({(): strokes[:9]})
    with pytest.raises(InputError, match="object ids"):
        live.paint({(): strokes.astype(np.int32) * 300})


def test_many_pixels_are_drawn_from():
    image, _, truth = scene()
    spec = LogisticSpec(sigmas="1, 3", max_pixels=500)
    live = LivePixels(image, spec, labels_are="mask")
    _, classes = live.update({(): truth.astype(np.uint8)}, (), EVERYTHING)
    assert live.n_labelled == truth.size
    assert (classes == truth).mean() > 0.85
