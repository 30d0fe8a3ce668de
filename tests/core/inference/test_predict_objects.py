"""Objects of whole images: the same in memory, by blocks and from disk, and linked as asked."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from scipy import ndimage

from napari_unetseg.core.compute import scratch_arrays as scratch
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference import predict_objects
from napari_unetseg.core.inference.predict_objects import decode_image, predict_objects_image
from napari_unetseg.core.inference.predict_tiles import predict_maps_image
from napari_unetseg.core.normalisation import Normalisation
from napari_unetseg.core.objects import decode_blocks
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import Cancelled, StopEarly

SAME = Normalisation((0.0,), (1.0,))
SIDES = {"T": 2, "Z": 3, "Y": 40, "X": 44}
PLANE_OF_MAPS = 3 * 40 * 44 * 4
MUCH, LITTLE = 10**9, 100


class Pointwise:
    """A segmenter of objects that says of every pixel what its intensity says."""

    classes = ("background", "object")
    n_channels = 1
    decoder: DecoderSpec | None = DecoderSpec()

    def __init__(self, ndim=2):
        self.ndim = ndim
        self.halo, self.multiple, self.border = (0,) * ndim, (1,) * ndim, (0,) * ndim

    def predict_proba(self, block, *, origin, shape):
        return self.predict_maps(block, origin=origin, shape=shape)[:2]

    def predict_maps(self, block, *, origin, shape):
        foreground = np.clip(block[0], 0, 1)
        return np.stack([1 - foreground, foreground, foreground**2]).astype(np.float32)


def blobs(axes, seed=0):
    """Return smooth random blobs, the same in neighbouring planes more or less."""
    shape = tuple(SIDES[axis] for axis in axes)
    noise = np.random.default_rng(seed).standard_normal(shape)
    sigma = [{"T": 0.0, "Z": 1.0}.get(axis, 3.0) for axis in axes]
    smooth = ndimage.gaussian_filter(noise, sigma)
    return Image.of((0.4 + 0.4 * smooth / smooth.std()).astype(np.float32), axes)


def straight(image, options, ndim=2):
    """Return the objects by maps of everything, decoded at once."""
    maps = predict_maps_image(image, Pointwise(ndim), SAME)
    return decode_image(maps, (0, 1), Pointwise.decoder, options, ndim=ndim).asarray()


def open_files():
    """Return how many temporary files are open; they have no name."""
    links = Path("/proc/self/fd")
    if not links.is_dir():
        return 0
    names = [os.readlink(link) for link in links.iterdir() if link.is_symlink()]
    return sum(name.startswith(tempfile.gettempdir()) for name in names)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Take the least plane for large, and little for all the memory there is."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(predict_objects, "AT_ONCE", 1000)
    monkeypatch.setattr(decode_blocks, "SIDES", {2: 19, 3: 23})

    def limit(n_bytes):
        monkeypatch.setattr(scratch, "IN_MEMORY", n_bytes)

    return limit


@pytest.mark.parametrize(
    ("axes", "ndim", "link", "limit"),
    [
        ("YX", 2, "none", MUCH),
        ("YX", 2, "none", LITTLE),
        ("ZYX", 2, "planes", PLANE_OF_MAPS - 1),
        ("TZYX", 2, "both", LITTLE),
        ("TZYX", 3, "none", MUCH),
        ("TZYX", 3, "time", LITTLE),
    ],
)
def test_large_is_as_small(small, monkeypatch, axes, ndim, limit, link):
    image, options = blobs(axes), DecodeOptions(split_depth=0.1, min_size=4, link=link)
    with monkeypatch.context() as plain:
        plain.setattr(predict_objects, "AT_ONCE", MUCH)
        expected = straight(image, options, ndim)
    assert expected.max() > 2
    small(limit)
    found = predict_objects_image(image, Pointwise(ndim), SAME, (0, 1), options, tile=32)
    assert found.axes == axes
    assert found.dtype == np.int32
    assert found.lazy == (limit < expected.nbytes)
    np.testing.assert_array_equal(found.asarray(), expected)
    del found
    assert open_files() == 0


def test_maps_on_disk_of_a_small_plane_are_decoded_at_once(small, monkeypatch):
    small(LITTLE)
    monkeypatch.setattr(predict_objects, "AT_ONCE", MUCH)
    image, options = blobs("YX"), DecodeOptions(min_size=4)
    found = predict_objects_image(image, Pointwise(), SAME, (0, 1), options)
    np.testing.assert_array_equal(found.asarray(), straight(image, options))


def test_ids_are_never_used_twice_unless_linked(small):
    small(LITTLE)
    image = blobs("ZYX")
    apart, linked = (
        predict_objects_image(
            image, Pointwise(), SAME, (0, 1), DecodeOptions.checked(split="none", link=link)
        ).asarray()
        for link in ("none", "planes")
    )
    planes = [set(np.unique(plane)) - {0} for plane in apart]
    assert sum(map(len, planes)) == len(set().union(*planes)) == apart.max()
    assert 0 < linked.max() < apart.max()
    assert set(np.unique(linked[0])) & set(np.unique(linked[1])) - {0}
    np.testing.assert_array_equal(linked > 0, apart > 0)


def test_it_writes_where_it_is_told(small, tmp_path):
    small(LITTLE)
    image, options = blobs("ZYX"), DecodeOptions(link="planes")
    out = zarr.create_array(
        tmp_path / "ids.zarr", shape=image.shape, chunks=(1, 20, 20), dtype="int32"
    )
    made = predict_objects_image(image, Pointwise(), SAME, (0, 1), options, out=out)
    assert made.data is out
    np.testing.assert_array_equal(out[:], straight(image, options))


def test_cancelling_at_any_time_leaves_no_file(small):
    image, told = blobs("ZYX"), []
    options = DecodeOptions(link="planes")

    def listen(fraction, message=""):
        told.append((fraction, message))

    def run(progress):
        small(LITTLE)
        predict_objects_image(image, Pointwise(), SAME, (0, 1), options, tile=32, progress=progress)

    run(listen)
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    messages = {message for _, message in told}
    assert {"predicting", "finding objects", "joining objects", "linking objects"} <= messages
    for after in np.linspace(0, len(told) - 1, 6).astype(int):
        left = iter(range(after))

        def cancels(fraction, message="", left=left):
            if next(left, None) is None:
                raise Cancelled

        with pytest.raises(Cancelled):
            run(cancels)
        assert open_files() == 0


def test_an_error_leaves_no_file(small):
    small(LITTLE)
    with pytest.raises(InputError, match="no class 9"):
        predict_objects_image(blobs("YX"), Pointwise(), SAME, (0, 1), DecodeOptions(background=9))

    class Broken(Pointwise):
        def predict_maps(self, block, *, origin, shape):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        predict_objects_image(blobs("YX"), Broken(), SAME, (0, 1))
    assert open_files() == 0


@pytest.mark.parametrize("limit", [MUCH, LITTLE])
def test_stopping_early_keeps_what_is_finished(small, limit):
    small(limit)
    image = blobs("ZYX")
    whole = straight(image, DecodeOptions(split="none"))

    def stops(fraction, message=""):
        if fraction > 0.4:
            raise StopEarly

    found = predict_objects_image(
        image, Pointwise(), SAME, (0, 1), DecodeOptions(split="none"), tile=30, progress=stops
    ).asarray()
    np.testing.assert_array_equal(found[0], whole[0])
    assert not found[-1].any()
    assert not (found > 0)[whole == 0].any()


def test_a_net_too_wide_for_memory_is_refused_from_disk_alone(small, monkeypatch):
    monkeypatch.setattr(predict_objects, "LARGEST_COMPONENT", 1000)
    everywhere = Image.of(np.ones((40, 44), np.float32), "YX")
    assert predict_objects_image(everywhere, Pointwise(), SAME, (0, 1)).data.max() == 1
    small(LITTLE)
    with pytest.raises(InputError, match="spans 40 x 44 pixels"):
        predict_objects_image(everywhere, Pointwise(), SAME, (0, 1))
    assert open_files() == 0
