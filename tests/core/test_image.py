"""`Image`: what it guesses, what it refuses, how it is cut into planes and stacks."""

import dask.array as da
import numpy as np
import pytest
import zarr
from dask.callbacks import Callback
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2gray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import AXES, Image, read_pixels

axes_names = (
    st.permutations("TCZ")
    .flatmap(lambda order: st.integers(0, 3).map(lambda n: "".join(order[:n]) + "YX"))
    .filter(lambda axes: "Z" not in axes or axes.index("Z") < axes.index("Y"))
)


class TestAxes:
    @pytest.mark.parametrize(
        ("shape", "axes"),
        [
            ((5, 6), "YX"),
            ((4, 5, 6), "ZYX"),
            ((3, 4, 5, 6), "TZYX"),
            ((2, 3, 4, 5, 6), "TCZYX"),
            ((50, 60, 2), "ZYX"),
        ],
    )
    def test_are_guessed_from_their_number(self, shape, axes):
        assert Image.of(np.zeros(shape)).axes == axes

    @pytest.mark.parametrize("samples", [3, 4])
    @pytest.mark.parametrize(("lead", "axes"), [((), "YXC"), ((5,), "ZYXC")])
    def test_of_colour_are_seen(self, samples, lead, axes):
        image = Image.of(np.zeros((*lead, 20, 30, samples), np.uint8))
        assert (image.axes, image.rgb, image.n_channels) == (axes, True, 3)

    def test_of_colour_are_not_seen_where_there_is_none(self):
        assert not Image.of(np.zeros((20, 30, 3), np.uint16)).rgb
        assert not Image.of(np.zeros((20, 3, 3), np.uint8)).rgb
        assert not Image.of(np.zeros((20, 30, 3), np.uint8), rgb=False).rgb
        assert not Image.of(np.zeros((3, 20, 30), np.uint8), "CYX").rgb

    def test_may_be_lower_case(self):
        assert Image.of(np.zeros((3, 4, 5)), "cyx").axes == "CYX"

    @given(axes_names)
    def test_have_lengths_and_spacing(self, axes):
        shape = tuple(range(2, 2 + len(axes)))
        spatial = [axis for axis in axes if axis in "ZYX"]
        image = Image.of(np.zeros(shape), axes, spacing=range(1, 1 + len(spatial)))
        assert image.shape == shape
        assert image.spatial_axes == "".join(spatial)
        assert image.spatial_shape == tuple(shape[axes.index(axis)] for axis in spatial)
        assert [image.length(axis) for axis in AXES if axis not in axes] == [1] * (5 - len(axes))
        assert len(image.spacing) == len(spatial)

    @given(axes_names, st.sampled_from(["YX", "ZYX"]))
    def test_blocks_put_together_are_the_image(self, axes, block):
        data = np.arange(np.prod(range(2, 2 + len(axes)))).reshape(range(2, 2 + len(axes)))
        image = Image.of(data, axes)
        together = np.zeros_like(data)
        for index, part in image.blocks(block):
            together[image.block_slices(index, block)] = part
            assert part.shape == tuple(image.length(a) for a in axes if a in block)
        np.testing.assert_array_equal(together, data)
        assert len(image.indices(block)) == np.prod(image.loop_shape(block), dtype=int)


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (np.float64(3), "at least two axes"),
            (np.zeros(5), "at least two axes"),
            (np.zeros((2,) * 6), "6 axes"),
            (np.zeros((0, 5)), "empty"),
            (np.zeros((5, 5), complex), "complex"),
            (np.array([["a", "b"]]), "not numbers"),
            (np.array([[None, None]]), "not numbers"),
            (np.zeros((5, 5), "datetime64[s]"), "not numbers"),
        ],
    )
    def test_what_is_no_image(self, data, words):
        with pytest.raises(InputError, match=words):
            Image.of(data)

    @pytest.mark.parametrize(
        ("axes", "words"),
        [
            ("YX", "name 2 axes"),
            ("QYX", "letters of TCZYX"),
            ("YYX", "different letters"),
            ("ZXY", "Y and X, in that order"),
            ("ZTC", "need Y and X"),
            ("YXZ", "Z before Y"),
        ],
    )
    def test_axes_that_cannot_be(self, axes, words):
        with pytest.raises(InputError, match=words):
            Image.of(np.zeros((3, 4, 5)), axes)

    @pytest.mark.parametrize(
        "spacing", [(1,), (1, 1, 1), (0, 1), (-1, 1), (np.nan, 1), (np.inf, 1)]
    )
    def test_spacing_that_cannot_be(self, spacing):
        with pytest.raises(InputError, match="spacing"):
            Image.of(np.zeros((4, 5)), spacing=spacing)

    def test_colour_of_two_channels(self):
        with pytest.raises(InputError, match="3 or 4 channels"):
            Image.of(np.zeros((4, 5, 2)), "YXC", rgb=True)

    def test_another_shape(self):
        with pytest.raises(InputError, match="Expected"):
            Image.of(np.zeros((4, 5))).with_data(np.zeros((5, 4)))

    @pytest.mark.parametrize("index", [-1, 2])
    def test_a_channel_that_is_not_there(self, index):
        with pytest.raises(InputError, match="no channel"):
            Image.of(np.zeros((2, 4, 5)), "CYX").channel(index)


class TestColour:
    def test_luminance_is_scikit_images(self):
        data = np.random.default_rng(0).integers(0, 256, (12, 13, 3), dtype=np.uint8)
        grey = Image.of(data).grey()
        assert (grey.axes, grey.dtype, grey.rgb) == ("YX", np.float32, False)
        np.testing.assert_allclose(grey.data, rgb2gray(data) * 255, rtol=1e-5)

    @pytest.mark.parametrize("channel", ["luminance", "red", "green", "blue"])
    @pytest.mark.parametrize("axes", ["ZYXC", "ZCYX", "CZYX"])
    def test_lazy_and_eager_agree_wherever_the_channels_are(self, channel, axes):
        data = np.random.default_rng(0).integers(0, 256, (2, 12, 13, 4), dtype=np.uint8)
        moved = np.moveaxis(data, -1, axes.index("C"))
        eager = Image.of(moved, axes, rgb=True).grey(channel)
        lazy = Image.of(da.from_array(moved, chunks=2), axes, rgb=True).grey(channel)
        assert lazy.lazy
        assert eager.axes == lazy.axes == "ZYX"
        np.testing.assert_allclose(lazy.asarray(), eager.data, rtol=1e-6)
        np.testing.assert_array_equal(eager.data, Image.of(data).grey(channel).data)

    def test_other_images_are_left_alone(self):
        image = Image.of(np.zeros((4, 5)))
        assert image.grey("red") is image


def test_a_channel_keeps_its_name():
    image = Image.of(np.arange(40).reshape(2, 4, 5), "CYX", channel_names=("a", "b"))
    second = image.channel(1)
    assert (second.axes, second.channel_names) == ("YX", ("b",))
    np.testing.assert_array_equal(second.data, image.data[1])
    assert second.channel(0) is second


def test_arrays_on_disk_stay_there(tmp_path):
    stored = zarr.create_array(tmp_path / "a.zarr", shape=(8, 9), chunks=(4, 4), dtype="u2")
    stored[:] = 7
    image = Image.of(stored)
    assert image.lazy
    assert image.data.chunksize == (4, 4)
    assert image.asarray().sum() == 7 * 72


def test_lists_and_booleans_are_images():
    assert Image.of([[1, 2], [3, 4]]).shape == (2, 2)
    assert Image.of(np.ones((2, 2), bool)).dtype == bool


@pytest.mark.parametrize(("unit", "known"), [("µm", True), ("nm", True), ("pixel", False)])
def test_calibration_is_known_by_its_unit(unit, known):
    assert Image.of(np.zeros((2, 2)), spacing=(2, 2), unit=unit).calibrated is known


class TestLikeAnArray:
    data = np.arange(20, dtype=np.uint8).reshape(4, 5)

    def image(self, *, lazy=False):
        data = da.from_array(self.data.copy(), chunks=3) if lazy else self.data.copy()
        return Image(data, "YX", (0.5, 0.25), "µm")

    @pytest.mark.parametrize("lazy", [False, True])
    def test_numpy_reads_the_numbers(self, lazy):
        image = self.image(lazy=lazy)
        np.testing.assert_array_equal(np.asarray(image), self.data)
        assert np.asarray(image, dtype=np.float32).dtype == np.float32
        copied = np.array(image, copy=True)
        copied[:] = 0
        np.testing.assert_array_equal(image, self.data)
        assert len(image) == 4
        assert image.size == 20
        assert int(np.max(image)) == 19
        np.testing.assert_array_equal(np.asarray(image[1:3, ::2]), self.data[1:3, ::2])

    def test_no_copy_is_made_where_none_is_needed(self):
        image = self.image()
        assert np.shares_memory(np.asarray(image), image.data)
        assert image.__array__(copy=False) is not None
        with pytest.raises(ValueError, match="lazy"):
            self.image(lazy=True).__array__(copy=False)

    @pytest.mark.parametrize("lazy", [False, True])
    def test_arithmetic_keeps_axes_and_spacing_and_laziness(self, lazy):
        image = self.image(lazy=lazy)
        other = np.ones((4, 5), np.float32)
        for made, right in (
            (image * 2.0, self.data * 2.0),
            (image - other, self.data - other),
            (other - image, other - self.data),
            (image > 7, self.data > 7),
            (image == 3, self.data == 3),
            (image != other, self.data != other),
            (np.sqrt(image), np.sqrt(self.data)),
            (image + image, self.data + self.data),
        ):
            assert (made.axes, made.spacing, made.unit) == ("YX", (0.5, 0.25), "µm")
            assert made.lazy == lazy
            np.testing.assert_array_equal(made, right)

    def test_another_shape_is_a_plain_array(self):
        assert type(self.image() + np.zeros((2, 4, 5))) is np.ndarray
        assert type(np.add.reduce(self.image())) is np.ndarray

    def test_a_part_is_set_in_place(self):
        image = self.image()
        image[image == 3] = 77
        image += 1
        assert image[0, 3] == 78
        assert image.axes == "YX"

    def test_two_images_are_equal_when_they_are_one(self):
        image = self.image()
        assert image == image
        assert image != self.image()
        assert image not in [self.image(), None, "auto"]
        assert len({image, self.image()}) == 2

    def test_it_says_what_it_is_without_its_numbers(self):
        assert repr(self.image(lazy=True)) == (
            "Image(axes='YX', shape=(4, 5), dtype=uint8, spacing=(0.5, 0.25) µm, lazy)"
        )
        picture = Image.of(np.zeros((9, 9, 3), np.uint8))
        assert repr(picture) == "Image(axes='YXC', shape=(9, 9, 3), dtype=uint8, rgb)"

    @pytest.mark.parametrize("lazy", [False, True])
    def test_an_image_of_an_image_has_its_numbers(self, lazy):
        image = self.image(lazy=lazy)
        assert Image.of(image).data is image.data


def test_reading_leaves_the_cache_of_other_threads_alone():
    image = Image.of(da.zeros((4, 6, 8), chunks=(1, 6, 8)))
    seen = []
    with Callback(start=seen.append):
        image.block((2,))
        image.asarray()
        read_pixels(image.data[1:3])
        assert not seen
        np.asarray(image.data)
    assert seen
