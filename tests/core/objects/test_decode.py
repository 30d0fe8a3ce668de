"""Decoding: every piece of foreground by itself, everything touching parted as asked."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import label as measure_label

from napari_unetseg.core import samples
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_objects import decode_image
from napari_unetseg.core.objects.decode import DecodeOptions, decode, object_certainty
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.objects.masks import label
from napari_unetseg.core.objects.watershed import grow_seeds
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.scoring.object_scores import match
from napari_unetseg.core.scoring.overlap import overlap_of

DISTANCE = DecoderSpec(decoding="distance")
AROUND = np.ones((3, 3))


def noisy(decoding: str = "distance", *, shape=(160, 200), seed: int = 0):
    """Return ids, and foreground and maps as a network that is unsure would say them."""
    ids = samples.nuclei(shape, seed=seed, touching=0.8, density=1.5).objects
    rng = np.random.default_rng(seed)
    sigma = (0, *(1.5,) * len(shape))
    wobble = 2 * ndimage.gaussian_filter(rng.standard_normal((2, *shape)), sigma)
    spec = DecoderSpec(decoding=decoding)  # type: ignore[arg-type]
    soft = ndimage.gaussian_filter((ids > 0).astype(np.float32), 1)
    foreground = np.clip(soft + 0.3 * wobble[0], 0, 1).astype(np.float32)
    maps = np.clip(spec.decoder.targets(ids) + 0.2 * wobble[1], 0, 1).astype(np.float32)
    return ids, foreground, maps, spec


@pytest.mark.parametrize("fill_holes", [False, True])
@pytest.mark.parametrize(
    ("split", "decoding"),
    [
        ("learnt", "distance"),
        ("learnt", "boundary"),
        ("shape", "distance"),
        ("probability", "distance"),
        ("none", "distance"),
    ],
)
def test_each_piece_of_foreground_decodes_by_itself(
    split: str, decoding: str, fill_holes: bool
) -> None:
    _, foreground, maps, spec = noisy(decoding)
    options = DecodeOptions.checked(split=split, fill_holes=fill_holes, split_depth=0.05)
    whole, n = decode(foreground, maps, spec, options)
    mask = foreground >= 0.5
    if fill_holes:
        mask = ndimage.binary_fill_holes(mask)
    pieces, n_pieces = ndimage.label(mask, AROUND)
    assert n_pieces > 5
    if split != "none":
        assert n > n_pieces
    put_together, first = np.zeros_like(whole), 0
    for number, box in enumerate(ndimage.find_objects(pieces), start=1):
        # One pixel of background around it, so that the cut is no border of the image.
        box = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
        own = pieces[box] == number
        here, found = decode(np.where(own, foreground[box], 0), maps[:, *box], spec, options)
        put_together[box] += np.where(own, np.where(here > 0, here + first, 0), 0)
        first += found
    assert first == n
    overlap = overlap_of(whole, put_together)
    assert len(overlap.pixels) == n
    assert (overlap.iou() == 1).all()


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.sampled_from(["learnt", "shape", "probability", "none"]),
    st.sampled_from(["distance", "boundary"]),
    st.sampled_from([(60, 70), (9, 24, 26)]),
    st.sampled_from([0.6, 1.0, 2.0]),
    st.sampled_from([0.01, 0.15, 0.4]),
    st.sampled_from([0.0, 0.4]),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_decoded_objects_are_in_one_piece(
    split, decoding, shape, sigma, depth, seed_height, fill_holes, seed
) -> None:
    noise = np.random.default_rng(seed).standard_normal((2, *shape))
    noise = ndimage.gaussian_filter(noise, (0, *(sigma,) * len(shape)))
    foreground, distance = np.clip(0.5 + 0.3 * noise / noise.std(), 0, 1).astype(np.float32)
    options = DecodeOptions(
        split=split, split_depth=depth, seed_height=seed_height, fill_holes=fill_holes, min_size=3
    )
    spec = DecoderSpec(decoding=decoding)
    found, n = decode(foreground, distance[None], spec, options)
    assert n == found.max() >= 1
    assert measure_label(found, connectivity=len(shape)).max() == n


def test_an_object_scores_by_its_probability_and_its_peak() -> None:
    foreground = np.zeros((12, 40), np.float32)
    foreground[2:6, 2:10], foreground[2:6, 14:22], foreground[2:6, 26:34] = 0.9, 0.6, 0.9
    maps = np.zeros((1, 12, 40), np.float32)
    maps[0, 3, 5], maps[0, 3, 17], maps[0, 3, 30] = 0.8, 0.8, 0.2
    whole = decode(foreground, maps, DISTANCE)
    scores = object_certainty(*whole, foreground, maps, DISTANCE)
    np.testing.assert_allclose(scores, [0.72, 0.48, 0.18], atol=1e-6)
    found, n = decode(foreground, maps, DISTANCE, DecodeOptions(min_score=0.4))
    assert n == 2
    np.testing.assert_array_equal(found, np.where(whole[0] == 3, 0, whole[0]))
    # A hole that is filled does not lower the score.
    ring = np.where(np.pad(np.zeros((4, 4)), 3, constant_values=1) > 0, 0.9, 0).astype(np.float32)
    options = DecodeOptions(split="none", fill_holes=True, min_score=0.8)
    assert (decode(np.pad(ring, 2), options=options)[0] > 0).sum() == 100


def test_the_largest_piece_of_a_seed_grows() -> None:
    seeds = np.array([[1, 0, 2, 2, 0, 1, 1, 0]], np.int32)
    grown = grow_seeds(seeds, np.ones(seeds.shape, bool))
    assert grown.tolist() == [[2, 2, 2, 2, 2, 1, 1, 1]]


@pytest.mark.parametrize("decoding", ["distance", "boundary"])
def test_touching_nuclei_are_parted_and_components_are_not(decoding: str) -> None:
    ids, foreground, maps, spec = noisy(decoding, seed=1)
    n_true = len(np.unique(ids)) - 1
    found, _ = decode(foreground, maps, spec, DecodeOptions(min_size=10))
    joined, _ = decode(foreground, maps, spec, DecodeOptions(split="none", min_size=10))
    good, control = (match(overlap_of(labels, ids)).ap for labels in (found, joined))
    assert good > 0.6
    assert control < good - 0.2
    assert label(ids > 0)[1] < n_true


def test_a_lower_waist_cuts_more_and_1_nothing() -> None:
    _, foreground, maps, spec = noisy()
    counts = [
        decode(foreground, maps, spec, DecodeOptions(split_depth=depth))[1]
        for depth in (0.02, 0.1, 0.3, 0.6, 0.999)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
    assert counts[-1] >= ndimage.label(foreground >= 0.5, AROUND)[1]


def test_low_peaks_join_higher_ones_but_stay_where_they_are_alone() -> None:
    foreground = np.zeros((9, 40), np.float32)
    foreground[2:7, 2:20] = foreground[2:7, 25:35] = 1
    maps = np.zeros((1, 9, 40), np.float32)
    maps[0, 4, 5], maps[0, 4, 15], maps[0, 4, 30] = 0.9, 0.3, 0.2
    assert decode(foreground, maps, DISTANCE)[1] == 3
    labels, n = decode(foreground, maps, DISTANCE, DecodeOptions(seed_height=0.5))
    assert n == 2
    assert (labels[2:7, 2:20] == 1).all()
    assert (labels[2:7, 25:35] == 2).all()


def test_options_do_what_they_say() -> None:
    ring = np.zeros((20, 20), np.float32)
    ring[3:15, 3:15] = 0.6
    ring[6:12, 6:12] = 0
    ring[18, 18] = 0.9
    none = {"split": "none"}
    assert decode(ring, options=DecodeOptions(split="none"))[1] == 2
    assert decode(ring, options=DecodeOptions.checked(**none, min_size=2))[1] == 1
    assert decode(ring, options=DecodeOptions.checked(**none, foreground=0.7))[1] == 1
    closed, _ = decode(ring, options=DecodeOptions.checked(**none, fill_holes=True))
    assert (closed[3:15, 3:15] == 1).all()
    nothing, n = decode(np.zeros((5, 5), np.float32))
    assert (n, nothing.max(), nothing.dtype) == (0, 0, np.int32)


def test_planes_of_a_stack_share_no_id_and_a_stack_of_3d_is_one() -> None:
    _, foreground, maps, spec = noisy(shape=(60, 70))
    stack = np.stack([np.concatenate([(1 - foreground, foreground), maps])] * 3)
    image = Image.of(stack, "ZCYX", spacing=(2.0, 1.0, 1.0), unit="µm")
    planes = decode_image(image, (0, 1), spec, DecodeOptions(link="none"))
    _, n = decode(foreground, maps, spec)
    assert (planes.axes, planes.data.dtype, planes.unit) == ("ZYX", np.int32, "µm")
    assert np.array_equal(np.unique(planes.data), np.arange(3 * n + 1))
    assert decode_image(image, (0, 1), spec).data.max() == n  # linked when nothing is said
    moved = Image.of(np.moveaxis(stack, 1, 0), "CZYX", spacing=(2.0, 1.0, 1.0))
    deep = decode_image(moved, (0, 1), spec, ndim=3)
    assert deep.data.max() < 3 * n
    np.testing.assert_array_equal(deep.data[0] > 0, planes.data[0] > 0)


def test_any_class_may_be_the_background() -> None:
    proba = np.zeros((3, 8, 20), np.float32)
    proba[2] = 1
    proba[:, 2:6, 2:8] = np.array([1, 0, 0])[:, None, None]
    proba[:, 2:6, 12:18] = np.array([0, 1, 0])[:, None, None]
    image = Image.of(proba, "CYX")
    assert decode_image(image, (1, 2, 3), options=DecodeOptions(background=3)).data.max() == 2
    assert decode_image(image, (1, 2, 3), options=DecodeOptions(split="none")).data.max() == 1
    with pytest.raises(InputError, match="no class 9"):
        decode_image(image, (1, 2, 3), options=DecodeOptions(background=9))


def test_what_was_not_learnt_cannot_be_asked_for() -> None:
    with pytest.raises(InputError, match="learnt classes"):
        decode(np.ones((5, 5), np.float32), options=DecodeOptions(split="learnt"))


def test_cancelling_flies_through() -> None:
    def stop(fraction: float, message: str = "") -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        decode_image(Image.of(np.ones((2, 5, 5), np.float32), "CYX"), (0, 1), progress=stop)
