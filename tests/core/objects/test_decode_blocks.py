"""Objects found block by block are those found at once, with the same numbers."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.objects.decode import DecodeOptions, decode
from napari_unetseg.core.objects.decode_blocks import decode_blocks
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import Cancelled


class Watched:
    """An array that knows the largest part that was ever read of it."""

    def __init__(self, array):
        self.array, self.shape, self.most = array, array.shape, 0

    def __getitem__(self, where):
        part = self.array[where]
        self.most = max(self.most, part[0].size)
        return part


def blobs(shape, seed, density):
    """Return maps (2 classes and one more) of smooth random shapes, rings among them."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), 2.2, mode="wrap")
    rings = ndimage.gaussian_filter(rng.standard_normal(shape), 6, mode="wrap")
    noise, rings = noise / noise.std(), rings / rings.std()
    foreground = 1 / (1 + np.exp(-6 * (noise - density) + 3 * (np.abs(rings) < 0.3)))
    height = ndimage.gaussian_filter(foreground * rng.random(shape), 1)
    return np.stack([1 - foreground, foreground, height / height.max()]).astype(np.float32)


OPTIONS = [
    (DecodeOptions(split="learnt"), DecoderSpec()),
    (DecodeOptions(split="learnt", seed_height=0.3), DecoderSpec(decoding="boundary")),
    (DecodeOptions(split="shape", min_size=9), None),
    (DecodeOptions(split="probability"), None),
    (DecodeOptions(split="none", fill_holes=True), None),
    (DecodeOptions(split="learnt", fill_holes=True, min_size=5), DecoderSpec()),
    (DecodeOptions(split="learnt", min_size=20, min_score=0.3), DecoderSpec()),
    (DecodeOptions(split="none", fill_holes=True, min_score=0.8), None),
]


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.sampled_from(OPTIONS),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.5, 1.2]),
    st.integers(5, 40),
    st.sampled_from([(61, 75), (40, 40), (9, 21, 26)]),
)
def test_blocks_give_the_objects_of_the_whole(how, seed, density, side, shape):
    options, decoder = how
    maps = blobs(shape, seed, density)
    whole, n = decode(1 - maps[0], maps[2:], decoder, options)
    out = np.zeros(shape, np.int32)
    found = decode_blocks(maps, 0, 2, decoder, options, out=out, side=side)
    assert found == n
    np.testing.assert_array_equal(out, whole)


def test_no_more_is_read_than_a_block_or_a_piece():
    maps = Watched(blobs((300, 300), 1, 1.5))
    out = np.zeros((300, 300), np.int32)
    n = decode_blocks(maps, 0, 2, None, out=out, side=64)
    assert n == out.max() > 50
    assert maps.most < 80 * 80


def test_a_piece_too_large_is_refused_with_what_to_do():
    maps = np.stack([np.zeros((60, 60)), np.ones((60, 60))]).astype(np.float32)
    with pytest.raises(InputError, match=r"spans 60 x 60 pixels.*Raise the foreground"):
        decode_blocks(maps, 0, 2, out=np.zeros((60, 60), np.int32), side=32, largest=3000)


def test_nothing_is_nothing():
    out = np.zeros((50, 50), np.int32)
    maps = np.stack([np.ones((50, 50)), np.zeros((50, 50))]).astype(np.float32)
    assert decode_blocks(maps, 0, 2, out=out, side=16) == 0
    assert not out.any()


def test_it_can_be_cancelled():
    def after_two(fraction, message=""):
        if fraction > 0.1:
            raise Cancelled

    maps = blobs((100, 100), 0, 0.5)
    with pytest.raises(Cancelled):
        decode_blocks(maps, 0, 2, out=np.zeros((100, 100), np.int32), side=20, progress=after_two)
