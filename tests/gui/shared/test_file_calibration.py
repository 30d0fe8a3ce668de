"""Layers of files: their pixel size, units and axes, whichever reader opens them."""

import sys
from datetime import timedelta
from types import SimpleNamespace

import dask.array
import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from napari.layers._source import layer_source

from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_image, write_image
from napari_unetseg.gui.shared.image_layers import file_layers
from napari_unetseg.gui.shared.layers import image_of, image_place
from napari_unetseg.gui.shared.session import Session

MOVIE = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)


@pytest.fixture(autouse=True)
def plugins():
    from napari.plugins import _initialize_plugins

    _initialize_plugins()


@pytest.fixture
def movie(tmp_path):
    image = Image(MOVIE, "TYX", (0.325, 0.325), "µm", interval=3.0)
    write_image(tmp_path / "movie.tif", image)
    return tmp_path / "movie.tif"


def same(layer, image):
    found = image_of(layer)
    assert (found.axes, found.spacing, found.unit) == (image.axes, image.spacing, image.unit)
    assert (found.interval, found.assumed) == (image.interval, image.assumed)


def test_each_axis_of_a_layer_has_its_unit():
    data = np.zeros((4, 5, 6), np.int32)
    layer = Labels(data, scale=(2000.0, 0.25, 0.5), units=("nm", "um", "um"))
    image = image_of(layer)
    assert (image.spacing, image.unit) == ((2.0, 0.25, 0.5), "µm")
    layer = Labels(data, scale=(1.0, 0.5, 0.5), units=("pixel", "um", "um"))
    assert image_of(layer).assumed == "Z"
    layer = Labels(data, scale=(2.0, 1.0, 1.0), units=("foot", "um", "um"))
    assert image_of(layer).spacing == pytest.approx((609600, 1, 1))


@pytest.mark.parametrize("unit", ["µm", "nm", "Å", "in", "pixel", "furlong"])
def test_a_layer_of_an_image_keeps_its_calibration(unit):
    image = Image(np.zeros((2, 3, 4, 5)), "TZYX", (2.0, 0.5, 0.5), unit, interval=0.5)
    layer = ImageLayer(image.data, **image_place(image, image.axes))
    found = image_of(layer)
    assert (found.spacing, found.interval) == (image.spacing, 0.5)
    assert found.unit == ("pixel" if unit == "furlong" else unit)


def test_napari_s_own_reader_is_completed(movie):
    viewer = ViewerModel()
    Session.of(viewer)
    (layer,) = viewer.open(movie, plugin="napari")
    same(layer, read_image(movie))
    assert layer.axis_labels == ("t", "y", "x")
    camera = getattr(viewer, "scene", viewer).camera
    assert camera.center[1:] == pytest.approx((9.5 * 0.325, 14.5 * 0.325))
    # What the user sets afterwards stays.
    layer.scale = (1, 7, 7)
    (again,) = viewer.open(movie, plugin="napari", scale=(1, 2, 2))
    assert image_of(layer).spacing == (7, 7)
    assert image_of(again).spacing[1:] == (2, 2)


def test_layers_that_lie_over_it_stay_over_it(movie):
    viewer = ViewerModel()
    (layer,) = viewer.open(movie, plugin="napari")
    painted = viewer.add_labels(np.zeros(MOVIE.shape, int))
    moved = viewer.add_labels(np.zeros(MOVIE.shape, int), translate=(0, 5, 0))
    Session.of(viewer)
    same(layer, read_image(movie))
    same(painted, read_image(movie))
    assert tuple(moved.scale) == (1, 1, 1)


def test_our_reader_gives_the_same(movie):
    (layer,) = file_layers(movie)
    same(layer, read_image(movie))
    np.testing.assert_array_equal(layer.data, MOVIE)


def test_ids_are_labels_and_channels_are_layers(tmp_path):
    write_image(tmp_path / "ids.tif", Image.of(MOVIE[0].astype(np.int32)))
    assert isinstance(file_layers(tmp_path / "ids.tif")[0], Labels)
    two = Image(MOVIE[:2], "CYX", (0.5, 0.5), "µm", channel_names=("a", "b"))
    write_image(tmp_path / "two.tif", two)
    assert [layer.name for layer in file_layers(tmp_path / "two.tif")] == ["two a", "two b"]


def test_a_zarr_opens_as_a_pyramid(tmp_path):
    data = np.zeros((300, 600), np.uint8)
    write_image(tmp_path / "big.zarr", Image(data, "YX", (0.5, 0.5), "µm"))
    viewer = ViewerModel()
    (layer,) = viewer.open(tmp_path / "big.zarr", plugin="napari-unetseg")
    assert [level.shape for level in layer.data] == [(300, 600), (150, 300), (75, 150)]
    assert image_of(layer).spacing == (0.5, 0.5)


@pytest.fixture
def scenes(tmp_path):
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        for n, name in enumerate(("left", "right")):
            size = {"axes": "YX", "Name": name, "PhysicalSizeX": n + 1.0}
            file.write(np.full((8 + n, 9), n, np.uint8), metadata=size)
    return path


class Bioio:
    """A CZI of two scenes, as bioio's `BioImage` gives it."""

    scenes = ("left", "right")
    dims = SimpleNamespace(order="TCZYX")
    physical_pixel_sizes = (1.5, 0.25, 0.25)
    time_interval = timedelta(seconds=4)
    dimension_properties = SimpleNamespace(Z=None, Y=None, X=None)
    channel_names = ("DAPI",)

    def __init__(self, path):
        for axis in "ZYX":
            setattr(self.dimension_properties, axis, SimpleNamespace(unit=None))

    def set_scene(self, scene):
        self.at = self.scenes.index(scene)

    def get_image_dask_data(self, order):
        shape = (3, len(self.channel_names), 4, 5, 6)
        return dask.array.full(shape, self.at, np.uint8)


@pytest.fixture
def czi(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bioio", SimpleNamespace(BioImage=Bioio))
    for module in ("plugin_readers", "image_files"):
        known = f"napari_unetseg.core.io.{module}.bioio_knows"
        monkeypatch.setattr(known, lambda path: path.suffix == ".czi")
    path = tmp_path / "a.czi"
    path.write_text("x")
    return path


def test_a_czi_opens_with_its_scenes_and_pixel_size(czi):
    viewer = ViewerModel()
    # No reader is named: ours is the only one that claims it.
    left, right = viewer.open(czi, plugin=None)
    assert [layer.name for layer in (left, right)] == ["a left", "a right"]
    assert (left.visible, right.visible) == (True, False)
    same(right, read_image(czi, scene="right"))
    assert (image_of(right).spacing, image_of(right).interval) == ((1.5, 0.25, 0.25), 4.0)


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (3, 1, 4, 5, 6), (4, 3, 5, 6)])
def test_another_reader_s_layer_gets_the_pixel_size_if_the_shape_is_that_of_the_file(czi, shape):
    viewer = ViewerModel()
    Session.of(viewer)
    with layer_source(path=str(czi), reader_plugin="another"):
        layer = viewer.add_image(np.zeros(shape, np.uint8))
    assert image_of(layer).spacing == ((1, 1, 1) if shape[0] == 4 else (1.5, 0.25, 0.25))


def test_another_reader_s_layer_of_one_channel_gets_the_pixel_size(czi, monkeypatch):
    monkeypatch.setattr(Bioio, "channel_names", ("DAPI", "GFP"))
    viewer = ViewerModel()
    Session.of(viewer)
    with layer_source(path=str(czi), reader_plugin="another"):
        layer = viewer.add_image(np.zeros((3, 4, 5, 6), np.uint8))
    assert image_of(layer).spacing == (1.5, 0.25, 0.25)


def test_the_first_of_several_images_is_not_silent(scenes, monkeypatch):
    shown = []
    monkeypatch.setattr("napari_unetseg.gui.shared.file_calibration.show_info", shown.append)
    viewer = ViewerModel()
    Session.of(viewer)
    viewer.open(scenes, plugin="napari")
    assert "holds 2 images (0 left, 1 right)" in shown[0]


def test_the_workbench_asks_which_image(qtbot, scenes, monkeypatch):
    from qtpy.QtWidgets import QInputDialog

    from napari_unetseg.gui.workbench.start_page import StartPage

    asked = []

    def choose(parent, title, text, choices, *more):
        asked.append(choices)
        return answer

    monkeypatch.setattr(QInputDialog, "getItem", choose)
    viewer = ViewerModel()
    page = StartPage(viewer)
    qtbot.addWidget(page)
    answer = ("", False)
    page.open_files([str(scenes)])
    assert len(viewer.layers) == 0
    answer = ("1 right", True)
    page.open_files([str(scenes)])
    assert asked == [["0 left", "1 right"]] * 2
    (layer,) = viewer.layers
    assert (layer.data.shape, tuple(layer.scale)) == ((9, 9), (2, 2))


def test_a_damaged_file_that_napari_opened_is_a_sentence(movie, monkeypatch):
    said = []
    monkeypatch.setattr("napari_unetseg.gui.shared.file_calibration.show_warning", said.append)
    viewer = ViewerModel()
    (layer,) = viewer.open(movie, plugin="napari")
    movie.write_bytes(movie.read_bytes()[:-100])
    Session.of(viewer)
    assert "truncated" in said[0]
    assert tuple(layer.scale) == (1, 1, 1)
