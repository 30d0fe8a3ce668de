"""How objects are made is chosen by true ones: specks, shallow waists and pale objects go."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_unetseg.core import samples
from napari_unetseg.core.objects.choose_decoding import (
    FEWEST_OBJECTS,
    KnownObjects,
    cautious_decoding,
    choose_decoding,
    describe_decoding,
)
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.decoders import DecoderSpec

SPEC = DecoderSpec()


def known(seed=0, *, specks=60, pale=0, shape=(256, 320), ripple=0.0):
    """Return nuclei as a network would see them that also sees specks and pale blobs."""
    ids = samples.nuclei(shape, seed=seed, touching=0.5, density=1.6).objects
    rng = np.random.default_rng(seed)
    foreground = np.where(ids > 0, 0.95, 0.02)
    distance = SPEC.decoder.targets(ids)[0]
    if ripple:
        waves = ndimage.gaussian_filter(rng.standard_normal(shape), 1.5)
        distance = np.clip(distance + ripple * waves / waves.std() * (ids > 0), 0, 1)
    free = ndimage.distance_transform_edt(ids == 0) > 8
    for size, level, count in ((1, 0.95, specks), (5, 0.6, pale)):
        places = np.argwhere(free)
        for y, x in places[rng.permutation(len(places))[:count]]:
            foreground[y : y + size, x : x + size] = level
            distance[y : y + size, x : x + size] = level
    maps = distance[None].astype(np.float32)
    return KnownObjects(foreground.astype(np.float32), maps, ids, np.ones(shape, bool))


def test_specks_are_removed_and_objects_stay():
    choice = choose_decoding([known()], SPEC)
    assert choice.searched
    assert 1 < choice.options.min_size < 40
    assert choice.before.precision < 0.7
    assert choice.after.precision > 0.95
    assert choice.after.recall >= choice.before.recall


def test_pale_objects_are_removed_by_level_or_score():
    choice = choose_decoding([known(specks=0, pale=30)], SPEC)
    assert choice.after.invented < 0.2 * choice.before.invented
    assert choice.after.recall >= choice.before.recall


def test_a_score_is_chosen_before_a_size_which_another_scale_would_change():
    one = known(specks=0, pale=30)
    chosen = choose_decoding([one], SPEC).options
    assert chosen.min_score > 0
    assert chosen.min_size == cautious_decoding(DecodeOptions(), [one.truth]).min_size


def test_shallow_waists_are_not_cut_where_heights_ripple():
    choice = choose_decoding([known(specks=0, ripple=0.08)], SPEC, DecodeOptions(split_depth=0.05))
    assert choice.options.split_depth > 0.05
    assert choice.after.ap50 > choice.before.ap50


def test_what_is_as_good_stays_as_it_was():
    usual = DecodeOptions(split_depth=0.15)
    clean = known(specks=0)
    choice = choose_decoding([clean], SPEC, usual)
    assert choice.options == cautious_decoding(usual, [clean.truth])
    assert 0 < choice.options.min_size < np.bincount(clean.truth.ravel())[1:].min()


def test_only_what_is_known_counts():
    whole = known()
    counted = np.zeros(whole.counted.shape, bool)
    counted[:, :200] = True
    left = [array[..., :200] for array in (whole.foreground, whole.maps)]
    cut = KnownObjects(*left, whole.truth[:, :200], counted[:, :200])
    masked = KnownObjects(whole.foreground, whole.maps, np.where(counted, whole.truth, 0), counted)
    n, m = (choose_decoding([one], SPEC) for one in (cut, masked))
    assert n.n_true == m.n_true
    assert n.options.min_size == pytest.approx(m.options.min_size, abs=5)


def test_too_few_objects_choose_nothing_but_a_cautious_size():
    ids = np.zeros((60, 60), np.int32)
    ids[5:15, 5:15], ids[30:40, 30:42], ids[50:52, 50:58] = 1, 2, 3
    few = KnownObjects((ids > 0).astype(np.float32), SPEC.decoder.targets(ids), ids, ids >= 0)
    usual = DecodeOptions(split_depth=0.3)
    choice = choose_decoding([few], SPEC, usual)
    assert (choice.searched, choice.n_true, choice.options) == (False, 3, usual)
    assert choice.n_true < FEWEST_OBJECTS
    cautious = cautious_decoding(usual, [ids])
    assert cautious.model_dump(exclude_unset=True) == {"split_depth": 0.3, "min_size": 5}
    assert "3 objects are too few" in describe_decoding(cautious, choice)
    assert "1 object is too few" in describe_decoding(cautious, replace(choice, n_true=1))
    ids[55, 55] = 4
    tiny = cautious_decoding(usual, [ids])
    assert "min_size" not in tiny.model_fields_set
    assert cautious_decoding(usual, [np.zeros((5, 5), int)]) is usual
    assert choose_decoding([], SPEC) is None
    assert describe_decoding(usual, None) == ""


def test_regions_of_a_mask_are_not_split_and_specks_go():
    ids = np.zeros((200, 200), np.int32)
    for k in range(25):
        y, x = 40 * (k // 5) + 5, 40 * (k % 5) + 5
        ids[y : y + 12, x : x + 30] = k + 1
        ids[y + 12 : y + 24, x + 10 : x + 30] = k + 1
    foreground = (ids > 0).astype(np.float32)
    foreground[::20, 37::40] = 1
    one = KnownObjects(foreground, foreground[None][:0], ids, ids >= 0)
    choice = choose_decoding([one], None, DecodeOptions(split="none"))
    assert choice.options.model_fields_set == {"split", "min_size"}
    assert choice.after.ap50 == 1 > choice.before.ap50
    sentence = describe_decoding(choice.options, choice)
    assert "the best for 25 known objects" in sentence
