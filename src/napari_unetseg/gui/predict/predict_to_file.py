"""Predicting images larger than memory: into a file, the field on screen first, as it grows."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.events import disconnect_events
from numpy.typing import NDArray

from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.io.ome_zarr_files import read_levels
from napari_unetseg.core.objects.lineage import lineage_of
from napari_unetseg.core.progress import Cancelled, StopEarly
from napari_unetseg.core.recipe import Recipe
from napari_unetseg.core.recipe.recipe_steps import ModelStep
from napari_unetseg.core.streaming import LocalRunner, can_resume, stream
from napari_unetseg.core.streaming.block_work import EVIDENCE, Work
from napari_unetseg.core.streaming.runners import Task
from napari_unetseg.gui.predict.predict_run import PredictRun
from napari_unetseg.gui.shared.layers import PROBABILITIES, geometry_of, marked
from napari_unetseg.gui.shared.navigate import camera_of, in_view
from napari_unetseg.gui.shared.task import Reporter

_OVERVIEW = 2048
_REFRESH_SECONDS = 0.4
_GROWING = f"{PROBABILITIES} so far"  # which no tool takes up as an image to work on


@dataclass(frozen=True, eq=False)
class Begun:
    """What there will be to look at: all pixels on disk, and every so manieth in memory."""

    array: Any
    overview: NDArray[Any]
    step: int


@dataclass(frozen=True, eq=False)
class Grown:
    """Some more of the overview."""

    where: tuple[Any, ...]
    values: NDArray[Any]


class Slide:
    """What the Predict dock does with an image larger than memory.

    Parameters
    ----------
    viewer
        The napari viewer.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._source: Layer | None = None
        self._growing: Layer | None = None
        self._overview: NDArray[Any] = np.zeros((0, 0))
        self._refreshed = 0.0
        self._field = _Field()

    @property
    def on(self) -> bool:
        """Whether a large image is under way."""
        return self._source is not None

    def work(self, run: PredictRun, out: Path) -> Callable[[Reporter], PredictRun]:
        """Return what predicts a run's image into a file, from where an earlier run ended."""
        self._source = run.layer
        self._follow()
        model, image = run.model, run.prediction.image
        chosen = run.options.model_dump(include=set(PredictOptions.model_fields))
        step = ModelStep(
            file=model.name or "model",
            sha256=model.fingerprint,
            **(chosen | run.options.one_size()),
        )
        objects = run.prediction.decoding if run.wants_objects else None
        recipe, field = Recipe(model=step, objects=objects), self._field

        def work(progress: Reporter) -> PredictRun:
            runner = _Shown(field, progress)
            try:
                made = stream(
                    recipe,
                    image,
                    out,
                    model=model,
                    resume=can_resume(recipe, image, out, model),
                    runner=runner,
                    progress=progress,
                )
            except StopEarly:
                raise Cancelled from None
            levels = tuple(level.data for level in read_levels(made.path))
            done = replace(run.prediction, path=made.path, n_objects=made.n_objects, zoom=made.zoom)
            return replace(run, prediction=done, levels=levels, lineage=lineage_of(made.image))

        return work

    def on_the_way(self, thing: Any) -> None:
        """Show what there is so far."""
        layer = self._source
        if layer is None or layer not in self._viewer.layers:
            return
        if isinstance(thing, Begun):
            self._overview = thing.overview
            self._growing = _growing(layer, thing)
            self._viewer.layers.append(self._growing)
        elif isinstance(thing, Grown) and self._growing is not None:
            self._overview[thing.where] = thing.values
            if time.monotonic() - self._refreshed > _REFRESH_SECONDS:
                self._refreshed = time.monotonic()
                self._growing.refresh()

    def end(self) -> None:
        """Take away what showed the way; nothing follows."""
        if self._source is None:
            return
        disconnect_events(camera_of(self._viewer).events, self)
        disconnect_events(self._viewer.dims.events, self)
        if self._growing is not None and self._growing in self._viewer.layers:
            self._viewer.layers.remove(self._growing)
        self._source = self._growing = None

    def _follow(self) -> None:
        camera = camera_of(self._viewer)
        camera.events.center.connect(self._on_moved)
        camera.events.zoom.connect(self._on_moved)
        self._viewer.dims.events.current_step.connect(self._on_moved)
        self._on_moved()

    def _on_moved(self, event: object = None) -> None:
        if self._source is not None:
            self._field.look_at(self._source)


class _Field:
    """Where the middle of what is on screen is, for a thread that asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._middle: tuple[float, ...] = (0.0, 0.0)

    def look_at(self, layer: Layer) -> None:
        """Take note of what is on screen of a layer."""
        box = in_view(layer)
        with self._lock:
            self._middle = tuple((span.start + span.stop) / 2 for span in box)

    def nearest(self, work: Work, numbers: Sequence[int]) -> int:
        """Return which of some blocks is nearest to the middle; see `runners.Order`."""
        with self._lock:
            middle = np.array(self._middle)
        grid = work.grid
        places = np.array([grid.jobs[number][1][-2:] for number in numbers])
        centres = (places + 0.5) * np.array(grid.sides[-2:])
        return int(np.argmin(((centres - middle) ** 2).sum(1)))


class _Shown(LocalRunner):
    """Does the blocks nearest to what is on screen first, and hands over what there is to see."""

    def __init__(self, field: _Field, report: Reporter) -> None:
        super().__init__(field.nearest)
        self._report = report

    def run(self, work: Work, stage: str, tasks: Iterable[Task]) -> Iterator[Task]:
        """See `napari_unetseg.core.streaming.runners.Runner.run`."""
        growing = stage == "pixels" and work.evidence.kind in ("objects", "classes")
        if not growing:
            yield from super().run(work, stage, tasks)
            return
        grid = work.grid
        array = work.result if work.direct else _First(work.folder.array(EVIDENCE))
        longest = max(grid.length(axis) for axis in "YX")
        step = 1
        while longest / step > _OVERVIEW and all(
            side % (2 * step) == 0 for side in grid.sides[-2:]
        ):
            step *= 2
        shape = (*array.shape[:-2], *(-(-n // step) for n in array.shape[-2:]))
        self._report.show(Begun(array, np.zeros(shape, array.dtype), step))
        for number, found in super().run(work, stage, tasks):
            index, place = grid.jobs[number]
            at = grid.at(index, grid.blocks.box(place))
            values = np.asarray(array[at])[..., ::step, ::step]
            ends = zip(at[-2:], values.shape[-2:], strict=True)
            here = [slice(span.start // step, span.start // step + n) for span, n in ends]
            self._report.show(Grown((*at[:-2], *here), values))
            yield number, found


class _First:
    """The first channel of an array on disk: how likely each pixel belongs to an object."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape, self.dtype = tuple(array.shape[1:]), np.dtype(array.dtype)
        self.ndim, self.size = len(self.shape), math.prod(self.shape)

    def __getitem__(self, where: Any) -> Any:
        inner = where if isinstance(where, tuple) else (where,)
        return self._array[(0, *inner)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self._array[0], dtype=dtype)


def _growing(layer: Layer, begun: Begun) -> Layer:
    """Return a layer of what there is so far: classes, or how likely pixels belong to objects."""
    data: Any = [begun.array, begun.overview] if begun.step > 1 else begun.overview
    look: dict[str, Any] = {
        "name": f"{layer.name} so far",
        "metadata": marked(_GROWING, layer, {}),
        "multiscale": begun.step > 1,
        **geometry_of(layer, ndim=begun.overview.ndim),
    }
    if begun.overview.dtype.kind == "f":
        return ImageLayer(
            data, contrast_limits=(0, 1), colormap="green", blending="additive", **look
        )
    return Labels(data, **look)


__all__ = ["Begun", "Grown", "Slide"]
