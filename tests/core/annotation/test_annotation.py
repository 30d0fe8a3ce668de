"""Annotation: what counts, and what is held out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import (
    IGNORED,
    AnnotatedImage,
    Annotation,
    TrainingPair,
    check_trainable,
    examples_of,
    values_of,
)
from napari_unetseg.core.annotation.class_balance import class_weights
from napari_unetseg.core.annotation.holdout import split
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image


def strokes(n: int = 4) -> NDArray[np.uint8]:
    """Return `n` strokes of each of two classes, of 12 pixels each."""
    labels = np.zeros((64, 64), np.uint8)
    for k in range(n):
        labels[4 + 8 * k, 4:16] = 1
        labels[4 + 8 * k, 30:42] = 2
    return labels


def test_zero_is_unknown_in_scribbles_and_background_in_a_mask() -> None:
    labels = strokes()
    scribbles, mask = Annotation.of(labels), Annotation.of(labels, "mask")
    assert scribbles.values == (1, 2)
    assert mask.values == (0, 1, 2)
    assert scribbles.names == ("class 1", "class 2")
    assert mask.names == ("background", "class 1", "class 2")
    assert list(scribbles.counts()) == [48, 48]
    assert list(mask.counts()) == [64 * 64 - 96, 48, 48]
    assert scribbles.foreground == (0, 1)
    assert mask.foreground == (1, 2)
    assert not scribbles.dense
    assert mask.dense
    assert (scribbles.targets[labels == 0] == IGNORED).all()


def test_objects_become_one_class() -> None:
    annotation = Annotation.of(np.arange(100, dtype=np.int32).reshape(10, 10), "objects")
    assert annotation.values == (0, 1)
    assert annotation.names == ("background", "object")
    assert list(annotation.counts()) == [1, 99]


def test_a_mask_of_0_and_255_is_one_class() -> None:
    array = np.array([[0, 255], [255, 0]], np.uint8)
    assert Annotation.of(array, "mask").values == values_of([array], "mask") == (0, 1)
    assert Annotation.of(array).values == (255,)


def test_outside_the_finished_region_zero_is_unknown() -> None:
    labels = strokes()
    region = np.zeros(labels.shape, bool)
    region[:10] = True
    annotation = Annotation.of(labels, "mask", region=region)
    assert (annotation.targets[10:][labels[10:] == 0] == IGNORED).all()
    assert list(annotation.counts()[1:]) == [48, 48]


def test_values_of_several_images_are_shared() -> None:
    first, second = np.array([[0, 1]]), np.array([[0, 3]])
    values = values_of([first, second], "mask")
    assert values == (0, 1, 3)
    annotation = Annotation.of(second, "mask", values=values, names=("axon", "soma"))
    assert annotation.names == ("background", "axon", "soma")
    assert list(annotation.counts()) == [1, 0, 1]


@pytest.mark.parametrize(
    ("labels", "kind", "sentence"),
    [
        (np.full((3, 4), 0.5), "scribbles", "whole numbers"),
        (np.full((3, 4), 2**31), "mask", "class value 2147483648"),
        (np.full((3, 4), 2.0**40), "scribbles", "Renumber"),
        (np.arange(100).reshape(10, 10), "mask", "objects"),
    ],
)
def test_labels_that_are_none(labels: NDArray[np.int64], kind: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        Annotation.of(labels, kind)  # type: ignore[arg-type]


def test_labels_of_another_shape() -> None:
    with pytest.raises(InputError, match="painted on this image"):
        Annotation.of(strokes(), image_shape=(64, 65))
    with pytest.raises(InputError, match="painted on this image"):
        AnnotatedImage(np.zeros((1, 64, 65)), Annotation.of(strokes()))
    with pytest.raises(InputError, match="painted on this image"):
        examples_of(TrainingPair(Image.of(np.zeros((64, 65))), strokes()))


def test_numbers_that_are_not_finite() -> None:
    with pytest.raises(InputError, match="NaN"):
        AnnotatedImage(np.full((1, 64, 64), np.nan), Annotation.of(strokes()))
    image = np.ones((64, 64), np.float32)
    image[::3] = np.nan
    pair = TrainingPair(Image(image, "YX"), np.ones((64, 64), np.uint8))
    for kind in ("scribbles", "mask", "objects"):
        (example,) = examples_of(pair, kind)
        assert np.array_equal(example.annotation.counted, np.isfinite(image))
    (said,) = pair.notes("mask", "a.tif")
    assert said == f"a.tif has {22 * 64} pixels that are NaN or infinite: nothing is learnt there."


@pytest.mark.parametrize("kind", ["scribbles", "mask", "objects"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_numbers_below_0_are_ignored(kind: str, dtype: type) -> None:
    labels = np.array([[0, 1, 2, -1], [1, 2, -3, 0]], dtype)
    pair = TrainingPair(Image.of(np.ones(labels.shape)), labels)
    (example,) = examples_of(pair, kind)  # type: ignore[arg-type]
    for annotation in (Annotation.of(labels, kind), example.annotation):  # type: ignore[arg-type]
        assert np.array_equal(
            annotation.counted, (labels > 0) if kind == "scribbles" else labels >= 0
        )
        assert min(annotation.values) >= 0
    assert pair.notes(kind) == ["The label array has 2 pixels below 0, which are left out."]  # type: ignore[arg-type]


def test_a_mask_with_soft_edges_is_read_at_half() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[9:30, 12:33] = 255
    mask[9:30, 12] = np.arange(21) * 6 + 130
    mask[9:30, 32] = np.arange(21) * 5
    mask[9, 13:32] = 250
    pair = TrainingPair(Image.of(np.ones((40, 40))), mask)
    assert values_of([mask], "mask") == (0, 1)
    (example,) = examples_of(pair, "mask")
    assert np.array_equal(example.annotation.targets, mask > 127)
    assert "soft edges" in pair.notes("mask")[0]
    assert not pair.notes("objects")


def test_nothing_to_tell_apart() -> None:
    with pytest.raises(InputError, match="Nothing is annotated"):
        check_trainable([])
    with pytest.raises(InputError, match="Nothing is annotated"):
        check_trainable([Annotation.of(np.zeros((4, 4), int), values=(1, 2))])
    with pytest.raises(InputError, match="Only one class is annotated"):
        check_trainable([Annotation.of(np.eye(4, dtype=int))])
    with pytest.raises(InputError, match="different classes"):
        check_trainable([Annotation.of(strokes()), Annotation.of(strokes() * 2)])
    check_trainable([Annotation.of(strokes())])


def test_objects_may_fill_the_image_when_they_are_told_apart() -> None:
    several = Annotation.of(np.repeat([[1], [2]], 4, axis=1), "objects")
    check_trainable([several], apart=True)
    with pytest.raises(InputError, match="Only one class is annotated"):
        check_trainable([several])
    with pytest.raises(InputError, match="Only one class is annotated"):
        check_trainable([Annotation.of(np.ones((4, 4), int), "objects")], apart=True)


def test_only_annotated_planes_become_examples() -> None:
    stack = np.arange(5 * 64 * 64, dtype=np.uint16).reshape(5, 64, 64)
    labels = np.zeros(stack.shape, np.uint8)
    labels[3] = strokes()
    (plane,) = examples_of(TrainingPair(Image.of(stack), labels))
    np.testing.assert_array_equal(plane.image, stack[3][None])
    assert plane.normalisation is not None
    assert plane.normalisation.offset[0] < stack[1].min()
    (whole,) = examples_of(TrainingPair(Image.of(stack), labels), ndim=3)
    assert whole.image.shape == (1, 5, 64, 64)
    with pytest.raises(InputError, match="no Z axis"):
        examples_of(TrainingPair(Image.of(stack[0]), labels[0]), ndim=3)


def test_channels_come_first() -> None:
    colour = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    (example,) = examples_of(TrainingPair(Image.of(colour, "YXC", rgb=True), strokes()))
    np.testing.assert_array_equal(example.image, np.moveaxis(colour, -1, 0))


def test_strokes_are_the_connected_pieces_of_a_class() -> None:
    labels = strokes()
    labels[4, 16:30] = 2  # joins a stroke of class 2 and touches one of class 1
    ids, n = Annotation.of(labels).strokes()
    assert n == 8
    assert set(np.unique(ids)) == set(range(9))
    assert ids[4, 15] != ids[4, 16] == ids[4, 35]


def test_tiles_cover_what_counts() -> None:
    annotation = Annotation.of(strokes(), "mask")
    ids, n = annotation.tiles()
    assert n == 25
    assert ids.min() == 1
    ids, n = annotation.only(strokes() > 0).tiles()
    assert ids.min() == 0
    assert n == len(np.unique(ids)) - 1


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.uint8, (20, 20), elements=st.sampled_from([0, 0, 0, 0, 1, 2])),
    st.floats(0.0, 0.8),
    st.integers(0, 5),
)
def test_splitting_keeps_strokes_whole_and_every_class_in_training(
    labels: NDArray[np.uint8], share: float, seed: int
) -> None:
    annotation = Annotation.of(labels, values=(1, 2))
    (training,), (held,) = split([annotation], share, seed=seed)
    assert not (training.counted & held.counted).any()
    np.testing.assert_array_equal(training.counted | held.counted, annotation.counted)
    assert ((training.counts() > 0) == (annotation.counts() > 0)).all()
    ids, n = annotation.strokes()
    for stroke in range(1, n + 1):
        assert len(np.unique(held.counted[ids == stroke])) == 1
    assert share > 0 or not held.counted.any()


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 7), st.integers(0, 5))
def test_splitting_masks_holds_out_tiles_or_images(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = [Annotation.of(rng.integers(0, 2, (30, 30)), "mask") for _ in range(n)]
    training, held = split(masks, 0.3, seed=seed)
    parts = [part.counted.mean() for part in held]
    assert 0 < np.mean(parts) <= 0.35
    assert all(part in (0, 1) for part in parts) or n < 5
    assert all(a.shape == (30, 30) for a in training)


def test_some_of_each_class_is_held_out() -> None:
    for seed in range(5):
        (training,), (held,) = split([Annotation.of(strokes())], 0.25, seed=seed)
        assert list(held.counts()) == [12, 12]
        assert list(training.counts()) == [36, 36]


def test_a_class_of_one_stroke_is_learnt() -> None:
    labels = strokes()
    labels[labels == 2] = 0
    labels[60, 30:42] = 2
    (training,), (held,) = split([Annotation.of(labels)], 0.5)
    assert training.counts()[1] == 12
    assert held.counts()[1] == 0 < held.counts()[0]


def test_a_rare_class_in_one_tile_stays_in_training() -> None:
    labels = np.zeros((50, 50), np.uint8)
    labels[:, :25] = 1
    labels[12, 12] = 2
    for seed in range(8):
        (training,), _ = split([Annotation.of(labels, "mask")], 0.5, seed=seed)
        assert (training.counts() > 0).all()


def test_class_weights_by_hand() -> None:
    labels = np.repeat([1, 2], [90, 10])[None]
    annotations = [Annotation.of(labels)]
    np.testing.assert_allclose(class_weights(annotations, 0), [1, 1])
    np.testing.assert_allclose(class_weights(annotations, 1), [50 / 90, 5], rtol=1e-6)
    root = class_weights(annotations, 0.5)
    np.testing.assert_allclose(root[1] / root[0], 3, rtol=1e-6)
    np.testing.assert_allclose(root @ [90, 10], 100, rtol=1e-6)
    assert class_weights([Annotation.of(labels, values=(1, 2, 3))], 1)[2] == 0
