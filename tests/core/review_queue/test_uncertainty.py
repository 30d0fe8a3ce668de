"""Uncertainty of pixels, and the views it is asked in."""

from types import SimpleNamespace

import dask.array
import numpy as np
import pytest

from napari_unetseg.core.image import Image
from napari_unetseg.core.progress import silent
from napari_unetseg.core.review_queue import augmented_views
from napari_unetseg.core.review_queue.augmented_views import View, predict_view, views_for
from napari_unetseg.core.review_queue.uncertainty import disagreement, entropy, margin


@pytest.mark.parametrize("n", [2, 3, 5])
def test_from_certain_to_clueless(n):
    certain = np.zeros((n, 2, 2), np.float32)
    certain[1] = 1
    clueless = np.full((n, 2, 2), 1 / n, np.float32)
    for measure in (entropy, margin):
        assert np.allclose(measure(certain), 0, atol=1e-5)
        assert np.allclose(measure(clueless), 1, atol=1e-5)
        assert measure(clueless).shape == (2, 2)


def test_margin_and_entropy_see_different_things():
    two = np.array([0.5, 0.5, 0.0], np.float32).reshape(3, 1)
    three = np.array([0.4, 0.3, 0.3], np.float32).reshape(3, 1)
    assert margin(two) > margin(three)
    assert entropy(two) < entropy(three)


def test_views_that_contradict_each_other():
    certain = np.array([[0.0], [1.0]], np.float32)
    both = np.stack([certain, 1 - certain])
    assert disagreement(both.mean(0), (both**2).mean(0)) == pytest.approx(1)
    same = np.stack([certain, certain])
    assert disagreement(same.mean(0), (same**2).mean(0)) == 0


@pytest.mark.parametrize("view", [View("Y"), View("X"), View("YX"), View("", True), View("Z")])
@pytest.mark.parametrize(("shape", "axes"), [((4, 5), "YX"), ((3, 4, 5), "ZYX")])
@pytest.mark.parametrize("lazy", [False, True])
def test_back_undoes_every_view(view, shape, axes, lazy):
    numbers = np.arange(np.prod(shape)).reshape(shape)
    image = Image.of(dask.array.from_array(numbers) if lazy else numbers, axes)
    laid = view.of(image)
    assert laid.axes == axes
    back = view.back(laid)
    assert np.array_equal(back.asarray(), numbers)
    if "Z" not in view.mirrored or "Z" in axes:
        assert not np.array_equal(laid.asarray(), numbers)


def test_colour_stays_colour():
    image = Image.of(np.arange(60, dtype=np.uint8).reshape(4, 5, 3), "YXC", rgb=True)
    turned = View("", True).of(image)
    assert turned.shape == (5, 4, 3)
    assert turned.rgb


def model(position="none", ndim=2):
    return SimpleNamespace(spec=SimpleNamespace(position=position), ndim=ndim, zoom=())


def doubled(model, image, options, *, progress):
    return Image.of(image.asarray() * 2.0, image.axes)


def test_which_views_make_sense():
    square = Image.of(np.zeros((4, 5)), "YX")
    long = Image.of(np.zeros((4, 5)), "YX", spacing=(1, 2))
    assert any(view.turned for view in views_for(model(), square))
    assert not any(view.turned for view in views_for(model(), long))
    assert len(views_for(model(), long)) == 3
    assert View("Z") in views_for(model(ndim=3), square)
    assert views_for(model("polynomial"), square) == ()


def test_a_model_without_preferences_says_the_same_of_every_view(monkeypatch):
    monkeypatch.setattr(augmented_views, "predict_maps", doubled)
    image = Image.of(np.arange(20.0).reshape(4, 5), "YX")
    found = list(predict_view(model(), image, views_for(model(), image), silent))
    assert len(found) == 3
    assert all(np.array_equal(one.asarray(), 2 * image.asarray()) for one in found)
