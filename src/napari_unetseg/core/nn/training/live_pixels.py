"""`LivePixels`: a pixel model that is fitted again at every stroke, in milliseconds.

The inputs of a pixel depend on the image alone. They are computed once for each tile that is
painted on or in view, and cached within the memory allowed; those of labelled pixels are always
kept. So a stroke costs a comparison of labels, a fit, and the evidence of the pixels in view.

The features of the pretrained network take a second for a field of a million pixels. They have
larger tiles of their own, which another thread may compute: until they are there, the filter bank
answers alone.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import IGNORED
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.pixel_table import PixelTable
from napari_unetseg.core.compute.coarse_maps import CoarseMaps, MixedInputs
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import channels_first, likeliest
from napari_unetseg.core.inference.tiles import PIXELS_AT_ONCE, Tile, TileGrid
from napari_unetseg.core.model.feature_context import FeatureContext
from napari_unetseg.core.model.pixel_specs import PixelSpec, mixed_inputs
from napari_unetseg.core.model.pretrained_features import OUTPUTS, PRETRAINED
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.inference.pixel_segmenter import PixelSegmenter
from napari_unetseg.core.nn.restore import feature_source
from napari_unetseg.core.nn.training.fit_pixels import fit_table
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.progress import Progress, part, silent, track

FloatArray = NDArray[np.float32]
Index = tuple[int, ...]
Box = tuple[slice, slice]

SIDE = 512
"""Side of a tile, in pixels: small enough that a stroke in a corner costs little."""

MEMORY = 768 * 2**20
"""Bytes of cached inputs: 1024 x 1024 pixels in view take about 100 MB for each channel, and 60 MB
for the pretrained network.
"""

NETWORK_SIDE = 1024
"""Side of a tile of the pretrained network at most, in pixels, where an image is not one tile."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The labelled pixels of one tile.

    Parameters
    ----------
    labels
        The tile's labels when it was read.
    inputs, values
        (n, F) and (n,): inputs and label of each labelled pixel, without those of the pretrained
        network.
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
    Not thread-safe but for `prepare`, which may run beside the rest.
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
        if scaling is None:
            scaling = NormalisationSpec() if features_from is None else features_from.normalisation
        n_channels = image.n_channels
        given = None if features_from is None else features_from.features(n_channels, 2)
        self._image, self._kind = image, labels_are
        self._spec = spec.for_fit(given, normalised=scaling.method != "none")
        self._source = feature_source(self._spec, features_from, n_channels, 2, scaling=scaling)
        self._memory, self._seed = memory, seed
        self._normalisation = fit_normalisation(image, scaling)
        self._both = self._spec.uses_pretrained and self._spec.uses_bank
        self._alone = (
            self._spec.model_copy(update={"features": "bank"}) if self._both else self._spec
        )
        shape = (image.length("Y"), image.length("X"))
        halo, multiple, border = self._sizes_of_tiles()
        self._grid = TileGrid(shape, (SIDE, SIDE), halo=halo, multiple=multiple, border=border)
        self._tiles = list(self._grid)
        self._network_grid = _network_grid(self._grid)
        self._network_tiles = list(self._network_grid)
        self._inputs: OrderedDict[tuple[str, Index, int], MixedInputs] = OrderedDict()
        self._lock = threading.RLock()
        self._rows: dict[tuple[Index, int], Rows] = {}
        self._network_rows: dict[tuple[Index, int], FloatArray] = {}
        self._segmenter: PixelSegmenter | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes of cached inputs of tiles, labelled or not."""
        with self._lock:
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

    def missing(self, index: Index, box: Box) -> bool:
        """Return whether features of the pretrained network are still to be computed.

        A field so large that they would not fit the memory has none to compute: there the filter
        bank answers alone.

        Parameters
        ----------
        index, box
            Plane and field in view. Painted tiles count as well.
        """
        return bool(self._missing(index, box))

    def prepare(self, index: Index, box: Box, *, progress: Progress = silent) -> None:
        """Compute missing features of the pretrained network, those in view first.

        May run in another thread than the other methods. Features of finished tiles are kept when
        it is cancelled.

        Parameters
        ----------
        index, box
            See `missing`.
        """
        tiles = self._missing(index, box)
        for where, number in track(tiles, progress, "computing pretrained features"):
            self._network_of(where, self._network_tiles[number], number)

    def fit(self, *, wait: bool = True, progress: Progress = silent) -> PixelSegmenter:
        """Fit the model to all labelled pixels.

        Parameters
        ----------
        wait
            Whether to compute features of the pretrained network that are missing. If not, the
            filter bank is used alone until they are there.

        Raises
        ------
        InputError
            When nothing or one class alone is labelled, or there are more classes than the rung
            can separate.
        """
        return self._fit(not self._both or wait or not self._unread(), progress)

    def _fit(self, with_network: bool, progress: Progress) -> PixelSegmenter:
        values, spec = self.values, self._spec if with_network else self._alone
        previous = self._segmenter
        same = previous is not None and (previous.values, previous.spec) == (values, spec)
        network = fit_table(
            spec,
            self._table(values, with_network),
            start=previous.network if same and previous is not None else None,
            seed=self._seed,
            progress=progress,
        )
        names = tuple(f"class {value}" if value else "background" for value in values)
        self._segmenter = PixelSegmenter(
            network,
            spec,
            names,
            self._image.n_channels,
            2,
            values,
            (),
            self._source if with_network else None,
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
        sums: dict[int, tuple[CoarseMaps, ...]] = {}
        for number, tile in track(touched, progress, "predicting"):
            inputs = self._dense_of(index, number)
            within: tuple[CoarseMaps, ...] = ()
            if segmenter.spec.uses_pretrained:
                # The sums are those of the network's whole tile, which is not copied for that.
                whole = self._network_tile_of(tile)
                if whole not in sums:
                    outer = self._network_of(index, self._network_tiles[whole], whole)
                    sums[whole] = segmenter.sums(outer.coarse, inputs.at)
                within = self._within(sums[whole], tile)
            proba = segmenter.proba_of(inputs, within)
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
        wait: bool = True,
        progress: Progress = silent,
    ) -> tuple[Box, NDArray[np.uint8]]:
        """Update labels, fit, and predict the view; see `paint`, `fit` and `classes`.

        Parameters
        ----------
        wait
            Whether to compute features of the pretrained network that are missing, of painted
            tiles and of those in view. If not, the filter bank answers alone until `prepare` has
            computed them.
        """
        self.paint(strokes, progress=part(progress, 0, 0.4))
        ready = not self._both or wait
        if not ready and not self._too_large(box):
            ready = not self.missing(index, box)
        self._fit(ready, part(progress, 0.4, 0.6))
        return self.classes(index, box, progress=part(progress, 0.6, 1))

    def _read(self, index: Index, number: int, labels: NDArray[Any]) -> None:
        where = labels >= 0 if self._kind != "scribbles" else labels > 0
        inputs = self._dense_of(index, number)
        values = labels[where].astype(np.int64)
        if self._kind == "objects":
            values = np.minimum(values, 1)
        if len(values) and values.max() >= IGNORED:
            raise InputError(
                f"The labels hold {int(values.max())}, more than {IGNORED - 1} classes: they look "
                "like object ids. Say that the labels are objects."
            )
        rows = inputs.rows(np.flatnonzero(where))
        self._rows[index, number] = Rows(labels.copy(), rows, values)
        self._network_rows.pop((index, number), None)

    def _table(self, values: Sequence[int], with_network: bool) -> PixelTable:
        """Gather the rows of all tiles, no more of each class than the options allow."""
        if not values:
            raise InputError("Nothing is annotated yet. Paint a stroke of each class.")
        keys = [key for key in sorted(self._rows) if len(self._rows[key].values)]
        inputs = np.concatenate([self._rows[key].inputs for key in keys])
        found = np.concatenate([self._rows[key].values for key in keys])
        targets = np.searchsorted(np.array(values), found).astype(np.uint8)
        limit = [self._spec.max_pixels] * len(values)
        if not (with_network and self._spec.uses_pretrained):
            return PixelTable.gather(inputs.T, targets, len(values), most=limit, seed=self._seed)
        at = self._dense_of(*keys[0]).at
        coarse = np.concatenate([self._rows_of_network(*key) for key in keys])
        whole = np.concatenate([inputs[:, :at], coarse, inputs[:, at:]], axis=1)
        table = PixelTable.gather(whole.T, targets, len(values), most=limit, seed=self._seed)
        return replace(table, coarse=(at, at + coarse.shape[1]))

    def _rows_of_network(self, index: Index, number: int) -> FloatArray:
        """Return the pretrained features of the labelled pixels of a tile: (n, F)."""
        key = (index, number)
        if key not in self._network_rows:
            labels, tile = self._rows[key].labels, self._tiles[number]
            where = labels >= 0 if self._kind != "scribbles" else labels > 0
            sides = tuple(span.stop - span.start for span in tile.region)
            bare = MixedInputs(np.zeros((0, *sides), np.float32), self._coarse_of(index, tile))
            self._network_rows[key] = bare.rows(np.flatnonzero(where))
        return self._network_rows[key]

    def _dense_of(self, index: Index, number: int) -> MixedInputs:
        """Return the inputs of a tile without those of the pretrained network."""
        key = ("tile", index, number)
        return self._cached(key) or self._kept(key, self._computed(index, self._tiles[number]))

    def _coarse_of(self, index: Index, tile: Tile) -> tuple[CoarseMaps, ...]:
        """Return the pretrained features of a tile, computed unless cached."""
        number = self._network_tile_of(tile)
        inputs = self._network_of(index, self._network_tiles[number], number)
        return self._within(inputs.coarse, tile)

    def _within(self, maps: Sequence[CoarseMaps], tile: Tile) -> tuple[CoarseMaps, ...]:
        """Return the part of maps of a network's tile that belongs to a tile in it."""
        outer = self._network_tiles[self._network_tile_of(tile)]
        region = [
            slice(span.start - first.start, span.stop - first.start)
            for span, first in zip(tile.region, outer.region, strict=True)
        ]
        return tuple(one.window(region) for one in maps)

    def _network_of(self, index: Index, tile: Tile, number: int) -> MixedInputs:
        """Return the pretrained features of a tile of the network's grid."""
        key = ("network", index, number)
        found = self._cached(key)
        if found is not None:
            return found
        source: Any = self._source
        block = self._normalisation.apply(self._network_grid.cut(self._plane(index), tile))
        maps = source.maps(block, origin=tile.block_start, shape=self._grid.shape)
        coarse = tuple(one.window(tile.inside) for one in maps)
        return self._kept(key, MixedInputs(np.zeros((0, 0, 0), np.float32), coarse).copied())

    def _cached(self, key: tuple[str, Index, int]) -> MixedInputs | None:
        with self._lock:
            if key in self._inputs:
                self._inputs.move_to_end(key)
            return self._inputs.get(key)

    def _kept(self, key: tuple[str, Index, int], inputs: MixedInputs) -> MixedInputs:
        """Cache inputs, and drop what was not used for longest."""
        with self._lock:
            self._inputs[key] = inputs
            self._inputs.move_to_end(key)
            while len(self._inputs) > 1 and self.n_bytes > self._memory:
                self._inputs.popitem(last=False)
        return inputs

    def _unread(self) -> list[tuple[Index, int]]:
        """Return painted tiles whose pretrained features are missing, as plane and network tile."""
        found = []
        for index, number in sorted(self._rows):
            there = (index, number) in self._network_rows
            if len(self._rows[index, number].values) and not there:
                found.append((index, self._network_tile_of(self._tiles[number])))
        return self._not_cached(found)

    def _missing(self, index: Index, box: Box) -> list[tuple[Index, int]]:
        """Return the network's tiles to compute, as plane and number, those in view first."""
        if not self._spec.uses_pretrained or self._too_large(box):
            return []
        seen = [tile for tile in self._tiles if _meet(tile.region, box)]
        in_view = self._not_cached([(index, self._network_tile_of(tile)) for tile in seen])
        return list(dict.fromkeys([*in_view, *self._unread()]))

    def _too_large(self, box: Box) -> bool:
        """Return whether the pretrained features of a field take more than half the memory."""
        numbers = sum(tap.channels / tap.step**2 for tap in OUTPUTS)
        pixels = math.prod(span.stop - span.start for span in box)
        return 4 * numbers * pixels > self._memory / 2

    def _not_cached(self, tiles: list[tuple[Index, int]]) -> list[tuple[Index, int]]:
        with self._lock:
            return [one for one in dict.fromkeys(tiles) if ("network", *one) not in self._inputs]

    def _network_tile_of(self, tile: Tile) -> int:
        """Return the number of the network's tile that a tile lies in."""
        down, aside = (
            start // side for start, side in zip(tile.start, self._network_grid.side, strict=True)
        )
        return down * self._network_grid.counts[1] + aside

    def _sizes_of_tiles(self) -> tuple[tuple[int, ...], ...]:
        """Return the halo, multiple and border of tiles, without those of the network's grid."""
        if not self._spec.uses_pretrained:
            context = FeatureContext(
                network=None if self._source is None else self._source.features
            )
            spec = self._spec
            return spec.halo(2, context), spec.multiple(2, context), spec.border(2, context)
        halo = self._alone.halo(2) if self._both else (0, 0)
        return halo, PRETRAINED.multiple(2), PRETRAINED.border(2)

    def _computed(self, index: Index, tile: Tile) -> MixedInputs:
        block = self._normalisation.apply(self._grid.cut(self._plane(index), tile))
        whole = mixed_inputs(
            block,
            self._spec,
            origin=tile.block_start,
            shape=self._grid.shape,
            network=_WITHOUT_MAPS if self._spec.uses_pretrained else self._source,
        )
        return whole.window(tile.inside).copied()

    def _plane(self, index: Index) -> Any:
        """Return a plane, (C, Y, X), unread when lazy."""
        return channels_first(self._image, index, "YX")


class _WithoutMaps:
    """The pretrained network as a source of features that are computed elsewhere."""

    features, model = PRETRAINED, None

    def maps(
        self, block: NDArray[Any], *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> tuple[CoarseMaps, ...]:
        """Return nothing."""
        return ()


_WITHOUT_MAPS = _WithoutMaps()


def _network_grid(grid: TileGrid) -> TileGrid:
    """Return the tiles of the pretrained network: each made up of whole tiles of `grid`."""
    if math.prod(grid.shape) <= PIXELS_AT_ONCE[2]:
        side = grid.shape
    else:
        side = tuple(side * max(NETWORK_SIDE // side, 1) for side in grid.side)
    return TileGrid(
        grid.shape,
        side,
        halo=PRETRAINED.halo(2),
        multiple=PRETRAINED.multiple(2),
        border=PRETRAINED.border(2),
        even=False,
    )


def _meet(region: tuple[slice, ...], box: Box) -> bool:
    return all(
        span.start < wanted.stop and wanted.start < span.stop
        for span, wanted in zip(region, box, strict=True)
    )


__all__ = ["MEMORY", "SIDE", "LivePixels"]
