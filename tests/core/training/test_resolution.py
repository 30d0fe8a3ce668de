"""Lower resolutions: what becomes of images and annotations, and which one suits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import IGNORED, Annotation
from napari_unetseg.core.annotation.shrinking import (
    likeliest_of_boxes,
    shrunken,
    shrunken_annotation,
    shrunken_image,
)
from napari_unetseg.core.model.network_specs import CnnSpec, UNetSpec
from napari_unetseg.core.training.resolution import measure_width, resolve_resolution


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([(2, 2), (4, 4), (1, 2)]))
def test_the_mean_of_each_box(height: int, width: int, shrink: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, height, width)).astype(np.uint8)
    small = shrunken_image(image, shrink)
    assert small.dtype == np.float32
    assert small.shape == (3, *shrunken((height, width), shrink))
    whole = image[:, : shrink[0], : shrink[1]]
    if whole.shape[1:] == shrink:
        np.testing.assert_allclose(small[:, 0, 0], whole.mean((1, 2)), rtol=1e-5)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
def test_the_commonest_class_of_each_box(height: int, width: int, n_classes: int) -> None:
    rng = np.random.default_rng(height * 10 + width)
    targets = rng.choice([*range(n_classes), IGNORED], (height, width)).astype(np.uint8)
    small = likeliest_of_boxes(targets, n_classes, (2, 2))
    for y, x in np.ndindex(*small.shape):
        box = targets[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        counts = [(box == k).sum() for k in range(n_classes)]
        if max(counts) == 0:
            assert small[y, x] == IGNORED
        else:
            assert counts[small[y, x]] == max(counts)


def test_full_resolution_copies_nothing() -> None:
    image = np.zeros((1, 4, 4), np.uint16)
    annotation = Annotation.of(np.eye(4, dtype=np.uint8), "mask")
    assert shrunken_image(image, (1, 1)) is image
    assert shrunken_annotation(annotation, (1, 1)) is annotation


def test_no_stroke_is_lost() -> None:
    """A stroke a pixel wide is still there in every box it crosses."""
    labels = np.zeros((32, 32), np.uint8)
    labels[np.arange(32), np.arange(32)] = 1
    labels[5, 20] = 2
    small = shrunken_annotation(Annotation.of(labels), (4, 4))
    assert (np.diagonal(small.targets) == 0).all()
    assert small.targets[1, 5] == 1
    assert small.counts().tolist() == [8, 1]


def stripes(width: int) -> NDArray[np.uint8]:
    rows = np.arange(240) // width % 2
    return np.repeat(rows[:, None], 240, 1).astype(np.uint8)


@pytest.mark.parametrize("width", [3, 9, 40])
def test_the_breadth_of_lines_and_discs(width: int) -> None:
    assert measure_width([Annotation.of(stripes(width), "mask")]) == pytest.approx(width, abs=1.5)
    y, x = np.mgrid[:200, :200]
    disc = ((y - 100) ** 2 + (x - 100) ** 2 <= (width / 2) ** 2).astype(np.uint8)
    assert measure_width([Annotation.of(disc, "mask")]) == pytest.approx(width, abs=2)


def test_specks_and_ragged_edges_do_not_make_a_structure_fine() -> None:
    y, x = np.mgrid[:240, :240]
    disc = (y - 120) ** 2 + (x - 120) ** 2 < 30**2
    draft = disc | (np.random.default_rng(0).random(disc.shape) < 0.005)
    assert 50 < measure_width([Annotation.of(draft.astype(np.uint8), "mask")]) <= 62
    classes = stripes(40) + (np.arange(240)[:, None] % 80 == 60)
    fine = Annotation.of(classes.astype(np.uint8), "mask")
    assert measure_width([fine]) < 3, "the finest class counts"


def test_wide_structures_in_some_images_do_not_hide_narrow_ones_in_others() -> None:
    widths = (40, 3, 60, 5, 40, 60)
    mixed = [Annotation.of(stripes(width), "mask") for width in widths]
    assert measure_width(mixed) < 7


@pytest.mark.parametrize("spec", [UNetSpec(), CnnSpec()])
def test_automatic_follows_the_finest_class(spec: UNetSpec | CnnSpec) -> None:
    kinds = {"fine": stripes(3), "middling": stripes(28), "broad": stripes(60)}
    chosen = {
        name: resolve_resolution(spec, [Annotation.of(labels, "mask")]).resolution
        for name, labels in kinds.items()
    }
    assert chosen == {"fine": "full", "middling": "half", "broad": "quarter"}


def test_strokes_and_empty_masks_say_nothing() -> None:
    strokes = Annotation.of(stripes(60) + 1, "scribbles")
    empty = Annotation.of(np.zeros((50, 50), np.uint8), "mask", values=(0, 1))
    assert resolve_resolution(UNetSpec(), [strokes]).resolution == "full"
    assert resolve_resolution(UNetSpec(), [empty]).resolution == "full"


def test_what_is_continued_keeps_its_resolution() -> None:
    fine = [Annotation.of(stripes(3), "mask")]
    assert (
        resolve_resolution(UNetSpec(), fine, like=UNetSpec(resolution="half")).resolution == "half"
    )
    broad = [Annotation.of(stripes(60), "mask")]
    assert resolve_resolution(UNetSpec(), broad, like=UNetSpec()).resolution == "full"


def test_what_is_asked_for_stays() -> None:
    broad = [Annotation.of(stripes(60), "mask")]
    assert resolve_resolution(UNetSpec(resolution="full"), broad).resolution == "full"
    assert resolve_resolution(UNetSpec(resolution="half"), broad).resolution == "half"


def test_the_network_inside_sees_as_many_flat_levels() -> None:
    spec = UNetSpec(resolution="quarter", flat_levels=3)
    assert spec.shrink(3) == (1, 4, 4)
    assert spec.shrink(2) == (4, 4)
    assert spec.inside().flat_levels == 1
    assert spec.inside().shrink(3) == (1, 1, 1)
