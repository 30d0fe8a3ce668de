"""Views of training images: labels stay on their objects."""

import importlib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def views(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return importlib.import_module("image_views")


def squares(*, colour=False):
    """Bright squares on black, and their ids."""
    ids = np.zeros((90, 120), np.int32)
    ids[10:40, 20:50], ids[50:80, 60:110] = 1, 2
    image = np.where(ids > 0, 200, 20).astype(np.uint8)
    return (np.stack([image] * 3, -1) if colour else image), ids


@pytest.mark.parametrize("colour", [False, True])
def test_labels_stay_on_their_objects(views, colour):
    image, ids = squares(colour=colour)
    plan = views.Views(count=12, sizes=(0.4, 2.5), light=0.5, stain=0.5, piece=100)
    made = list(plan.of(image, ids, np.random.default_rng(0)))
    assert len(made) == 12
    for seen, labels in made:
        assert seen.shape == (*labels.shape, *image.shape[2:])
        assert max(labels.shape) <= 100
        grey = seen.mean(-1) if colour else seen
        if 0 < (labels > 0).mean() < 1:
            assert grey[labels > 0].min() >= grey[labels == 0].min()
            assert np.corrcoef(grey.ravel(), (labels > 0).ravel())[0, 1] > 0.6
    assert len({labels.shape for _, labels in made}) > 6


def test_inverted_views_are_dark_where_the_image_is_bright(views):
    image, ids = squares()
    plan = views.Views(count=4, sizes=(1, 1), light=0, inverted=1, piece=200)
    for seen, labels in plan.of(image, ids, np.random.default_rng(0)):
        np.testing.assert_array_equal(labels, ids)
        assert seen[ids > 0].max() < seen[ids == 0].min()


def test_pieces_make_up_the_image(views):
    image, ids = squares()
    parts = list(views.pieces(image, ids, 50))
    assert [part.shape for part, _ in parts] == [(45, 60)] * 4
    assert sum(int(part.sum()) for part, _ in parts) == int(image.sum())
    assert [part.shape for part, _ in views.pieces(image, ids, 512)] == [(90, 120)]
