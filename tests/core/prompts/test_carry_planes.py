"""An object carried through the planes of a stack: the truth is a drawn ellipsoid."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts.carry_planes import CarriedPlane, carry_planes, clicks_in
from napari_unetseg.core.prompts.prompt import Prompt, ProposedObject, settled

STEP = 3.0
"""Distance of the planes, in pixels of a plane."""


class Levels:
    """Proposes the pixels within an interval of grey values around the first click."""

    def __init__(self, image: Image) -> None:
        self.plane = np.asarray(image.data, np.float32)

    def prepare(self, point: Any = None) -> None:
        """Do nothing."""

    def propose(self, prompt: Prompt, *, taken: Any = None, **_: Any) -> ProposedObject | None:
        """Return the connected pixels as bright as the first click."""
        y, x = (round(at) for at in prompt.inside[0])
        alike = np.abs(self.plane - self.plane[y, x]) < 25
        return settled(alike.astype(np.float32), (0, 0), prompt, taken, 0.9)


def ellipsoid(
    shape: tuple[int, ...], centre: tuple[float, ...], radii: tuple[float, ...]
) -> NDArray[np.bool_]:
    """Return a mask; the radius along Z is in planes."""
    axes = np.meshgrid(*map(np.arange, shape), indexing="ij")
    return np.asarray(
        sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True)) <= 1
    )


def stack_of(mask: NDArray[np.bool_], *, noise: float = 4.0, bright: float = 100.0) -> Image:
    """Return a stack in which a mask is bright, with an axial step of `STEP`."""
    pixels = mask * bright + np.random.default_rng(1).normal(0, noise, mask.shape)
    return Image.of(pixels.astype(np.float32), "ZYX", spacing=(STEP, 1.0, 1.0), unit="µm")


def proposed(mask: NDArray[np.bool_]) -> ProposedObject:
    """Return a mask of a plane as a proposed object."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    return ProposedObject(mask[box], (box[0].start, box[1].start), 1.0)


def together(
    planes: list[CarriedPlane], anchors: dict[int, ProposedObject], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Return the object in 3D."""
    found = np.zeros(shape, np.bool_)
    for z, one in anchors.items():
        found[z] = one.whole(shape[1:])
    for plane in planes:
        if plane.found is not None:
            found[plane.z] = plane.found.whole(shape[1:])
    return found


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the intersection over union."""
    return float((a & b).sum() / (a | b).sum())


@pytest.fixture(scope="module")
def truth() -> NDArray[np.bool_]:
    return ellipsoid((15, 60, 64), (7, 28, 30), (5.3, 16, 20))


def test_one_plane_becomes_the_ellipsoid_and_ends_where_it_ends(truth: NDArray[np.bool_]) -> None:
    anchors = {7: proposed(truth[7])}
    planes = list(carry_planes(stack_of(truth), anchors, open_plane=Levels))
    assert overlap(together(planes, anchors, truth.shape), truth) > 0.97
    ends = {plane.z for plane in planes if plane.found is None}
    assert ends == {1, 13}
    assert all(plane.why for plane in planes if plane.found is None)


def test_another_object_right_above_is_not_entered(truth: NDArray[np.bool_]) -> None:
    above = ellipsoid(truth.shape, (14, 28, 44), (2.2, 10, 12))
    image = stack_of(truth | above)
    anchors = {7: proposed(truth[7])}
    planes = list(carry_planes(image, anchors, open_plane=Levels))
    assert overlap(together(planes, anchors, truth.shape), truth) > 0.95


def test_a_fading_object_ends_when_its_contrast_is_lost() -> None:
    disc = ellipsoid((1, 50, 50), (0, 25, 25), (1, 14, 14))[0]
    strength = np.array([1, 1, 0.9, 0.8, 0.7, 0.4, 0.3, 0.25])
    pixels = strength[:, None, None] * disc * 100
    image = Image.of(pixels.astype(np.float32), "ZYX", spacing=(1, 1, 1), unit="µm")
    planes = list(carry_planes(image, {0: proposed(disc)}, open_plane=Levels))
    assert [plane.z for plane in planes if plane.found is not None] == [1, 2, 3, 4, 5]
    assert planes[-1].z == 6
    assert "contrast" in planes[-1].why


def test_a_much_brighter_object_at_its_place_is_another_one() -> None:
    disc = ellipsoid((1, 50, 50), (0, 25, 25), (1, 14, 14))[0]
    pixels = np.array([1, 1, 1, 4, 4])[:, None, None] * disc * 30.0
    image = Image.of(pixels.astype(np.float32), "ZYX")
    planes = list(carry_planes(image, {0: proposed(disc)}, open_plane=Levels))
    assert [plane.z for plane in planes if plane.found is not None] == [1, 2]
    assert planes[-1].why == "something else begins"


def test_an_outline_is_fitted_where_clicks_give_nothing(truth: NDArray[np.bool_]) -> None:
    class Nothing(Levels):
        def propose(self, prompt: Prompt, **_: Any) -> ProposedObject | None:
            return None

    # Bright inside, as nuclei are, and dark inside a bright wall, as cells with stained walls are.
    wall = ndimage.binary_dilation(truth, np.ones((1, 3, 3)), 3) & ~truth
    for mask, dark in ((truth, False), (wall, True)):
        anchors = {7: proposed(truth[7])}
        image = stack_of(mask, noise=8)
        planes = list(carry_planes(image, anchors, open_plane=Nothing))
        found = together(planes, anchors, truth.shape)
        assert overlap(found[5:10], truth[5:10]) > 0.8, dark


def test_the_outline_moves_by_the_distance_of_the_planes_not_by_planes() -> None:
    small = ellipsoid((1, 90, 90), (0, 45, 45), (1, 10, 10))[0]
    large = ellipsoid((1, 90, 90), (0, 45, 45), (1, 26, 26))[0]
    pixels = np.stack([small, large]).astype(np.float32) * 100
    areas = []
    for step in (1.0, 6.0):
        image = Image.of(pixels, "ZYX", spacing=(step, 1, 1), unit="µm")
        planes = list(carry_planes(image, {0: proposed(small)}, open_plane=Levels))
        areas.append(sum(plane.found.area for plane in planes if plane.found is not None))
    assert areas[0] == 0  # 16 pixels in one micrometre: something else
    assert areas[1] > 2 * small.sum()


def test_corrected_planes_are_kept_and_gone_on_from(truth: NDArray[np.bool_]) -> None:
    pixels = np.asarray(stack_of(truth).data).copy()
    pixels[9] = 0  # a lost plane, where it would end
    image = stack_of(truth).with_data(pixels)
    anchors = {7: proposed(truth[7])}
    alone = list(carry_planes(image, anchors, open_plane=Levels))
    assert {plane.z for plane in alone if plane.found is None} == {1, 9}
    anchors[10] = proposed(truth[10])
    planes = list(carry_planes(image, anchors, open_plane=Levels))
    assert overlap(together(planes, anchors, truth.shape), truth) > 0.9
    only = list(carry_planes(image, anchors, within=range(8, 13), open_plane=Levels))
    assert {plane.z for plane in only} == {8, 9, 11, 12}


def test_pixels_of_others_are_not_taken(truth: NDArray[np.bool_]) -> None:
    other = np.zeros(truth.shape, np.bool_)
    other[:, :, 34:] = True
    anchors = {7: proposed(truth[7] & ~other[7])}
    planes = list(
        carry_planes(stack_of(truth), anchors, taken=lambda z: other[z], open_plane=Levels)
    )
    found = together(planes, anchors, truth.shape)
    assert not (found & other).any()
    assert overlap(found, truth & ~other) > 0.95


def test_channels_colours_and_unknown_pixels(truth: NDArray[np.bool_]) -> None:
    pixels = np.asarray(stack_of(truth).data)
    both = np.stack([np.zeros_like(pixels), pixels], 1)
    both[:, :, :2] = np.nan
    image = Image.of(both, "ZCYX", spacing=(STEP, 1, 1), unit="µm")

    def second_channel(plane: Image) -> Levels:
        assert plane.axes == "CYX"
        return Levels(plane.channel(1))

    anchors = {7: proposed(truth[7])}
    planes = list(carry_planes(image, anchors, open_plane=second_channel))
    assert overlap(together(planes, anchors, truth.shape), truth) > 0.97


def test_cancelling_ends_it_at_once(truth: NDArray[np.bool_]) -> None:
    stopped: list[bool] = []
    planes = carry_planes(
        stack_of(truth),
        {7: proposed(truth[7])},
        open_plane=Levels,
        cancelled=lambda: bool(stopped),
    )
    assert [next(planes).z for _ in range(3)] == [8, 6, 9]
    stopped.append(True)
    assert list(planes) == []


def test_clicks_are_deep_inside_and_far_apart() -> None:
    bar = np.zeros((9, 60), np.bool_)
    bar[2:7, 3:57] = True
    clicks = clicks_in(ProposedObject(bar, (10, 20), 1.0), 1.0)
    columns = sorted(x - 20 for _, x in clicks)
    assert len(clicks) == 3
    assert columns[-1] - columns[0] > 40
    assert all(abs(y - 14) <= 1 for y, _ in clicks)


@pytest.mark.parametrize(
    ("axes", "anchors", "reason"),
    [
        ("YX", {0: np.ones((4, 4), bool)}, "axes are YX"),
        ("ZYX", {}, "no object to carry"),
        ("ZYX", {9: np.ones((4, 4), bool)}, "no plane 9"),
        ("ZYX", {1: np.zeros((4, 4), bool)}, "no pixel in plane 1"),
    ],
)
def test_what_cannot_be_carried_is_said(axes: str, anchors: dict[int, Any], reason: str) -> None:
    image = Image.of(np.zeros((3, 20, 20)[-len(axes) :], np.float32), axes)
    given = {z: ProposedObject(mask, (0, 0), 1.0) for z, mask in anchors.items()}
    with pytest.raises(InputError, match=reason):
        list(carry_planes(image, given, open_plane=Levels))
