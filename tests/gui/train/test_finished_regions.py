"""Finished regions: painted or drawn, wherever the layers stand."""

import numpy as np
import pytest
from napari.layers import Image, Labels, Shapes

from napari_unetseg.gui.train.finished_regions import marks_regions, region_of


@pytest.fixture
def image():
    return Image(np.zeros((40, 50)), scale=(0.5, 0.5), translate=(10, 20))


def test_a_rectangle_in_the_world_becomes_pixels_of_the_image(image):
    corners = np.array([[12.0, 22.0], [12.0, 30.0], [20.0, 30.0], [20.0, 22.0]])
    region = region_of(Shapes([corners]), image, (40, 50))
    rows, columns = np.nonzero(region)
    assert (rows.min(), columns.min()) == (4, 4)
    assert (rows.max(), columns.max()) in ((19, 19), (20, 20))
    assert region.sum() == (rows.max() - 3) * (columns.max() - 3)


def test_shapes_that_enclose_nothing_mark_nothing_and_an_ellipse_is_round(image):
    shapes = Shapes(scale=(0.5, 0.5), translate=(10, 20))
    shapes.add_lines([[0, 0], [30, 30]])
    assert not region_of(shapes, image, (40, 50)).any()
    shapes.add_ellipses([[5, 5], [5, 35], [25, 35], [25, 5]])
    region = region_of(shapes, image, (40, 50))
    assert region[15, 20]
    assert not region[6, 6]
    assert region.sum() == pytest.approx(np.pi * 10 * 15, rel=0.05)


def test_planes_of_a_stack():
    stack = Image(np.zeros((3, 40, 50)))
    flat = np.array([[5.0, 5.0], [5.0, 20.0], [20.0, 20.0], [20.0, 5.0]])
    everywhere = region_of(Shapes([flat]), stack, (3, 40, 50))
    assert everywhere.any((1, 2)).all()
    deep = np.concatenate([np.full((4, 1), 1.0), flat], 1)
    one = region_of(Shapes([deep]), stack, (3, 40, 50))
    assert one.any((1, 2)).tolist() == [False, True, False]
    painted = np.zeros((40, 50), np.uint8)
    painted[:5] = 3
    assert region_of(Labels(painted), stack, (3, 40, 50)).sum() == 3 * 5 * 50


def test_what_can_mark(image):
    assert marks_regions(Shapes())
    assert marks_regions(Labels(np.zeros((5, 5), np.uint8)))
    assert not marks_regions(image)
