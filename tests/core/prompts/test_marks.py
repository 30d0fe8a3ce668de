"""Marks from tables, ours and napari's, and the objects they give."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.prompts import marked_objects
from napari_unetseg.core.prompts.marked_objects import ClickOptions, click_objects
from napari_unetseg.core.prompts.marks import Mark, place_marks, read_marks

NAPARI_POINTS = "index,axis-0,axis-1,axis-2\n0,1.0,20.0,30.0\n1,2.0,5.0,6.0\n"
NAPARI_SHAPES = (
    "index,shape-type,vertex-index,axis-0,axis-1\n"
    "0,rectangle,0,10,20\n0,rectangle,1,10,40\n0,rectangle,2,30,40\n0,rectangle,3,30,20\n"
    "1,path,0,50,5\n1,path,1,50,9\n"
)


def table(tmp_path: Path, text: str, name: str = "marks.csv") -> Path:
    """Write a table."""
    path = tmp_path / name
    path.write_text(text)
    return path


def test_each_line_is_an_object_unless_the_column_object_joins_some(tmp_path: Path) -> None:
    alone = read_marks(table(tmp_path, "y,x\n4,5\n6,7\n"), "YX", (9, 9))
    assert len(place_marks(alone, "YX", (9, 9))) == 2
    joined = table(
        tmp_path,
        "object;y;x;kind\n7;4;5;\n7;1;1;outside\n7;2;2;box\n7;8;8;Box\n".replace(";", "\t"),
        "m.tsv",
    )
    placed = place_marks(read_marks(joined, "YX", (9, 9)), "YX", (9, 9))
    prompt = placed[7][()]
    assert prompt.inside == ((4.0, 5.0),)
    assert prompt.outside == ((1.0, 1.0),)
    assert prompt.box == (2.0, 2.0, 8.0, 8.0)


def test_the_points_and_shapes_that_napari_saves(tmp_path: Path) -> None:
    points = read_marks(table(tmp_path, NAPARI_POINTS), "ZYX", (3, 64, 64))
    assert [mark.at for mark in points] == [(1.0, 20.0, 30.0), (2.0, 5.0, 6.0)]
    assert len(place_marks(points, "ZYX", (3, 64, 64))) == 2
    shapes = read_marks(table(tmp_path, NAPARI_SHAPES), "YX", (64, 64))
    box, stroke = place_marks(shapes, "YX", (64, 64)).values()
    assert box[()].box == (10.0, 20.0, 30.0, 40.0)
    assert stroke[()].inside == ((50.0, 5.0), (50.0, 9.0))
    assert all(
        mark.at[0] == 0 for mark in read_marks(table(tmp_path, NAPARI_SHAPES), "ZYX", (1, 64, 64))
    )


def test_a_table_saved_by_napari_itself(tmp_path: Path) -> None:
    layers = pytest.importorskip("napari.layers")
    io = pytest.importorskip("napari_builtins.io")
    square = np.array([[1.0, 1.0], [1.0, 6.0], [7.0, 6.0], [7.0, 1.0]])
    points, shapes = layers.Points(np.array([[3.0, 4.0]])), layers.Shapes([square])
    io.napari_write_points(str(tmp_path / "p.csv"), *points.as_layer_data_tuple()[:2])
    io.napari_write_shapes(str(tmp_path / "s.csv"), *shapes.as_layer_data_tuple()[:2])
    (point,) = read_marks(tmp_path / "p.csv", "YX", (9, 9))
    assert (point.at, point.kind) == ((3.0, 4.0), "inside")
    (box,) = place_marks(read_marks(tmp_path / "s.csv", "YX", (9, 9)), "YX", (9, 9)).values()
    assert box[()].box == (1.0, 1.0, 7.0, 6.0)


@pytest.mark.parametrize(
    ("text", "axes", "reason"),
    [
        ("", "YX", "no columns y and x"),
        ("row,col\n1,2\n", "YX", "it is col, row"),
        ("y,x\n1,a\n", "YX", "line 2: x is 'a', not a number"),
        ("y,x\n1,2\n", "ZYX", "no column z, but the image has 5 along Z"),
        (NAPARI_POINTS, "YX", "has 3 axes and the image 2"),
        ("y,x,kind\n1,2,outside\n", "YX", "outside needs the column object"),
        ("y,x,kind\n1,2,middle\n", "YX", "the kind is 'middle'. Choose inside, outside, box"),
        ("index,shape-type,vertex-index,axis-0,axis-1\n0,star,0,1,1\n", "YX", "a star marks no"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(
    tmp_path: Path, text: str, axes: str, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        read_marks(table(tmp_path, text), axes, (5, 9, 9)[-len(axes) :])


@pytest.mark.parametrize(
    ("marks", "reason"),
    [
        ([], "There is no mark"),
        ([Mark(1, (1.0, 2.0))], "needs a number of pixels along each of the axes ZYX"),
        ([Mark(1, (9.0, 2.0, 2.0))], "marked at Z = 9, but the image has 0 to 2"),
        ([Mark(1, (0.0, 2.0, 2.0), "outside")], "has no click inside and no box"),
        ([Mark(1, (0.0, 2.0, 2.0), "box")], "has one corner"),
        ([Mark(1, (0.0, float("nan"), 2.0))], "needs a number"),
    ],
)
def test_what_is_wrong_with_marks_is_said(marks: list[Mark], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        place_marks(marks, "ZYX", (3, 9, 9))


def discs(*, depth: int = 0) -> tuple[Image, np.ndarray]:
    """Return four noisy discs, or cylinders in the middle planes of a stack, and their ids."""
    y, x = np.mgrid[:128, :128]
    ids = np.zeros((128, 128), np.int32)
    for number, (row, column) in enumerate([(30, 30), (30, 92), (92, 30), (92, 92)], 1):
        ids[(y - row) ** 2 + (x - column) ** 2 <= 15**2] = number
    if depth:
        ids = np.stack([ids if 2 <= z < depth - 2 else 0 * ids for z in range(depth)])
    pixels = ndimage.gaussian_filter((ids > 0) * 100.0, [0] * (ids.ndim - 2) + [1, 1])
    pixels += np.random.default_rng(0).normal(20, 3, ids.shape)
    return Image.of(pixels.astype(np.float32), "ZYX"[-ids.ndim :]), ids


def iou(found: np.ndarray, true: np.ndarray) -> float:
    """Return the intersection over union."""
    return float((found & true).sum() / (found | true).sum())


def test_marked_objects_have_their_numbers_and_the_background_none() -> None:
    image, ids = discs()
    marks = [Mark(7, (30.0, 30.0)), Mark(4, (92.0, 92.0)), Mark(9, (500.0, 3.0))]
    made = click_objects(image, marks)
    labels = made.labels.asarray()
    assert set(np.unique(labels)) == {0, 4, 7}
    assert made.missing == (9,)
    assert iou(labels == 7, ids == 1) > 0.8
    assert iou(labels == 4, ids == 4) > 0.8
    assert labels.dtype == np.int32


def test_similar_objects_follow_and_objects_go_through_planes() -> None:
    pytest.importorskip("torch", reason="the features need PyTorch")
    image, ids = discs(depth=7)
    options = ClickOptions(carry=True, like=0.4, size=30)
    made = click_objects(image, [Mark("first", (3.0, 30.0, 30.0))], options)
    labels = made.labels.asarray()
    assert (made.n_marked, made.n_similar) == (1, 3)
    assert iou(labels == 1, ids == 1) > 0.75
    assert iou(labels > 0, ids > 0) > 0.75
    assert not labels[0].any()
    assert not labels[-1].any()


def test_the_distance_of_the_planes_counts_in_each_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    flat, _ = discs(depth=5)
    pixels = np.stack([flat.data, flat.data])
    image = Image.of(pixels, "TZYX", spacing=(4.0, 0.5, 0.5), unit="µm")
    seen = []

    def carry(stack: Image, anchors: Any, **_: Any) -> tuple[()]:
        seen.append((stack.axes, stack.spacing, sorted(anchors)))
        return ()

    monkeypatch.setattr(marked_objects, "carry_planes", carry)
    marks = [Mark(1, (frame, 2.0, 30.0, 30.0)) for frame in (0.0, 1.0)]
    click_objects(image, marks, ClickOptions(carry=True))
    assert seen == [("ZYX", (4.0, 0.5, 0.5), [2])] * 2


def test_nothing_at_all_and_planes_that_are_not_there_are_said() -> None:
    image, _ = discs()
    with pytest.raises(InputError, match="no object at any of the marks"):
        click_objects(image, [Mark(1, (900.0, 900.0))])
    with pytest.raises(InputError, match="one plane along Z"):
        click_objects(image, [Mark(1, (30.0, 30.0))], ClickOptions(carry=True))
