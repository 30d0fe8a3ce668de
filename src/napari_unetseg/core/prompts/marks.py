"""Marks of objects in an image of any axes: clicks and boxes, from arrays or from a table."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.prompts.prompt import Point, Prompt

Kind = Literal["inside", "outside", "box"]
"""A click in an object, a click that is not in it, or a corner of a box around it."""

ObjectKey: TypeAlias = int | str
PlaneIndex: TypeAlias = tuple[int, ...]
Placed: TypeAlias = dict[ObjectKey, dict[PlaneIndex, Prompt]]
"""The prompt of each object in each plane, in the order of the marks."""

_BOXES = ("rectangle", "ellipse", "polygon")
_STROKES = ("line", "path")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Mark:
    """One click, or one corner of a box.

    Parameters
    ----------
    object
        Number or name of the object it belongs to.
    at
        Pixels along the axes of the image, without channels.
    kind
        Its meaning.
    """

    object: ObjectKey
    at: tuple[float, ...]
    kind: Kind = "inside"


def place_marks(marks: Iterable[Mark], axes: str, shape: Sequence[int]) -> Placed:
    """Return the prompt that the marks of each object are in each plane.

    Parameters
    ----------
    marks
        In the order in which they were made.
    axes, shape
        Of the image, without channels: Y and X last.

    Raises
    ------
    InputError
        When a mark has other axes or is in a plane that is not there, or an object has neither a
        click inside nor a box in one of its planes.
    """
    of_plane: dict[ObjectKey, dict[PlaneIndex, dict[str, list[Point]]]] = {}
    for mark in marks:
        if len(mark.at) != len(axes) or not all(map(math.isfinite, mark.at)):
            raise InputError(
                f"The mark {mark.at} of object {mark.object} needs a number of pixels along each "
                f"of the axes {axes}."
            )
        plane = tuple(round(at) for at in mark.at[:-2])
        for axis, at, length in zip(axes, plane, shape, strict=False):
            if not 0 <= at < length:
                raise InputError(
                    f"Object {mark.object} is marked at {axis} = {at}, but the image has 0 to "
                    f"{length - 1} along {axis}."
                )
        kinds = of_plane.setdefault(mark.object, {}).setdefault(plane, {})
        kinds.setdefault(mark.kind, []).append((mark.at[-2], mark.at[-1]))
    if not of_plane:
        raise InputError("There is no mark: give at least one click or box.")
    return {
        number: {plane: _prompt(number, kinds) for plane, kinds in planes.items()}
        for number, planes in of_plane.items()
    }


def _prompt(number: ObjectKey, kinds: Mapping[str, Sequence[Point]]) -> Prompt:
    prompt = Prompt(tuple(kinds.get("inside", ())), tuple(kinds.get("outside", ())))
    corners = kinds.get("box", ())
    if len(corners) == 1:
        raise InputError(f"The box of object {number} has one corner. Give two opposite corners.")
    if corners:
        rows, columns = zip(*corners, strict=True)
        prompt = prompt.with_box((min(rows), min(columns), max(rows), max(columns)))
    if prompt.anchor is None:
        raise InputError(
            f"Object {number} has no click inside and no box in one of its planes. Give one, with "
            "the same value in the column object."
        )
    return prompt


def read_marks(path: Path, axes: str, shape: Sequence[int]) -> list[Mark]:
    """Read the marks of a table: ours, or the Points or Shapes that napari saves.

    Parameters
    ----------
    path
        A .csv or .tsv file. Ours has the columns y and x, z and t where the image has them, and
        if wanted object and kind. Without the column object each click is an object of its own.
        In napari's shapes, rectangles, ellipses and polygons are boxes, lines and paths strokes.
    axes, shape
        Of the image, without channels.

    Raises
    ------
    InputError
        When the file cannot be read, a column is missing, or a value is not as it should be.
    """
    rows = _rows(path)
    names = set(rows[0][1]) if rows else set()
    own_axes = [axis for axis in axes.lower() if axis in names]
    numbered = sorted(name for name in names if name.startswith("axis-"))
    if {"y", "x"} <= names:
        columns = own_axes
    elif len(numbered) >= 2:
        if len(numbered) > len(axes):
            raise InputError(
                f"{path.name} has {len(numbered)} axes and the image {len(axes)} ({axes}). Mark "
                "the objects on a layer of the image."
            )
        columns = numbered
        own_axes = list(axes.lower()[-len(numbered) :])
    else:
        raise InputError(
            f"{path.name} has no columns y and x (nor axis-0 and axis-1, as napari saves). Its "
            f"first line must name the columns; it is {', '.join(sorted(names)) or 'empty'}."
        )
    for axis, length in zip(axes.lower(), shape, strict=True):
        if axis not in own_axes and length > 1:
            raise InputError(
                f"{path.name} has no column {axis}, but the image has {length} along "
                f"{axis.upper()}. Add it: the number of the plane, from 0."
            )
    return [
        _mark(path, line, values, dict(zip(own_axes, columns, strict=True)), axes)
        for line, values in rows
    ]


def _mark(
    path: Path, line: int, values: Mapping[str, str], columns: Mapping[str, str], axes: str
) -> Mark:
    """Return the mark of a row of a table."""
    at = []
    for axis in axes.lower():
        text = values.get(columns.get(axis, ""), "0")
        try:
            at.append(float(text))
        except ValueError:
            raise InputError(
                f"{path.name}, line {line}: {columns[axis]} is {text!r}, not a number."
            ) from None
    shape = values.get("shape-type", "").lower()
    kind: Any = values.get("kind", "").lower() or ("box" if shape in _BOXES else "inside")
    if shape and shape not in (*_BOXES, *_STROKES):
        raise InputError(
            f"{path.name}, line {line}: a {shape} marks no object. Use rectangles, ellipses, "
            "polygons, lines or paths."
        )
    if kind not in get_args(Kind):
        raise InputError(
            f"{path.name}, line {line}: the kind is {kind!r}. Choose {', '.join(get_args(Kind))}."
        )
    name = values.get("object", "")
    if not name:
        if kind == "outside" or (kind == "box" and not shape):
            raise InputError(
                f"{path.name}, line {line}: {kind} needs the column object, with the same value "
                "in all lines of an object."
            )
        name = f"index {values['index']}" if values.get("index") and shape else f"line {line}"
    return Mark(int(name) if name.isdecimal() else name, tuple(at), kind)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the line number and the values by column of each row of a table."""
    separator = _SEPARATORS.get(path.suffix.lower())
    if separator is None:
        raise InputError(f"{path.name} is no table of marks. Give a .csv or .tsv file.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [
                (number, row)
                for number, row in enumerate(csv.reader(file, delimiter=separator), 1)
                if any(row)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name} cannot be read as a table: {error}.") from error
    if not lines:
        return []
    names = [name.strip().lower() for name in lines[0][1]]
    return [
        (number, {name: cell.strip() for name, cell in zip(names, row, strict=False)})
        for number, row in lines[1:]
    ]


__all__ = ["Kind", "Mark", "ObjectKey", "Placed", "place_marks", "read_marks"]
