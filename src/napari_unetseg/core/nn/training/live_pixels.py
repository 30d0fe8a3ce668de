"""`LivePixels`: a pixel model that is fitted again at every stroke, in milliseconds.

The inputs of a pixel depend on the image alone. They are computed once for each tile that is
painted on or in view, and cached within the memory allowed; those of labelled pixels are always
kept. So a stroke costs a comparison of labels, a fit, and the evidence of the pixels in view.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import IGNORED
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.pixel_table import PixelTable
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import likeliest
from napari_unetseg.core.inference.tiles import Tile, TileGrid
from napari_unetseg.core.model.feature_context import FeatureContext
from napari_unetseg.core.model.pixel_specs import PixelSpec, pixel_inputs
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.inference.pixel_segmenter import PixelSegmenter
from napari_unetseg.core.nn.restore import frozen_of
from napari_unetseg.core.nn.training.fit_pixels import fit_table
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.progress import Progress, part, silent, track

FloatArray = NDArray[np.float32]
Index = tuple[int, ...]
Box = tuple[slice, slice]

SIDE = 512
"""Side of a tile, in pixels: small enough that a stroke in a corner costs little."""

MEMORY = 768 * 2**20
"""Bytes of cached inputs: 1024 x 1024 pixels in view take about 100 MB for each channel."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The labelled pixels of one tile.

    Parameters
    ----------
    labels
        The tile's labels when it was read.
    inputs, values
        (n, F) and (n,): inputs and label of each labelled pixel.
    """

    labels: NDArray[Any]
    inputs: FloatArray
    values: NDArray[np.int64]


class LivePixels:
    """A pixel model of one image, fitted to strokes and applied to the view.

    Parameters
    ----------
    image
        Any image; planes are learnt and predicted, those of a stack one by one.
    spec
        Rung and inputs.
    labels_are
        ``"scribbles"``: 0 is not labelled. Otherwise it is the background.
    scaling
        How intensities are normalised, by statistics of the whole image. By default as for the
        network of `features_from`, or by percentiles.
    features_from
        A trained UNet, whose features are inputs as the options ask; computed once for each tile.
    memory
        Bytes of inputs to cache.
    seed
        Of the sample of pixels where there are too many, and of a perceptron's first weights.

    Raises
    ------
    InputError
        When `features_from` is no UNet for planes of such images, or does not match the options.

    Notes
    -----
    Fitted to the same pixels it predicts the same as `napari_unetseg.core.training.train.train`:
    `max_pixels` of each class count, drawn at random where there are more. A perceptron of several
    layers continues from the fit before the stroke, which is faster and hardly changes the result.
    Not thread-safe.
    """

    def __init__(
        self,
        image: Image,
        spec: PixelSpec,
        *,
        labels_are: AnnotationKind = "scribbles",
        scaling: NormalisationSpec | None = None,
        features_from: TrainedModel | None = None,
        memory: int = MEMORY,
        seed: int = 0,
    ) -> None:
        self._frozen = None
        if features_from is not None:
            self._frozen = frozen_of(features_from, image.n_channels, 2)
        features = None if self._frozen is None else self._frozen.features
        self._image, self._spec, self._kind = image, spec.seeing(features), labels_are
        self._memory, self._seed = memory, seed
        if scaling is None:
            scaling = NormalisationSpec() if features_from is None else features_from.normalisation
        self._normalisation = fit_normalisation(image, scaling)
        shape, context = (image.length("Y"), image.length("X")), FeatureContext(network=features)
        self._grid = TileGrid(
            shape,
            (SIDE, SIDE),
            halo=self._spec.halo(2, context),
            multiple=self._spec.multiple(2, context),
            border=self._spec.border(2, context),
        )
        self._tiles = list(self._grid)
        self._inputs: OrderedDict[tuple[Index, int], FloatArray] = OrderedDict()
        self._rows: dict[tuple[Index, int], Rows] = {}
        self._segmenter: PixelSegmenter | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes of cached inputs of tiles, labelled or not."""
        return sum(inputs.nbytes for inputs in self._inputs.values())

    @property
    def n_labelled(self) -> int:
        """Number of labelled pixels."""
        return sum(len(rows.values) for rows in self._rows.values())

    @property
    def values(self) -> tuple[int, ...]:
        """The label of each class, in the order of the evidence."""
        found = [np.unique(rows.values) for rows in self._rows.values()]
        return tuple(int(value) for value in np.unique(np.concatenate([*found, [0][:0]])))

    def paint(self, strokes: Mapping[Index, NDArray[Any]], *, progress: Progress = silent) -> None:
        """Update the labels of some planes.

        Parameters
        ----------
        strokes
            Labels (Y, X) by the index of the plane among time and depth. Planes that are not in it
            keep their labels.

        Raises
        ------
        InputError
            When the labels have another shape than the image.
        """
        changed = []
        for index, labels in strokes.items():
            if labels.shape != self._grid.shape:
                raise InputError(
                    f"The labels have the shape {labels.shape} and the image {self._grid.shape}: "
                    "choose labels that were painted on this image."
                )
            for number, tile in enumerate(self._tiles):
                tile_labels = labels[tile.region]
                previous = self._rows.get((index, number))
                if previous is None and self._kind == "scribbles" and not tile_labels.any():
                    continue
                if previous is None or not np.array_equal(previous.labels, tile_labels):
                    changed.append((index, number, tile_labels))
        for index, number, tile_labels in track(changed, progress, "computing features"):
            self._read(index, number, tile_labels)

    def fit(self, *, progress: Progress = silent) -> PixelSegmenter:
        """Fit the model to all labelled pixels.

        Raises
        ------
        InputError
            When nothing or one class alone is labelled, or there are more classes than the rung
            can separate.
        """
        values = self.values
        previous = self._segmenter
        start = previous.network if previous and previous.values == values else None
        network = fit_table(
            self._spec,
            self._table(values),
            start=start,
            seed=self._seed,
            progress=progress,
        )
        names = tuple(f"class {value}" if value else "background" for value in values)
        self._segmenter = PixelSegmenter(
            network, self._spec, names, self._image.n_channels, 2, values, (), self._frozen
        )
        return self._segmenter

    def classes(
        self, index: Index, box: Box, *, progress: Progress = silent
    ) -> tuple[Box, NDArray[np.uint8]]:
        """Predict the classes of the tiles that overlap a box.

        Returns
        -------
        box
            The bounding box of those tiles.
        classes
            The label of the most probable class of each pixel of that box, uint8.

        Raises
        ------
        InputError
            When nothing was fitted yet.
        """
        segmenter = self._segmenter
        if segmenter is None:
            raise InputError("Nothing is annotated yet. Paint a stroke of each class.")
        touched = [(n, tile) for n, tile in enumerate(self._tiles) if _meet(tile.region, box)]
        if not touched:
            return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), np.uint8)
        first = [min(tile.region[axis].start for _, tile in touched) for axis in (0, 1)]
        last = [max(tile.region[axis].stop for _, tile in touched) for axis in (0, 1)]
        out = np.zeros([b - a for a, b in zip(first, last, strict=True)], np.uint8)
        values = np.array(segmenter.values, np.uint8)
        for number, tile in track(touched, progress, "predicting"):
            proba = segmenter.proba_of(self._inputs_of(index, number))
            place = tuple(
                slice(span.start - at, span.stop - at)
                for span, at in zip(tile.region, first, strict=True)
            )
            out[place] = values[likeliest(proba)]
        return (slice(first[0], last[0]), slice(first[1], last[1])), out

    def update(
        self,
        strokes: Mapping[Index, NDArray[Any]],
        index: Index,
        box: Box,
        *,
        progress: Progress = silent,
    ) -> tuple[Box, NDArray[np.uint8]]:
        """Update labels, fit, and predict the view; see `paint`, `fit` and `classes`."""
        self.paint(strokes, progress=part(progress, 0, 0.4))
        self.fit(progress=part(progress, 0.4, 0.6))
        return self.classes(index, box, progress=part(progress, 0.6, 1))

    def _read(self, index: Index, number: int, labels: NDArray[Any]) -> None:
        where = labels >= 0 if self._kind != "scribbles" else labels > 0
        inputs = self._inputs_of(index, number)
        values = labels[where].astype(np.int64)
        if self._kind == "objects":
            values = np.minimum(values, 1)
        if len(values) and values.max() >= IGNORED:
            raise InputError(
                f"The labels hold {int(values.max())}, more than {IGNORED - 1} classes: they look "
                "like object ids. Say that the labels are objects."
            )
        rows = np.ascontiguousarray(inputs[:, where].T)
        self._rows[index, number] = Rows(labels.copy(), rows, values)

    def _table(self, values: Sequence[int]) -> PixelTable:
        """Gather the rows of all tiles, no more of each class than the options allow."""
        if not values:
            raise InputError("Nothing is annotated yet. Paint a stroke of each class.")
        tiles = [self._rows[key] for key in sorted(self._rows)]
        inputs = np.concatenate([rows.inputs for rows in tiles])
        found = np.concatenate([rows.values for rows in tiles])
        targets = np.searchsorted(np.array(values), found).astype(np.uint8)
        limit = [self._spec.max_pixels] * len(values)
        return PixelTable.gather(inputs.T, targets, len(values), most=limit, seed=self._seed)

    def _inputs_of(self, index: Index, number: int) -> FloatArray:
        """Return the inputs of a tile, (F, *tile), computed unless cached."""
        key = (index, number)
        if key not in self._inputs:
            self._inputs[key] = self._computed(index, self._tiles[number])
            while len(self._inputs) > 1 and self.n_bytes > self._memory:
                self._inputs.popitem(last=False)
        self._inputs.move_to_end(key)
        return self._inputs[key]

    def _computed(self, index: Index, tile: Tile) -> FloatArray:
        image = self._image
        numbers = image.data[image.block_slices(index, "CYX")]
        kept = [axis for axis in image.axes if axis in "CYX"]
        planes = np.moveaxis(numbers, kept.index("C"), 0) if "C" in kept else numbers[None]
        block = self._normalisation.apply(self._grid.cut(planes, tile))
        whole = pixel_inputs(
            block,
            self._spec,
            origin=tile.block_start,
            shape=self._grid.shape,
            network=self._frozen,
        )
        return np.ascontiguousarray(whole[(slice(None), *tile.inside)])


def _meet(region: tuple[slice, ...], box: Box) -> bool:
    return all(
        span.start < wanted.stop and wanted.start < span.stop
        for span, wanted in zip(region, box, strict=True)
    )


__all__ = ["MEMORY", "SIDE", "LivePixels"]
