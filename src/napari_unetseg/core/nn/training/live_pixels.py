"""`LivePixels`: a pixel model that is fitted again at every stroke, in milliseconds.

The inputs of a pixel depend on the image alone. They are computed once for each tile that is
painted on or in view, and cached within the memory allowed; those of labelled pixels are always
kept. So a stroke costs a comparison of labels, a fit, and the evidence of the pixels in view.

The features of the pretrained network, see `PretrainedTiles`, may be computed by another thread:
until they are there, the filter bank answers alone. They are also kept on disk.
"""

import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import IGNORED
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.pixel_table import PixelTable
from napari_unetseg.core.compute.coarse_maps import CoarseMaps, MixedInputs
from napari_unetseg.core.compute.tile_cache import TileCache
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import channels_first, likeliest
from napari_unetseg.core.inference.tiles import Tile, TileGrid
from napari_unetseg.core.model.feature_context import FeatureContext
from napari_unetseg.core.model.pixel_specs import PixelSpec, mixed_inputs
from napari_unetseg.core.model.pretrained_features import PRETRAINED
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.inference.pixel_segmenter import PixelSegmenter
from napari_unetseg.core.nn.restore import feature_source
from napari_unetseg.core.nn.training.fit_pixels import fit_table
from napari_unetseg.core.nn.training.pretrained_tiles import (
    WITHOUT_MAPS,
    PretrainedTiles,
    bytes_of_field,
)
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

DISK = 8 * 2**30
"""Bytes of temporary files for features of the pretrained network; of free space, half at most."""


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
    disk
        Bytes of features of the pretrained network to keep in temporary files; by default `DISK`.
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
        disk: int | None = None,
        seed: int = 0,
    ) -> None:
        if scaling is None:
            scaling = NormalisationSpec() if features_from is None else features_from.normalisation
        n_channels = image.n_channels
        given = None if features_from is None else features_from.features(n_channels, 2)
        self._image, self._kind = image, labels_are
        self._spec = spec.for_fit(given, normalised=scaling.method != "none")
        self._source = feature_source(self._spec, features_from, n_channels, 2, scaling=scaling)
        self._seed = seed
        self._normalisation = fit_normalisation(image, scaling)
        self._both = self._spec.uses_pretrained and self._spec.uses_bank
        self._alone = (
            self._spec.model_copy(update={"features": "bank"}) if self._both else self._spec
        )
        shape = (image.length("Y"), image.length("X"))
        halo, multiple, border = self._sizes_of_tiles()
        self._grid = TileGrid(shape, (SIDE, SIDE), halo=halo, multiple=multiple, border=border)
        self._tiles = list(self._grid)
        if disk is None:
            disk = min(DISK, shutil.disk_usage(tempfile.gettempdir()).free // 2)
        self._largest_field = max(memory, disk) / 2
        self._inputs = TileCache(memory, disk)
        self._pretrained: PretrainedTiles | None = None
        if self._spec.uses_pretrained and self._source is not None:
            self._pretrained = PretrainedTiles(self._source, self._grid, self._block, self._inputs)
        self._lock = threading.RLock()
        self._rows: dict[tuple[Index, int], Rows] = {}
        self._network_rows: dict[tuple[Index, int], FloatArray] = {}
        self._segmenter: PixelSegmenter | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes of cached inputs of tiles in memory, labelled or not."""
        return self._inputs.n_bytes

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

        A field so large that they could not be kept has none to compute: there the filter bank
        answers alone.

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
        pretrained = self._pretrained
        if pretrained is None:
            return
        tiles = self._missing(index, box)
        for where, number in track(tiles, progress, "computing pretrained features"):
            pretrained.of(where, number)
            for key in self._unread():
                if (key[0], pretrained.number_of(self._tiles[key[1]])) == (where, number):
                    self._rows_of_network(pretrained, *key)

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
        return self._fit(not self._both or wait or not self._missing((), None), progress)

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
            if self._pretrained is not None and segmenter.spec.uses_pretrained:
                # The sums are those of the network's whole tile, which is not copied for that.
                whole = self._pretrained.number_of(tile)
                if whole not in sums:
                    sums[whole] = segmenter.sums(self._pretrained.of(index, whole), inputs.at)
                within = self._pretrained.within(sums[whole], tile)
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
        where = self._labelled(labels)
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
        with self._lock:
            self._rows[index, number] = Rows(labels.copy(), rows, values)
            self._network_rows.pop((index, number), None)

    def _labelled(self, labels: NDArray[Any]) -> NDArray[np.bool_]:
        where: NDArray[np.bool_] = labels >= 0 if self._kind != "scribbles" else labels > 0
        return where

    def _table(self, values: Sequence[int], with_network: bool) -> PixelTable:
        """Gather the rows of all tiles, no more of each class than the options allow."""
        if not values:
            raise InputError("Nothing is annotated yet. Paint a stroke of each class.")
        keys = [key for key in sorted(self._rows) if len(self._rows[key].values)]
        inputs = np.concatenate([self._rows[key].inputs for key in keys])
        found = np.concatenate([self._rows[key].values for key in keys])
        targets = np.searchsorted(np.array(values), found).astype(np.uint8)
        limit = [self._spec.max_pixels] * len(values)
        if not with_network or self._pretrained is None:
            return PixelTable.gather(inputs.T, targets, len(values), most=limit, seed=self._seed)
        at = self._dense_of(*keys[0]).at
        coarse = np.concatenate([self._rows_of_network(self._pretrained, *key) for key in keys])
        whole = np.concatenate([inputs[:, :at], coarse, inputs[:, at:]], axis=1)
        table = PixelTable.gather(whole.T, targets, len(values), most=limit, seed=self._seed)
        return replace(table, coarse=(at, at + coarse.shape[1]))

    def _rows_of_network(
        self, pretrained: PretrainedTiles, index: Index, number: int
    ) -> FloatArray:
        """Return the pretrained features of the labelled pixels of a tile: (n, F)."""
        key = (index, number)
        with self._lock:
            known, rows = self._network_rows.get(key), self._rows[key]
        if known is None:
            where = self._labelled(rows.labels)
            known = pretrained.rows(index, self._tiles[number], where)
            with self._lock:
                # Another thread may have read new labels meanwhile.
                if self._rows[key] is rows:
                    self._network_rows[key] = known
        return known

    def _dense_of(self, index: Index, number: int) -> MixedInputs:
        """Return the inputs of a tile without those of the pretrained network."""
        key = ("tile", index, number)
        found = self._inputs.get(key)
        if found is None:
            found = self._inputs.keep(key, self._computed(index, self._tiles[number]))
        return found

    def _unread(self) -> list[tuple[Index, int]]:
        """Return plane and number of labelled tiles whose pretrained features were not read."""
        with self._lock:
            return [
                key
                for key, rows in sorted(self._rows.items(), key=lambda item: item[0])
                if len(rows.values) and key not in self._network_rows
            ]

    def _missing(self, index: Index, box: Box | None) -> list[tuple[Index, int]]:
        """Return the network's tiles to compute, as plane and number, those in view first."""
        pretrained = self._pretrained
        if pretrained is None or (box is not None and self._too_large(box)):
            return []
        seen = [] if box is None else [tile for tile in self._tiles if _meet(tile.region, box)]
        wanted = [(index, tile) for tile in seen]
        wanted += [(where, self._tiles[number]) for where, number in self._unread()]
        return pretrained.missing([(where, pretrained.number_of(tile)) for where, tile in wanted])

    def _too_large(self, box: Box) -> bool:
        """Return whether the pretrained features of a field could not be kept."""
        return bytes_of_field(box) > self._largest_field

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
        whole = mixed_inputs(
            self._block(index, self._grid, tile),
            self._spec,
            origin=tile.block_start,
            shape=self._grid.shape,
            network=WITHOUT_MAPS if self._spec.uses_pretrained else self._source,
        )
        return whole.window(tile.inside).copied()

    def _block(self, index: Index, grid: TileGrid, tile: Tile) -> FloatArray:
        """Return the normalised pixels of a tile with its halo, (C, Y, X)."""
        plane = channels_first(self._image, index, "YX")
        return self._normalisation.apply(grid.cut(plane, tile))


def _meet(region: tuple[slice, ...], box: Box) -> bool:
    return all(
        span.start < wanted.stop and wanted.start < span.stop
        for span, wanted in zip(region, box, strict=True)
    )


__all__ = ["DISK", "MEMORY", "SIDE", "LivePixels"]
