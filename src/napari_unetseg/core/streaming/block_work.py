"""Process one block, in any process and independently of the other blocks."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.compute.label_runs import add_positions, ids_of_rows, label_runs
from napari_unetseg.core.image import Image, read_pixels
from napari_unetseg.core.io.pyramid import PyramidLayout, chunk_boxes, halve
from napari_unetseg.core.measure import measure_part
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects import masks as shapes
from napari_unetseg.core.objects.cross_block_objects import (
    Box,
    Crossing,
    CrossingComponent,
    box_within,
    split_block,
    split_component,
)
from napari_unetseg.core.recipe import Recipe
from napari_unetseg.core.recipe.execute import select_channel
from napari_unetseg.core.streaming.block_evidence import BlockEvidence, block_evidence
from napari_unetseg.core.streaming.block_grid import BlockGrid, chunk_of
from napari_unetseg.core.streaming.compose_blocks import GIANT, put_pieces
from napari_unetseg.core.streaming.prepare_run import Prepared, WholeImageParameters, restore
from napari_unetseg.core.streaming.run_folder import Arrays, RunFolder

EVIDENCE, RAW, IDS = "evidence", "raw", "ids"
"""Arrays of a run: the evidence; objects by provisional ids; objects by final ids, for masks."""

DIRECT = ("classes", "probabilities", "flattened")
"""Kinds whose evidence is the result."""


@dataclass(frozen=True, eq=False)
class Work:
    """Process any block of an image with a recipe.

    Parameters
    ----------
    recipe
        The steps and their options.
    image
        The whole image, its axes in the order TCZYX.
    prepared
        The parameters fitted to the whole image.
    model
        The recipe's model.
    folder
        The folder of intermediate results.
    sides
        Sides of a block in pixels.
    """

    recipe: Recipe
    image: Image
    prepared: Prepared
    model: TrainedModel | None
    folder: RunFolder
    sides: tuple[int, ...]

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        image: Image,
        parameters: WholeImageParameters,
        model: TrainedModel | None,
        folder: RunFolder,
        sides: tuple[int, ...],
    ) -> "Work":
        """Make the work from the parameters fitted to the whole image."""
        prepared = restore(recipe, select_channel(image, recipe.image), parameters)
        return cls(recipe, image, prepared, model, folder, sides)

    @cached_property
    def evidence(self) -> BlockEvidence:
        """The source of evidence."""
        return block_evidence(self.recipe, self.prepared, self.model)

    @cached_property
    def grid(self) -> BlockGrid:
        """The layout of the blocks."""
        image, axes = self.evidence.image, self.evidence.image.axes
        if self.evidence.kind in ("objects", "classes", "probabilities") and self.model is not None:
            axes = axes.replace("C", "")
        shape = tuple(image.length(axis) for axis in axes)
        return BlockGrid(axes, shape, self.evidence.block_axes, self.sides)

    @cached_property
    def chunks(self) -> tuple[int, ...]:
        """Sides of the chunks of arrays on the label axes."""
        block = dict(zip(self.grid.block_axes, chunk_of(self.sides), strict=True))
        return tuple(block.get(axis, 1) for axis in self.grid.axes)

    @property
    def result(self) -> Any:
        """The result array at full resolution, to read and write."""
        return self.folder.result["s0"]

    @property
    def direct(self) -> bool:
        """Whether the evidence is the result."""
        return self.evidence.kind in DIRECT

    @property
    def measured(self) -> bool:
        """Whether objects are measured."""
        return self.recipe.measurement is not None and self.evidence.kind == "objects"

    def layout(self, dtype: Any) -> PyramidLayout:
        """Return the layout of the result's image pyramid."""
        grid, channels = self.grid, self.evidence.channels if self.direct else ()
        axes, shape = grid.axes, grid.shape
        sides = dict(zip(grid.axes, self.chunks, strict=True))
        if channels:
            lengths = {**dict(zip(axes, shape, strict=True)), "C": len(channels)}
            axes = "".join(axis for axis in "TCZYX" if axis in lengths)
            shape = tuple(lengths[axis] for axis in axes)
        image = self.evidence.image
        return PyramidLayout(
            shape,
            axes,
            np.dtype(dtype),
            image.spacing,
            image.unit,
            labels=self.evidence.kind in ("objects", "masks", "classes"),
            channel_names=channels or (image.channel_names if "C" in axes else ()),
            chunk=sides["Y"],
            depth=sides.get("Z", 1),
        )

    def create_evidence(self) -> None:
        """Create the array of evidence."""
        n = len(self.evidence.channels)
        lead = (n,) if n else ()
        shape, chunks = (*lead, *self.grid.shape), (*lead, *self.chunks)
        self.folder.create(EVIDENCE, shape, chunks, self.evidence.dtype)

    def create_labels(self, name: str) -> None:
        """Create an array of object ids."""
        self.folder.create(name, self.grid.shape, self.chunks, np.int32)

    def do(self, stage: str, number: int, given: Arrays) -> Arrays:
        """Run one stage on one block.

        Parameters
        ----------
        number
            Number of the block; see `BlockGrid.jobs`.
        given
            Arrays that the stage needs from the whole run.

        Returns
        -------
        dict of str to ndarray
            Arrays that the whole run needs from the block.
        """
        name, _, level = stage.partition("-")
        with _threads():
            if name == "levels":
                return self._level(int(level), number)
            results: Arrays = _STAGES[name](self, number, given)
            return results

    def crossing(self, results: Mapping[str, NDArray[Any]]) -> Crossing:
        """Return the parts that continue in other blocks, from the results of the objects stage."""
        n = sum(name.startswith("layer") for name in results)
        layers = tuple(results[f"layer{number}"] for number in range(n))
        return Crossing(results["boxes"], results["pixels"], layers)

    def empty_table(self) -> Arrays:
        """Return an empty table with all its columns."""
        axes, image = self.grid.axes, self.evidence.image
        labels = image.like(np.zeros((1,) * len(axes), np.int32), axes)
        start, single = dict.fromkeys(axes, 0), dict.fromkeys(axes, slice(0, 1))
        values = self._measured_image
        inner = None if values is None else _window(values, single)
        whole = dict.fromkeys(axes, 1)
        step = self.recipe.measurement
        return dict(measure_part(labels, inner, step, start=start, whole=whole))

    @property
    def _measured_image(self) -> Image | None:
        """The image that intensities are measured in."""
        step = self.recipe.measurement
        images = {"image": self.image, "flattened": self.prepared.flattened}
        return None if step is None else images.get(step.intensities)

    def _look(self, number: int, given: Arrays) -> Arrays:
        index, position = self.grid.jobs[number]
        box = self.grid.blocks.box(position)
        values = self.evidence.of_block(index, position, box, self.sides)
        if not self.direct:
            self._evidence[self._evidence_at(index, box)] = values
            return {}
        at = self.grid.at(index, box)
        axes = self.layout(values.dtype).axes
        if self.evidence.channels:
            channel_axis = axes.index("C")
            at = (*at[:channel_axis], slice(None), *at[channel_axis:])
            block = [axis for axis in axes if axis in "C" + self.grid.block_axes]
            values = np.moveaxis(values, 0, block.index("C"))
        self.result[at] = values
        return {}

    def _divide(self, number: int, given: Arrays) -> Arrays:
        index, position = self.grid.jobs[number]
        maker, blocks = self.evidence.maker(), self.grid.blocks
        divided = split_block(self._reader(index), maker, blocks, position)
        raw = self.folder.array(RAW)
        raw[self.grid.at(index, blocks.box(position))] = divided.labels
        crossing = divided.crossing
        layers = {f"layer{number}": layer for number, layer in enumerate(crossing.layers)}
        return {
            "firsts": divided.firsts,
            "boxes": crossing.boxes,
            "pixels": crossing.pixels,
            **layers,
        }

    def _join(self, number: int, given: Arrays) -> Arrays:
        """Divide components that span several blocks into objects; see `join_blocks`."""
        index = tuple(given["index"].tolist())
        components = [_piece(*row) for row in zip(given["boxes"], given["pixels"], strict=True)]
        read, shape = self._reader(index), self.grid.blocks.shape
        if len(components) > 1:
            read = self._window_reader(
                index, bounding_box([component.box for component in components], shape)
            )
        maker, n = self.evidence.maker(), 0
        boxes, values, firsts = [], [], []
        for component in components:
            objects = split_component(read, maker, component, shape)
            ids = np.where(objects.labels > 0, objects.labels + np.int32(n), 0)
            boxes.append([(span.start, span.stop) for span in objects.box])
            values.append(np.where(objects.own, ids, -1).astype(np.int32))
            firsts.append(objects.firsts)
            n += len(objects.firsts)
        results = {"boxes": np.array(boxes), "firsts": np.concatenate(firsts)}
        if len(components) == 1 and values[0].size > GIANT:
            name = f"piece-{number}"
            self.folder.create(name, values[0].shape, self.sides, np.int32)
            self.folder.array(name)[:] = values[0]
            return results
        return {**results, "values": np.concatenate([objects.ravel() for objects in values])}

    def _present(self, number: int, given: Arrays) -> Arrays:
        """Return the provisional ids left in a block once all spanning components are drawn in."""
        return {"ids": np.unique(self._composed(number, given))}

    def _number(self, number: int, given: Arrays) -> Arrays:
        """Replace the provisional ids in a block by the final ids in `given`."""
        index, position = self.grid.jobs[number]
        at = self.grid.at(index, self.grid.blocks.box(position))
        ids = self._composed(number, given)
        labels = np.append(np.int32(0), given["own"])[np.maximum(ids, 0)]
        crossing = ids < 0
        labels[crossing] = given["pieces"][-1 - ids[crossing]]
        out = self.folder.array(IDS) if self.evidence.kind == "masks" else self.result
        out[at] = labels
        return {}

    def _composed(self, number: int, given: Arrays) -> NDArray[np.int32]:
        """Return the provisional ids of a block: > 0 for its own objects, < 0 for spanning ones."""
        index, position = self.grid.jobs[number]
        box = self.grid.blocks.box(position)
        ids = np.asarray(self.folder.array(RAW)[self.grid.at(index, box)])
        put_pieces(ids, box, self.folder, given)
        return ids

    def _places(self, number: int, given: Arrays) -> Arrays:
        """Return the ids in a block, and the bounding box of each id's pixels there."""
        index, position = self.grid.jobs[number]
        box = self.grid.blocks.box(position)
        labels = np.asarray(self.result[self.grid.at(index, box)])
        planes = labels if labels.ndim == 3 else labels[None]
        ids = ids_of_rows(labels.reshape(-1, labels.shape[-1])).astype(np.int64)
        ids = ids[ids != 0]
        n = len(ids)
        origin, sums = np.zeros((n, 3), np.int64), np.zeros((n, 10))
        low, high = np.full((n, 3), np.iinfo(np.int64).max), np.full((n, 3), -1)
        for z, plane in enumerate(planes):
            add_positions(label_runs(plane, ids), z, 0, origin, sums, low, high)
        start = dict(zip(self.grid.loops, index, strict=True))
        start |= {a: span.start for a, span in zip(self.grid.block_axes, box, strict=True)}
        shift = np.array([start.get(axis, 0) for axis in "ZYX"])
        return {"ids": ids, "low": low + shift, "high": high + shift}

    def _mask(self, number: int, given: Arrays) -> Arrays:
        """Write the cleaned-up classes of a block."""
        options = self.recipe.threshold
        index, position = self.grid.jobs[number]
        blocks = self.grid.blocks
        box = blocks.box(position)
        widened = tuple(
            slice(max(span.start - 1, 0), min(span.stop + 1, n))
            for span, n in zip(box, blocks.shape, strict=True)
        )
        ids = np.asarray(self.folder.array(IDS)[self.grid.at(index, widened)])
        mask = shapes.cut_apart(ids) if options is not None and options.split else ids > 0
        cleaned = mask[box_within(box, widened)].astype(np.uint8)
        if options is not None and options.method == "multiotsu":
            classes = np.asarray(self._evidence[self._evidence_at(index, box)])
            # A filled hole has the class of the background; it takes the one next to it.
            cleaned = np.where(cleaned > 0, np.maximum(classes, 1), 0).astype(np.uint8)
        self.result[self.grid.at(index, box)] = cleaned
        return {}

    def _measure(self, number: int, given: Arrays) -> Arrays:
        """Measure the objects ``ids`` in their bounding box, from ``low`` to ``high``."""
        step = self.recipe.measurement
        axes = self.grid.axes
        box = tuple(
            slice(int(a), int(b) + 1) for a, b in zip(given["low"], given["high"], strict=True)
        )
        labels = np.asarray(self.result[box])
        selected = np.zeros(max(int(labels.max(initial=0)), int(given["ids"].max())) + 1, bool)
        selected[given["ids"]] = True
        labels = np.where(selected[labels], labels, 0)
        image = self.evidence.image
        window = image.like(labels, axes)
        values = self._measured_image
        spans = dict(zip(axes, box, strict=True))
        start = {axis: span.start for axis, span in spans.items()}
        whole = {axis: self.grid.length(axis) for axis in axes}
        inner = None if values is None else _window(values, spans)
        return dict(measure_part(window, inner, step, start=start, whole=whole))

    def _level(self, level: int, number: int) -> Arrays:
        layout = self.layout(self.result.dtype)
        shape = layout.shapes[level]
        halve(self.folder.result, layout, level, list(chunk_boxes(shape, layout.chunks))[number])
        return {}

    def _reader(self, index: tuple[int, ...]) -> Any:
        def read(box: Box) -> Any:
            return self.evidence.maker_input(
                np.asarray(self._evidence[self._evidence_at(index, box)])
            )

        return read

    def _window_reader(self, index: tuple[int, ...], window: Box) -> Any:
        """Return a function that reads boxes from a window in memory."""
        numbers = np.asarray(self._evidence[self._evidence_at(index, window)])

        def read(box: Box) -> Any:
            where: Any = (..., *box_within(box, window))
            return self.evidence.maker_input(numbers[where])

        return read

    def _evidence_at(self, index: tuple[int, ...], box: Box) -> tuple[Any, ...]:
        lead = (slice(None),) if self.evidence.channels else ()
        return (*lead, *self.grid.at(index, box))

    @property
    def _evidence(self) -> Any:
        return self.folder.array(EVIDENCE)


def bounding_box(boxes: Sequence[Box], shape: tuple[int, ...]) -> Box:
    """Return the bounding box of boxes, widened by one pixel within `shape`."""
    ends = np.array([[(span.start, span.stop) for span in box] for box in boxes])
    low, high = ends[..., 0].min(0).tolist(), ends[..., 1].max(0).tolist()
    return tuple(
        slice(max(a - 1, 0), min(b + 1, n)) for a, b, n in zip(low, high, shape, strict=True)
    )


def _piece(box: NDArray[np.int64], pixel: NDArray[np.int64]) -> CrossingComponent:
    return CrossingComponent(tuple(slice(a, b) for a, b in box.tolist()), tuple(pixel.tolist()))


def _window(image: Image, spans: Mapping[str, slice]) -> Image:
    """Read a part of an image into memory."""
    at = tuple(spans.get(axis, slice(None)) for axis in image.axes)
    data = read_pixels(image.data[at])
    return replace(image, data=data)


def _threads() -> AbstractContextManager[Any]:
    """Make dask read chunks in threads of this process: a worker would use the cluster instead."""
    import dask

    context: AbstractContextManager[Any] = dask.config.set(scheduler="threads")
    return context


_STAGES: Mapping[str, Any] = {
    "pixels": Work._look,  # noqa: SLF001
    "objects": Work._divide,  # noqa: SLF001
    "pieces": Work._join,  # noqa: SLF001
    "present": Work._present,  # noqa: SLF001
    "numbers": Work._number,  # noqa: SLF001
    "masks": Work._mask,  # noqa: SLF001
    "places": Work._places,  # noqa: SLF001
    "measurements": Work._measure,  # noqa: SLF001
}

__all__ = ["DIRECT", "EVIDENCE", "IDS", "RAW", "Work"]
