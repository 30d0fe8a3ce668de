"""Figures: sizes, colours, and that labels show."""

import io

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_unetseg.core.io.figure import Panel, draw_figure, to_colour, to_grey, with_labels

ramp = np.linspace(-5, 5, 60 * 80).reshape(60, 80)


def test_grey_goes_from_black_to_white():
    grey = to_grey(ramp)
    assert grey.dtype == np.uint8
    assert (grey[0, 0], grey[-1, -1]) == (0, 255)
    assert (np.diff(grey.astype(int).ravel()) >= 0).all()
    assert to_grey(ramp, (0, 100)).max() == round(255 * 0.05)


def test_a_constant_plane_is_grey():
    assert (to_grey(np.full((4, 5), 7.0)) == 128).all()


def test_colours_grow_lighter():
    lightness = to_colour(ramp).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness.ravel()) > -1).all()
    assert lightness[-1, -1] - lightness[0, 0] > 150


def test_labels_are_coloured_and_the_rest_is_not():
    labels = np.zeros((60, 80), int)
    labels[10:20, 10:20], labels[10:20, 20:30] = 1, 2
    grey = to_grey(ramp)
    picture = with_labels(grey, labels)
    np.testing.assert_array_equal(picture[labels == 0], np.repeat(grey[labels == 0][:, None], 3, 1))
    assert np.abs(picture[15, 15].astype(int) - picture[15, 25]).max() > 40


@pytest.mark.parametrize(("columns", "rows"), [(None, 1), (2, 2)])
def test_panels_stand_in_rows(columns, rows):
    panels = [
        Panel(to_grey(ramp), "grey"),
        Panel(to_colour(ramp), "colour"),
        Panel(to_grey(ramp), ""),
    ]
    sheet = imageio.imread(draw_figure(panels, title="T", caption="C", columns=columns))
    across = columns or 3
    assert sheet.shape[1] / across == pytest.approx(436, abs=10)
    assert sheet.shape[0] == 70 + 357 * rows


def test_it_is_a_png():
    figure = draw_figure([Panel(to_grey(ramp), "")], title="", caption="")
    assert imageio.improps(io.BytesIO(figure), extension=".png").dtype == np.uint8
