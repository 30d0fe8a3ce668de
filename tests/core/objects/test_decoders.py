"""What a network of objects is to say: true for whole objects, however the image is cut."""

import numpy as np
import pytest
from scipy import ndimage

from napari_unetseg.core.objects.decode import decode
from napari_unetseg.core.objects.decoders import DECODERS, DecoderSpec, edge_distances


def two_touching() -> np.ndarray:
    """Two rectangles 8 and 12 pixels wide that share a side."""
    ids = np.zeros((20, 30), np.int32)
    ids[4:16, 3:11], ids[4:16, 11:23] = 7, 3
    return ids


def test_the_distance_is_to_the_own_edge_and_1_in_the_middle() -> None:
    ids = two_touching()
    (share,) = DECODERS["distance"].targets(ids)
    assert share.dtype == np.float32
    assert (share[ids == 0] == 0).all()
    assert ((share[ids > 0] > 0) & (share[ids > 0] <= 1)).all()
    for one in (7, 3):
        assert share[ids == one].max() == 1
    # A column beside the shared side is as near to an edge as one beside the background.
    assert share[10, 10] == share[10, 3] == pytest.approx(0.5 / 3.5)
    assert share[10, 11] == share[10, 22] == pytest.approx(0.5 / 5.5)


def test_distances_equal_those_of_each_object_alone() -> None:
    rng = np.random.default_rng(0)
    ids = np.kron(rng.integers(0, 5, (6, 7)), np.ones((5, 4), int)).astype(np.int32)
    distance, most = edge_distances(np.pad(ids, 1), (1.0, 1.0))
    for one in range(1, 5):
        alone = np.pad(ids, 1) == one
        want = ndimage.distance_transform_edt(alone) - 0.5
        np.testing.assert_allclose(distance[alone], want[alone], rtol=1e-5)
        np.testing.assert_allclose(most[alone], want[alone].max(), rtol=1e-5)


def test_the_border_of_the_image_is_no_edge() -> None:
    ids = np.zeros((20, 20), np.int32)
    ids[5:15, :6] = 1
    (share,) = DECODERS["distance"].targets(ids)
    (rim,) = DECODERS["boundary"].targets(ids)
    assert share[10, 0] == 1
    assert rim[10, 0] == 0
    assert rim[10, 5] == rim[5, 0] == 1
    everywhere = np.ones((6, 7), np.int32)
    assert (DECODERS["distance"].targets(everywhere) == 1).all()
    assert (DECODERS["boundary"].targets(everywhere) == 0).all()


def test_planes_that_are_far_apart_count_as_far() -> None:
    ids = np.zeros((9, 31, 31), np.int32)
    ids[1:8, 5:26, 5:26] = 1
    distance, _ = edge_distances(ids, (3.0, 1.0, 1.0))
    assert distance[1, 15, 15] == pytest.approx(2.5)
    assert distance[4, 15, 5] == pytest.approx(0.5)
    assert distance[4, 15, 15] == pytest.approx(10.5)


def test_a_rim_leaves_small_objects_an_inside_and_grows_with_coarse_pixels() -> None:
    ids = np.zeros((40, 40), np.int32)
    ids[2:5, 2:5], ids[10:38, 10:38] = 1, 2
    (rim,) = DECODERS["boundary"].targets(ids)
    assert rim[3, 3] == 0
    assert rim[2, 3] == 1
    assert rim[24, 10:15].tolist() == [1, 1, 0, 0, 0]
    (coarse,) = DECODERS["boundary"].targets(ids, pixel=2)
    assert coarse[24, 10:16].tolist() == [1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("decoding", DECODERS)
def test_true_maps_give_back_the_true_objects(decoding: str) -> None:
    ids = two_touching()
    spec = DecoderSpec(decoding=decoding)  # type: ignore[arg-type]
    maps = spec.decoder.targets(ids)
    assert maps.shape == (spec.n_maps, *ids.shape)
    found, n = decode((ids > 0).astype(np.float32), maps, spec)
    assert n == 2
    for one in (7, 3):
        assert len(np.unique(found[ids == one])) == 1


@pytest.mark.parametrize("decoding", DECODERS)
def test_nothing_has_no_maps_to_speak_of(decoding: str) -> None:
    assert not DECODERS[decoding].targets(np.zeros((5, 6), np.int32)).any()
