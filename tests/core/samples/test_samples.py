"""Synthetic micrographs: what they call true is true; they are neither too easy nor hopeless."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.ndimage import binary_erosion
from skimage.filters import threshold_otsu

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.samples import (
    Sample,
    cells,
    membranes,
    micrograph,
    neurons,
    nuclei,
    tissue,
)
from napari_unetseg.core.samples.mixed_micrographs import LOOKS, SHAPES
from napari_unetseg.core.samples.scene import consecutive, scatter, smooth_field, uneven

SMALL = {
    "neurons": lambda **knobs: neurons((200, 240), **knobs),
    "nuclei": lambda **knobs: nuclei((200, 240), **knobs),
    "nuclei 3D": lambda **knobs: nuclei((12, 80, 96), **knobs),
    "cells": lambda **knobs: cells((200, 240), **knobs),
    "cells 3D": lambda **knobs: cells((12, 80, 96), **knobs),
    "membranes": lambda **knobs: membranes((200, 240), **knobs),
    "membranes 3D": lambda **knobs: membranes((12, 80, 96), **knobs),
    "tissue": lambda **knobs: tissue((200, 240), **knobs),
    "tissue of two stains": lambda **knobs: tissue((200, 240), channels=2, **knobs),
}
SCENES = pytest.mark.parametrize("draw", SMALL.values(), ids=SMALL.keys())


def dice(found, truth):
    return 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + truth.sum())


def flattened(image):
    """Subtract a quadratic fitted to all pixels, twice: the second time without the outliers."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in image.shape), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6)
    values = image.ravel().astype(float)
    kept = np.ones(values.size, bool)
    for _ in range(3):
        fit, *_ = np.linalg.lstsq(terms[kept], values[kept])
        residual = values - terms @ fit
        kept = np.abs(residual) < 2 * residual[kept].std()
    return residual.reshape(image.shape)


@SCENES
def test_a_sample_is_what_it_says(draw):
    sample = draw()
    spatial = sample.axes.replace("C", "")
    assert sample.image.dtype == np.uint16
    assert sample.background.dtype == np.float32
    assert sample.background.shape == sample.image.shape
    assert sample.classes.dtype == np.uint8
    assert sample.objects.dtype == np.int32
    assert sample.classes.shape == sample.objects.shape == sample.image.shape[-len(spatial) :]
    assert len(sample.spacing) == len(spatial)
    assert set(np.unique(sample.classes)) == set(range(len(sample.class_names) + 1))
    ids = np.unique(sample.objects)
    assert np.array_equal(ids, np.arange(ids.size)), "ids are 0, 1, 2 ... without a gap"
    image = sample.as_image()
    assert (image.axes, image.spacing, image.calibrated) == (sample.axes, sample.spacing, True)


@SCENES
def test_the_seed_decides_every_pixel(draw):
    first, again, other = draw(seed=5), draw(seed=5), draw(seed=6)
    for part in ("image", "classes", "objects", "background"):
        assert np.array_equal(getattr(first, part), getattr(again, part))
        assert not np.array_equal(getattr(first, part), getattr(other, part))


@SCENES
def test_the_noise_hides_nothing_of_the_truth(draw):
    noisy, clean = draw(seed=2), draw(seed=2, noise=0)
    assert np.array_equal(noisy.objects, clean.objects)
    assert np.array_equal(noisy.background, clean.background)
    difference = noisy.image.astype(float) - clean.image
    assert abs(difference.mean()) < 0.5, "the noise has no bias"
    assert difference.std() > 3


@SCENES
def test_outside_the_objects_lies_the_background(draw):
    excess = []
    for seed in range(3):
        sample = draw(seed=seed)
        outside = (sample.classes == 0) & (sample.objects == 0)
        # Not what an object's blurred edge still reaches.
        outside = binary_erosion(outside, iterations=2, border_value=1)
        excess.append((sample.image - sample.background)[..., outside].ravel())
    noise = np.sqrt(sample.background.mean() / 2 + 9)
    assert abs(np.median(np.concatenate(excess))) < noise


@pytest.mark.parametrize("name", ["neurons", "nuclei", "nuclei 3D", "tissue"])
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_classes_and_objects_agree(name, seed):
    sample = SMALL[name](seed=seed)
    assert np.array_equal(sample.classes > 0, sample.objects > 0)
    assert np.array_equal(sample.mask, sample.classes > 0)
    pairs = np.unique(np.stack([sample.objects[sample.mask], sample.classes[sample.mask]]), axis=1)
    assert pairs.shape[1] == sample.objects.max(), "every object is of one class"


@pytest.mark.parametrize("name", ["membranes", "membranes 3D"])
def test_a_membrane_lies_between_two_cells(name):
    sample = SMALL[name]()
    assert not np.any(sample.mask & (sample.objects > 0))
    objects = sample.objects
    for axis in range(objects.ndim):
        here, there = np.moveaxis(objects, axis, 0)[:-1], np.moveaxis(objects, axis, 0)[1:]
        meet = (here > 0) & (there > 0) & (here != there)
        assert meet.mean() < 1e-3, "no two cells touch, but at a warped corner"
    brightness = sample.image - sample.background
    assert np.median(brightness[sample.mask]) > 3 * np.median(brightness[objects > 0])


def test_nuclei_are_bright_and_neurons_dark():
    for sample, sign in ((nuclei(), 1), (neurons(), -1)):
        excess = sign * (sample.image - sample.background)
        assert np.median(excess[sample.mask]) > 3 * np.median(np.abs(excess[~sample.mask]))


def test_a_body_has_a_bright_halo():
    sample = neurons(noise=0, debris=0, unevenness=0)
    assert (sample.image - sample.background)[~sample.mask].max() > 150


def test_neurons_need_their_background_removed():
    raw, flat = [], []
    for seed in range(3):
        sample = neurons(seed=seed)
        raw.append(dice(sample.image < threshold_otsu(sample.image), sample.mask))
        level = flattened(sample.image)
        flat.append(dice(level < threshold_otsu(level), sample.mask))
    assert max(raw) < 0.4, "Otsu's threshold of the raw image fails"
    assert min(flat) > 0.6, "after the background it is usable"
    assert max(flat) < 0.88, "and leaves something to learn"


def test_without_contrast_there_is_nothing_to_find():
    sample = neurons(contrast=0)
    level = flattened(sample.image)
    assert dice(level < threshold_otsu(level), sample.mask) < 0.3


def test_the_tissues_differ_in_texture_not_in_brightness():
    sample = tissue(noise=0)
    through = (sample.image - 100.0) / (sample.background - 100.0)
    stroma, gland = (through[sample.classes == k] for k in (1, 2))
    assert abs(stroma.mean() - gland.mean()) < 0.03
    assert stroma.mean() < 0.7


def test_every_stain_favours_its_tissue():
    sample = tissue(channels=2)
    excess = sample.image - sample.background
    for channel, own in enumerate((1, 2)):
        other = 3 - own
        assert (
            excess[channel][sample.classes == own].mean()
            > 4 * excess[channel][sample.classes == other].mean()
        )


def test_a_volume_is_as_coarse_as_it_says():
    fine = nuclei((40, 96, 96), spacing=(0.5, 0.5, 0.5))
    coarse = nuclei((14, 96, 96), spacing=(1.5, 0.5, 0.5))
    heights = []
    for sample in (fine, coarse):
        columns = [np.any(sample.objects == k, axis=(1, 2)).sum() for k in range(1, 8)]
        heights.append(sample.spacing[0] * float(np.median(columns)))
    assert heights[0] == pytest.approx(heights[1], rel=0.4)
    assert 5 < heights[0] < 20


def test_more_touching_is_more_touching():
    def contacts(sample):
        ids = sample.objects
        return np.count_nonzero((ids[:, 1:] != ids[:, :-1]) & (ids[:, 1:] > 0) & (ids[:, :-1] > 0))

    assert contacts(nuclei(touching=0)) * 2 < contacts(nuclei(touching=0.8))


def test_the_knobs_turn():
    assert neurons(density=3).objects.max() > neurons(density=0).objects.max() == 1
    assert nuclei(density=2).objects.max() > nuclei(density=0.5).objects.max()
    assert nuclei(density=0).objects.max() == 1
    assert membranes(density=2).objects.max() > membranes().objects.max()
    assert membranes(thickness=2).mask.mean() > 1.5 * membranes().mask.mean()
    for draw in (neurons, nuclei, membranes, tissue):
        assert np.ptp(draw((64, 64), unevenness=0).background) == 0
        shaded = draw((64, 64), unevenness=0, vignetting=0.5).background
        assert shaded[0, 0] < 0.8 * shaded[32, 32]


@settings(max_examples=12, deadline=None)
@given(
    rows=st.integers(16, 70), columns=st.integers(16, 70), seed=st.integers(0, 1000),
    scene=st.sampled_from([neurons, nuclei, membranes, tissue]),
)  # fmt: skip
def test_any_size_can_be_drawn(rows, columns, seed, scene):
    sample = scene((rows, columns), seed=seed)
    assert isinstance(sample, Sample)
    assert sample.image.shape == (rows, columns)
    assert np.all(np.isfinite(sample.background))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: neurons((8, 100)), "too small"),
        (lambda: neurons((4, 64, 64)), "3 numbers; give 2"),
        (lambda: nuclei((64,)), "give 2 or 3"),
        (lambda: nuclei((64, 64), spacing=(1.0,)), "must be 2 positive"),
        (lambda: membranes((64, 64), spacing=(0.0, 1.0)), "must be 2 positive"),
        (lambda: neurons((64, 64), noise=-1), "noise = -1"),
        (lambda: neurons((64, 64), noise=float("nan")), "noise = nan"),
        (lambda: nuclei((64, 64), touching=2), "touching = 2"),
        (lambda: tissue((64, 64), channels=3), "channels"),
    ],
)
def test_what_cannot_be_drawn_is_said(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_smooth_fields_are_smooth_and_standard():
    field = smooth_field(np.random.default_rng(0), (5, 90, 70), (3, 20, 20))
    assert field.shape == (5, 90, 70)
    assert abs(field.mean()) < 1e-5
    assert field.std() == pytest.approx(1, abs=1e-4)
    assert np.abs(np.diff(field, axis=1)).max() < 0.3


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_uneven_light_is_nearly_quadratic(seed):
    surface = uneven(np.random.default_rng(seed), (50, 60))
    assert (surface.min(), surface.max()) == pytest.approx((-0.5, 0.5), abs=1e-6)
    assert flattened(surface).std() < 0.03


def test_scattered_points_keep_their_distance():
    points = scatter(np.random.default_rng(0), (0, 0), (50, 50), 200, 9.0)
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1) + 1e9 * np.eye(len(points))
    assert gaps.min() >= 9
    assert 10 < len(points) < 200


def test_consecutive_ids_keep_the_objects_apart():
    ids = np.array([[0, 7, 7], [3, 0, 12]], np.int32)
    assert consecutive(ids).tolist() == [[0, 2, 2], [1, 0, 3]]
    assert consecutive(np.zeros((2, 2), np.int32)).tolist() == [[0, 0], [0, 0]]


KINDS = list(itertools.product(SHAPES, LOOKS))


@pytest.mark.parametrize(("shape", "look"), KINDS)
def test_a_micrograph_of_any_kind_shows_what_it_says(shape, look):
    sample = micrograph((96, 128), seed=3, shape=shape, look=look)
    again = micrograph((96, 128), seed=3, shape=shape, look=look)
    assert sample.image.dtype == np.uint16
    assert sample.image.shape == sample.objects.shape == (96, 128)
    np.testing.assert_array_equal(sample.image, again.image)
    np.testing.assert_array_equal(sample.classes > 0, sample.objects > 0)
    ids = np.unique(sample.objects)
    np.testing.assert_array_equal(ids, np.arange(len(ids)))
    assert sample.mask.any()
    assert not sample.mask.all()


@pytest.mark.parametrize("look", LOOKS)
def test_cells_of_every_look_can_be_seen(look):
    def told_apart(seed):
        """Return how far cells and field differ in brightness or grain, in units of the noise."""
        sample = micrograph((128, 128), seed=seed, shape="blobs", look=look)
        light = sample.image - sample.background
        grain = np.abs(light - ndimage.uniform_filter(light, 5))
        inside = ndimage.binary_dilation(sample.mask, iterations=2)
        if inside.all():
            inside = sample.mask
        relief = np.abs(ndimage.gaussian_filter(light, 1) - np.median(light[~inside]))
        shown = (light, grain, relief)
        return max(abs(x[inside].mean() - x[~inside].mean()) / x[~inside].std() for x in shown)

    assert np.median([told_apart(seed) for seed in range(7)]) > 1.5


def test_micrographs_differ_in_size_and_kind_when_nothing_is_asked_for():
    samples = [micrograph((96, 96), seed=seed) for seed in range(12)]
    assert len({sample.name for sample in samples}) > 5
    assert len({int(sample.objects.max()) for sample in samples}) > 5


def test_a_kind_that_nobody_draws_is_refused():
    with pytest.raises(InputError, match="no 'spirals' to draw"):
        micrograph(shape="spirals")
    with pytest.raises(InputError, match="no 'neon' to draw"):
        micrograph(look="neon")


@pytest.mark.parametrize("shape", [(160, 200), (10, 140, 140)])
def test_every_nucleus_lies_in_one_cell(shape):
    sample = cells(shape, seed=2, binucleate=0.4, anucleate=0.3)
    inside = sample.nuclei > 0
    assert np.array_equal(inside, sample.classes == 2)
    assert (sample.objects[inside] > 0).all()
    pairs = np.unique(np.stack([sample.nuclei[inside], sample.objects[inside]]), axis=1)
    assert len(np.unique(pairs[0])) == pairs.shape[1], "no nucleus lies in two cells"
    counts = np.bincount(pairs[1], minlength=sample.objects.max() + 1)[1:]
    assert (counts == 0).any()
    assert (counts > 1).any()
    assert sample.image[0][inside].mean() > 2 * sample.image[0][~inside].mean()
    assert sample.as_image().channel_names == ("nuclei", "cytoplasm")


def test_cells_can_all_have_one_nucleus():
    sample = cells((120, 120), seed=1, binucleate=0, anucleate=0)
    whole = np.setdiff1d(
        sample.objects,
        np.concatenate(
            [
                sample.objects[0],
                sample.objects[-1],
                sample.objects[:, 0],
                sample.objects[:, -1],
            ]
        ),
    )
    for number in whole[whole > 0]:
        assert len(np.setdiff1d(sample.nuclei[sample.objects == number], [0])) == 1
