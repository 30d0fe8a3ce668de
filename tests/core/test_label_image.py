"""Labels of any type are read by one rule."""

import dask.array as da
import numpy as np
import pytest

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.label_image import (
    comparable,
    hard_mask,
    known_labels,
    label_image,
    labels_like,
    without_single_axes,
)

IDS = np.kron(np.arange(9).reshape(3, 3), np.ones((6, 6), int))


def soft(mask, steps=6):
    """A mask of 0 and 255 with edges of random values, as JPEG and resizing leave them."""
    rng = np.random.default_rng(0)
    made = np.where(mask, 255, 0)
    edge = made != np.roll(made, 1, -1)
    made[edge] = rng.integers(0, 256, int(edge.sum()))
    noise = rng.integers(0, steps, made.shape)
    near = np.roll(edge, 2, -1) | np.roll(edge, -2, -1)
    return np.where(near, np.clip(np.where(made > 127, made - noise, made + noise), 0, 255), made)


def test_floats_that_are_whole_are_ids():
    for data in (IDS.astype(np.float32), da.from_array(IDS.astype(float), chunks=5)):
        found = label_image(Image(data, "YX"))
        assert found.dtype == np.uint8
        assert np.array_equal(found.asarray(), IDS)


def test_nan_is_0_and_noted():
    said = []
    data = np.where(IDS == 2, np.nan, IDS.astype(float))
    found = label_image(Image(data, "YX"), "a.tif", note=said.append)
    assert np.array_equal(found.asarray(), np.where(IDS == 2, 0, IDS))
    assert said == ["a.tif has 36 pixels that are NaN, taken as 0."]


@pytest.mark.parametrize("wrong", [0.5, 2.0**60])
def test_fractions_are_refused(wrong):
    with pytest.raises(InputError, match=r"b\.tif holds fractions"):
        label_image(Image(np.array([[0.0, wrong]]), "YX"), "b.tif")


def test_infinite_numbers_are_refused_as_such():
    with pytest.raises(InputError, match=r"b\.tif holds infinite numbers"):
        label_image(Image(np.array([[0.0, np.inf]]), "YX"), "b.tif")


def test_grey_colours_are_one_mask_and_others_are_refused():
    grey = np.repeat((IDS > 0).astype(np.uint8)[..., None] * 255, 3, -1)
    assert np.array_equal(label_image(Image(grey, "YXC", rgb=True)).asarray(), grey[..., 0])
    alpha = np.concatenate([grey, IDS[..., None].astype(np.uint8)], -1)
    assert np.array_equal(label_image(Image(alpha, "YXC", rgb=True)).asarray(), grey[..., 0])
    grey[0, 0, 1] = 7
    with pytest.raises(InputError, match="colours that are not grey"):
        label_image(Image(grey, "YXC", rgb=True))


def test_single_axes_are_dropped_and_given_back():
    deep = Image(IDS[None, None], "CZYX", (3.0, 2.0, 2.0), "µm")
    flat = without_single_axes(label_image(deep))
    assert (flat.axes, flat.spacing) == ("YX", (2.0, 2.0))
    again = labels_like(flat, deep)
    assert (again.axes, again.shape) == ("ZYX", (1, *IDS.shape))
    other = Image(IDS[:, :9], "YX")
    assert labels_like(other, deep) is other


def test_a_lossy_mask_is_taken_at_half_and_lossy_ids_are_refused():
    said = []
    mask = np.zeros((60, 60), bool)
    mask[10:40, 15:50] = True
    found = label_image(
        Image(soft(mask).astype(np.uint8), "YX"), "m.jpg", lossy=True, note=said.append
    )
    assert (found.asarray() != mask).mean() < 0.02
    assert set(np.unique(found)) == {0, 1}
    assert len(said) == 1
    assert "m.jpg has soft edges" in said[0]
    with pytest.raises(InputError, match="its labels are lost"):
        label_image(Image((IDS * 20).astype(np.uint8), "YX"), lossy=True)


def test_soft_masks_are_told_from_classes_and_ids():
    mask = np.zeros((60, 60), bool)
    mask[10:40, 15:50] = True
    assert set(np.unique(hard_mask(soft(mask).astype(np.uint8)))) == {0, 1}
    blocks = np.kron(np.arange(256).reshape(16, 16), np.ones((5, 5), int)).astype(np.uint8)
    voids = np.where(mask, 255, np.where(np.roll(mask, 30, 0), 17, 0)).astype(np.uint8)
    for kept in (blocks, voids, (IDS * 30).astype(np.uint8), mask.astype(np.uint8) * 255):
        assert hard_mask(kept) is kept


def test_pixels_below_0_are_left_out():
    said = []
    labels = Image(np.where(IDS == 4, -1, IDS), "YX")
    assert label_image(labels, "n.tif", note=said.append).data.min() == -1
    assert said == ["n.tif has 36 pixels below 0, which are left out."]
    assert np.array_equal(known_labels(labels).asarray(), np.where(IDS == 4, 0, IDS))
    one, other = comparable(labels.asarray(), np.full(IDS.shape, 3, np.uint8))
    assert np.array_equal(other == 0, IDS == 4)
    assert np.array_equal(one, np.where(IDS == 4, 0, IDS))
