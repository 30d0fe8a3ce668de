"""Choosing channels of an image by number and name, and for a model by the names it knows."""

from dataclasses import replace

import numpy as np
import pytest

import napari_unetseg as seg
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image, doubt_axes
from napari_unetseg.core.inference.named_channels import named_channels
from napari_unetseg.core.recipe import ImageStep, parse_recipe


def _image(*names, axes="CYX"):
    n = len(names) or 3
    lengths = {"T": 2, "C": n, "Y": 6, "X": 7}
    shape = [lengths[axis] for axis in axes]
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return Image(data, axes, channel_names=names)


@pytest.mark.parametrize("axes", ["CYX", "YXC", "TCYX", "TYXC"])
@pytest.mark.parametrize(
    ("which", "numbers"),
    [(1, 1), ("1", 1), ("GFP", 1), ("GFP, 0", [1, 0]), ([2, "DAPI"], [2, 0]), (["GFP"], [1])],
)
def test_channels_are_chosen_by_number_and_name(axes, which, numbers):
    image = _image("DAPI", "GFP", "RFP", axes=axes)
    chosen = image.channels(which)
    assert np.array_equal(chosen.data, np.take(image.data, numbers, axes.index("C")))
    assert chosen.axes == (axes if isinstance(numbers, list) else axes.replace("C", ""))
    listed = numbers if isinstance(numbers, list) else [numbers]
    assert chosen.channel_names == tuple(image.channel_names[k] for k in listed)


def test_a_name_with_a_comma_and_a_name_that_is_a_number_are_names():
    image = _image("a, b", "0", "c")
    assert np.array_equal(image.channels("a, b").data, image.data[0])
    assert np.array_equal(image.channels("0").data, image.data[1])
    assert np.array_equal(image.channels(0).data, image.data[0])


def test_an_unknown_channel_lists_names_and_numbers():
    with pytest.raises(
        InputError, match=r"no channel .CFP.: there are DAPI, GFP, by number 0 to 1"
    ):
        _image("DAPI", "GFP").channels("CFP")
    with pytest.raises(InputError, match=r"no channel 3: there are 0 to 2\."):
        _image().channels(3)
    with pytest.raises(InputError, match="different channels"):
        _image().channels([0, 0])


def test_a_channel_of_an_image_without_channels_is_itself():
    image = Image.of(np.ones((4, 5)), channel_names=("DAPI",))
    assert image.channels("DAPI") is image
    assert image.channels(0) is image
    with pytest.raises(InputError, match="no channel"):
        image.channels("GFP")


def test_colours_are_channels_by_name():
    picture = Image.of(np.random.default_rng(0).integers(0, 255, (9, 8, 3), np.uint8))
    assert np.array_equal(picture.channels("green").data, picture.data[..., 1])
    assert np.array_equal(picture.channels("luminance").data, picture.grey().data)


@pytest.mark.parametrize("lazy", [False, True])
def test_several_channels_of_a_lazy_image_stay_lazy(lazy):
    import dask.array

    image = _image("a", "b", "c")
    given = replace(image, data=dask.array.from_array(image.data)) if lazy else image
    chosen = given.channels([2, 0])
    assert chosen.lazy is lazy
    assert np.array_equal(chosen.asarray(), image.data[[2, 0]])


def test_a_recipe_takes_numbers_names_and_lists():
    head = "format: napari-unetseg recipe\nversion: 1\nthreshold: {}\nimage: "
    for given, text in (("0", "0"), ("'0'", "0"), ("DAPI", "DAPI"), ("[DAPI, 1]", "DAPI, 1")):
        recipe = parse_recipe(f"{head}{{channel: {given}}}\n")
        assert recipe.image == ImageStep(channel=text)
    assert parse_recipe(f"{head}{{axes: yxc}}\n").image.axes == "YXC"
    with pytest.raises(InputError, match="channel"):
        parse_recipe(f"{head}{{channel: true}}\n")


def test_a_short_last_axis_is_doubted():
    assert "YXC" in doubt_axes(Image.of(np.zeros((200, 240, 5))))
    assert "TYXC" in doubt_axes(Image.of(np.zeros((3, 200, 240, 2))))
    for shape in ((200, 240), (5, 200, 240), (200, 5), (8, 9, 4)):
        assert not doubt_axes(Image.of(np.zeros(shape)))


class TestNamedChannels:
    """A model that was trained on named channels finds them in other images."""

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls):
        image = _image("DAPI", "GFP")
        labels = np.ones((6, 7), int)
        labels[:, 3:] = 2
        return seg.train(image, labels, labels_are="scribbles", validation=0.0)

    def test_it_knows_their_names(self, model):
        assert model.channel_names == ("DAPI", "GFP")

    def test_they_are_taken_by_name_in_its_order(self, model):
        image = _image("RFP", "GFP", "DAPI")
        found = named_channels(model, image)
        assert found.channel_names == ("DAPI", "GFP")
        expected = seg.predict(Image(image.data[[2, 1]], "CYX"), model)
        assert np.array_equal(seg.predict(image, model).data, expected.data)

    def test_missing_ones_are_named(self, model):
        with pytest.raises(InputError, match=r"DAPI and GFP; .*0 \(GFP\), 1 \(RFP\), and DAPI is"):
            seg.predict(_image("GFP", "RFP"), model)
        with pytest.raises(InputError, match="DAPI and GFP are missing"):
            seg.predict(_image("a", "b", "c"), model)

    def test_other_names_at_the_same_places_run_as_they_are(self, model):
        for names in ((), ("DAPI", "FITC"), ("Hoechst", "FITC")):
            image = replace(_image("DAPI", "GFP"), channel_names=names)
            assert named_channels(model, image) is image

    def test_python_takes_a_choice(self, model):
        image = _image("a", "b", "c")
        expected = seg.predict(Image(image.data[1:], "CYX"), model)
        assert np.array_equal(seg.predict(image, model, channel=[1, "c"]).data, expected.data)


def test_python_functions_take_a_channel():
    image = _image("a", "b")
    alone = image.channel(1)
    assert np.array_equal(seg.threshold(image, channel="b").data, seg.threshold(alone).data)
    assert np.array_equal(seg.flatten(image, channel=1).data, seg.flatten(alone).data)
    labels = np.ones((6, 7), int)
    assert seg.measure(labels, image, channel="b")["mean"] == alone.data.mean()
    recipe = parse_recipe("format: napari-unetseg recipe\nversion: 1\nthreshold: {}\n")
    made = seg.run_recipe(recipe, image, channel="b").labels
    assert np.array_equal(made.data, seg.threshold(alone).data)


@pytest.mark.parametrize("axes", ["CYX", "TCYX", "YXC"])
def test_labels_of_one_channel_have_no_channel_axis(axes):
    image = _image("only", axes=axes)
    labels = seg.threshold(image)
    assert labels.axes == axes.replace("C", "")
    plane = Image(np.squeeze(image.data, axes.index("C")), axes.replace("C", ""))
    assert np.array_equal(labels.data, seg.threshold(plane).data)
    assert len(seg.measure(Image(np.ones(image.shape, int), axes), image)["mean"])
