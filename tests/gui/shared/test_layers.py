"""Layers in and out, with a bare viewer model: no window, no OpenGL."""

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels

from napari_unetseg.core.errors import InputError
from napari_unetseg.gui.shared.layers import (
    METADATA_KEY,
    find_layer,
    geometry_of,
    image_of,
    plane_index,
    role_of,
    show_image,
)

GEOMETRY = {
    "scale": (3.0, 0.5, 0.25),
    "translate": (1.0, -2.0, 7.0),
    "rotate": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float),
    "affine": np.array([[1, 0, 0, 4], [0, 1, 0.1, 5], [0, 0, 1, 6], [0, 0, 0, 1]], float),
    "units": ("um", "um", "um"),
    "axis_labels": ("z", "y", "x"),
}


@pytest.fixture
def stack():
    return ImageLayer(np.zeros((4, 6, 8), np.uint16), name="stack", **GEOMETRY)


@pytest.mark.parametrize(
    ("shape", "axes"), [((5, 6), "YX"), ((4, 5, 6), "ZYX"), ((2, 4, 5, 6), "TZYX")]
)
def test_axes_are_guessed_from_their_number(shape, axes):
    assert image_of(ImageLayer(np.zeros(shape))).axes == axes


def test_axes_named_by_the_layer_are_believed():
    layer = ImageLayer(np.zeros((7, 5, 6)), axis_labels=("t", "y", "x"))
    assert image_of(layer).axes == "TYX"


def test_colour_is_the_last_axis():
    image = image_of(ImageLayer(np.zeros((5, 6, 3), np.uint8), rgb=True))
    assert (image.axes, image.rgb) == ("YXC", True)


def test_spacing_and_unit_come_along(stack):
    image = image_of(stack)
    assert image.spacing == (3.0, 0.5, 0.25)
    assert image.unit == "\u00b5m"


@pytest.mark.parametrize("said", ["\u00b5m", "\u03bcm", "micrometer"])
def test_a_unit_has_one_symbol_however_it_is_spelt(stack, said, monkeypatch):
    monkeypatch.setattr(ImageLayer, "units", (said,) * 3)
    assert image_of(stack).unit == "\u00b5m"


def test_a_pyramid_is_its_full_resolution():
    levels = [np.zeros((64, 64)), np.zeros((32, 32))]
    assert image_of(ImageLayer(levels, multiscale=True)).shape == (64, 64)


def test_a_lazy_layer_stays_lazy():
    image = image_of(ImageLayer(da.zeros((64, 64), chunks=32)))
    assert image.lazy


def test_too_many_axes_are_a_sentence():
    with pytest.raises(InputError, match="6 axes"):
        image_of(ImageLayer(np.zeros((1, 1, 1, 1, 4, 4))))


def test_a_result_stands_where_its_source_stands(stack):
    viewer = ViewerModel()
    viewer.add_layer(stack)
    made = show_image(
        viewer.layers, stack, "flattened", np.zeros((4, 6, 8), np.float32), name="out", options={}
    )
    for place in ("scale", "translate", "rotate", "shear", "units", "axis_labels"):
        assert np.all(np.asarray(getattr(made, place)) == np.asarray(getattr(stack, place))), place
    assert np.array_equal(made.affine.affine_matrix, stack.affine.affine_matrix)


def test_colour_has_one_axis_more_than_its_result():
    viewer = ViewerModel()
    source = viewer.add_image(np.zeros((5, 6, 3), np.uint8), rgb=True, scale=(2, 3))
    made = show_image(viewer.layers, source, "flattened", np.ones((5, 6)), name="o", options={})
    assert tuple(made.scale) == (2, 3)


def test_a_plane_of_a_stack_stands_on_its_plane(stack):
    plane = ImageLayer(np.zeros((6, 8)), **geometry_of(stack, ndim=2))
    corners = np.array([[0, 0], [0, 7], [5, 0], [5, 7]])
    for row, column in corners:
        whole = stack.data_to_world((0, row, column))[-2:]
        assert np.allclose(plane.data_to_world((row, column)), whole)


def test_the_second_run_updates_the_same_layer(stack):
    viewer = ViewerModel()
    viewer.add_layer(stack)
    zeros, ones = np.zeros((4, 6, 8)), np.ones((4, 6, 8))
    first = show_image(viewer.layers, stack, "flattened", zeros, name="o", options={"n": 1})
    first.name = "renamed by hand"
    second = show_image(viewer.layers, stack, "flattened", ones, name="o", options={"n": 2})
    assert second is first
    assert len(viewer.layers) == 2
    assert np.all(first.data == 1)
    assert first.metadata[METADATA_KEY]["options"] == {"n": 2}


def test_results_of_two_images_are_told_apart():
    viewer = ViewerModel()
    sources = [viewer.add_image(np.zeros((5, 6))) for _ in range(2)]
    made = [
        show_image(viewer.layers, source, "flattened", np.zeros((5, 6)), name="o", options={})
        for source in sources
    ]
    assert made[0] is not made[1]
    assert [find_layer(viewer.layers, "flattened", source) for source in sources] == made


def test_a_layer_of_somebody_else_has_no_role():
    assert role_of(Labels(np.zeros((3, 3), int), metadata={METADATA_KEY: "nonsense"})) == ""


def test_the_visible_plane_of_a_shorter_layer_is_within_it(stack):
    assert plane_index(stack, (2, 11, 0, 0)) == (2,)
    assert plane_index(stack, (9, 99, 0, 0)) == (3,)
    assert plane_index(stack, (9, -99, 0, 0)) == (0,)


def test_the_visible_plane_is_that_of_the_layer_below_one_with_other_steps(viewer):
    coarse = viewer.add_image(np.zeros((4, 6, 8)), scale=(4, 1, 1), translate=(8, 0, 0))
    fine = viewer.add_image(np.zeros((40, 6, 8)), scale=(0.5, 1, 1))
    for plane in range(4):
        viewer.dims.set_point(0, 8 + 4 * plane)
        assert plane_index(coarse, viewer.dims.point) == (plane,)
        assert plane_index(fine, viewer.dims.point) == (min(16 + 8 * plane, 39),)
