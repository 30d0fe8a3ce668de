"""Every kind of layer that napari can show goes through the first two rungs, or is a sentence."""

import dask.array as da
import numpy as np
import pytest

from napari_unetseg.gui.shared.layers import role_of

BACKGROUND, THRESHOLD = 0, 1


def picture(*shape, dtype=np.uint16):
    """Bright squares on a slope, the same in every plane."""
    rows, columns = np.indices(shape[-2:])
    plane = 1000 + 3 * rows + 2 * columns
    plane += 3000 * ((rows % 24 > 14) & (columns % 24 > 14))
    rng = np.random.default_rng(0)
    image = np.broadcast_to(plane, shape) + rng.normal(0, 20, shape)
    return image.astype(dtype)


TURN = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
COLOUR = np.stack([picture(96, 120) // 32] * 3, axis=-1).astype(np.uint8)

KINDS = {
    "8-bit": lambda: (picture(96, 120) // 32).astype(np.uint8),
    "float with gaps": lambda: np.where(np.eye(96, 120) > 0, np.nan, picture(96, 120, dtype=float)),
    "stack": lambda: picture(3, 96, 120),
    "time series of stacks": lambda: picture(2, 3, 96, 120),
    "lazy": lambda: da.from_array(picture(3, 96, 120), chunks=(1, 48, 60)),
}


def climb(hand, layer):
    hand.viewer.layers.selection.active = layer
    hand.turn_to(BACKGROUND)
    flatten = hand.tool(BACKGROUND)
    hand.run(flatten)
    flattened = hand.viewer.layers.selection.active
    assert role_of(flattened) == "flattened", flatten.message.text()
    hand.turn_to(THRESHOLD)
    tool = hand.tool(THRESHOLD)
    tool.form.set(result="objects", min_size=20)
    hand.wait(lambda: len(tool.plot.values) == 1)
    hand.run(tool)
    labels = hand.viewer.layers[-1]
    assert role_of(labels) == "objects", tool.message.text()
    return flattened, labels


@pytest.mark.parametrize("kind", KINDS)
def test_goes_through(hand, kind):
    data = KINDS[kind]()
    layer = hand.viewer.add_image(data)
    flattened, labels = climb(hand, layer)
    assert flattened.data.shape == labels.data.shape == data.shape
    assert np.max(labels.data[(0,) * (data.ndim - 2)]) == 20


def test_colour_goes_through(hand):
    layer = hand.viewer.add_image(COLOUR, rgb=True)
    _, labels = climb(hand, layer)
    assert labels.data.shape == COLOUR.shape[:2]
    assert labels.data.max() == 20


def test_a_pyramid_goes_through(hand):
    data = picture(96, 120)
    layer = hand.viewer.add_image([data, data[::2, ::2]], multiscale=True)
    _, labels = climb(hand, layer)
    assert labels.data.shape == data.shape


def test_a_turned_and_stretched_stack_stays_in_its_place(hand):
    layer = hand.viewer.add_image(
        picture(3, 96, 120), scale=(4, 0.5, 0.25), translate=(1, 2, 3), rotate=TURN
    )
    for made in climb(hand, layer):
        inside = (1, 40, 50)
        assert np.allclose(made.data_to_world(inside), layer.data_to_world(inside))


def test_the_preview_follows_the_plane(hand):
    stack = picture(3, 96, 120)
    stack[2] += 5000
    layer = hand.viewer.add_image(np.stack([stack, stack]))
    hand.turn_to(THRESHOLD)
    tool = hand.tool(THRESHOLD)
    hand.viewer.dims.set_current_step(1, 0)
    hand.wait(lambda: len(tool.plot.values) == 1)
    first = tool.plot.values[0]
    hand.viewer.dims.set_current_step(1, 2)
    hand.wait(lambda: tool.plot.values and abs(tool.plot.values[0] - first - 5000) < 300)
    hand.viewer.dims.ndisplay = 3
    hand.run(tool)
    assert role_of(hand.viewer.layers[-1]) == "mask"
    assert hand.viewer.layers[-1].data.shape == layer.data.shape


def test_bright_or_dark_is_guessed_for_each_layer_until_it_is_chosen(hand):
    bright = hand.viewer.add_image(picture(96, 120))
    hand.turn_to(THRESHOLD)
    tool = hand.tool(THRESHOLD)
    hand.wait(lambda: tool.preview.layer is not None)
    assert tool.form.options.objects == "bright"
    dark = hand.viewer.add_image(10_000 - picture(96, 120))
    hand.wait(lambda: tool.pick.layer() is dark and tool.form.options.objects == "dark")
    tool.form.widget("objects").value = "bright"
    hand.viewer.layers.selection.active = bright
    hand.wait(lambda: tool.pick.layer() is bright)
    hand.viewer.layers.selection.active = dark
    hand.wait(lambda: tool.pick.layer() is dark and not tool.latest.busy)
    assert tool.form.options.objects == "bright"


def test_a_preview_on_its_way_never_covers_a_result(hand, monkeypatch):
    hand.viewer.add_image(picture(96, 120))
    hand.turn_to(THRESHOLD)
    tool = hand.tool(THRESHOLD)
    hand.wait(lambda: tool.preview.layer is not None)
    end_preview = tool.end_preview

    def ask_and_end():
        tool.look(tool.pick.layer())
        tool.look_later()
        end_preview()

    monkeypatch.setattr(tool, "end_preview", ask_and_end)
    hand.run(tool)
    hand.wait(lambda: not tool.latest.busy)
    hand.qtbot.wait(300)
    assert tool.preview.layer is None
    assert "Thresholded" in tool.message.text()


@pytest.mark.parametrize(
    ("data", "words"),
    [(np.full((64, 64), 7), "Every pixel"), (np.full((64, 64), np.nan), "finite")],
)
def test_an_image_without_contrast_is_a_sentence(hand, data, words):
    layer = hand.viewer.add_image(data, contrast_limits=(0, 1))
    hand.turn_to(THRESHOLD)
    tool = hand.tool(THRESHOLD)
    hand.run(tool)
    assert tool.message.text().count(".") >= 1
    assert list(hand.viewer.layers) == [layer]
    assert words in tool.message.text(), tool.message.text()


def test_a_second_click_while_running_starts_nothing(hand):
    hand.viewer.add_image(picture(96, 120))
    tool = hand.tool(BACKGROUND)
    tool.run()
    first = tool.task
    tool.run()
    assert tool.task is first
    hand.wait(lambda: not tool.running)


def test_labels_leave_pixels_out_of_the_fit(hand):
    data = picture(96, 120)
    layer = hand.viewer.add_image(data)
    hand.viewer.add_labels((data > 3000).astype(np.uint8))
    hand.viewer.layers.selection.active = layer
    hand.turn_to(BACKGROUND)
    tool = hand.tool(BACKGROUND)
    tool.form.set(terms="plane", robust="none")
    tool.exclude.setCurrentIndex(1)
    hand.run(tool)
    flattened = hand.viewer.layers.selection.active
    assert abs(float(np.median(flattened.data[data < 3000]))) < 5
