"""The networks of the pixel rungs, and the segmenter they make."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unetseg.core.background.linear_unit import LinearUnit
from napari_unetseg.core.compute.coarse_maps import CoarseMaps, MixedInputs
from napari_unetseg.core.compute.parallel_rows import map_strips
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.feature_context import FeatureContext
from napari_unetseg.core.model.network_features import FeatureSource
from napari_unetseg.core.model.pixel_specs import LogisticSpec, PixelSpec, mixed_inputs
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.networks.perceptron import Dense, PixelNetwork
from napari_unetseg.core.normalisation import Normalisation

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PixelSegmenter:
    """A fitted pixel rung as a `Segmenter`.

    Parameters
    ----------
    network
        From inputs to evidence; not to be changed any more.
    spec
        Which inputs.
    classes
        Names of the classes.
    n_channels
        Channels of the image.
    ndim
        2 or 3.
    values
        Value in a label layer of each class; counted from 1 when not given.
    spacing
        Physical pixel size along each spatial axis, for scales in 3D; all the same when not given.
    frozen
        The network whose features are among the inputs, where the options say so.
    """

    network: PixelNetwork
    spec: PixelSpec
    classes: tuple[str, ...]
    n_channels: int
    ndim: int
    values: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    frozen: FeatureSource | None = None

    @property
    def halo(self) -> tuple[int, ...]:
        """How many pixels beyond a tile may change the result in it, per axis."""
        return self.spec.halo(self.ndim, self._context)

    @property
    def multiple(self) -> tuple[int, ...]:
        """What the place and the sides of a block must divide by, per axis."""
        return self.spec.multiple(self.ndim, self._context)

    @property
    def border(self) -> tuple[int, ...]:
        """How far the image is to be mirrored beyond its edges, per axis."""
        return self.spec.border(self.ndim, self._context)

    @property
    def features_from(self) -> TrainedModel | None:
        """The model whose features are among the inputs, if any."""
        return None if self.frozen is None else self.frozen.model

    @property
    def _context(self) -> FeatureContext:
        network = None if self.frozen is None else self.frozen.features
        return FeatureContext(self.spacing, network)

    def inputs(
        self, block: FloatArray, *, origin: Sequence[int] = (), shape: Sequence[int] = ()
    ) -> MixedInputs:
        """Return what the network is shown of each pixel, see `mixed_inputs`.

        They do not depend on the weights: whoever refits at every stroke keeps them.
        """
        return mixed_inputs(
            block,
            self.spec,
            spacing=self.spacing,
            origin=origin,
            shape=shape,
            network=self.frozen,
        )

    def evidence(
        self, inputs: FloatArray | MixedInputs, sums: Sequence[CoarseMaps] | None = None
    ) -> FloatArray:
        """Return the evidence of each class: (outputs, *spatial).

        Parameters
        ----------
        inputs
            (F, *spatial), or from `inputs`, of this or any segmenter with the same options.
        sums
            The `sums` of its coarse inputs, if they are known; then it needs none.

        Notes
        -----
        Compiled here rather than run by torch: as fast on a quiet machine, and with no threads
        that spin and starve the window on a busy one.
        """
        mixed = MixedInputs.of(inputs)
        if sums is None:
            sums = self.sums(mixed.coarse, mixed.at)
        _, sizes, packed = self._split(mixed.at, self.network.sizes[0] - len(mixed.dense))
        flat = np.ascontiguousarray(mixed.dense, np.float32)
        flat = flat.reshape(len(flat), math.prod(mixed.sides))
        maps = _packed(sums, mixed.sides) if sums else None
        return _run(flat, sizes, packed, maps).reshape(-1, *mixed.sides)

    def sums(self, coarse: Sequence[CoarseMaps], at: int) -> tuple[CoarseMaps, ...]:
        """Return the weighted sums of the first layer over coarse inputs, on their grids.

        Parameters
        ----------
        coarse, at
            See `MixedInputs`.
        """
        weights = self._split(at, sum(len(maps.values) for maps in coarse))[0]
        found, first, units = [], 0, len(weights)
        for maps in coarse:
            n = len(maps.values)
            part = weights[:, first : first + n].ravel()
            first += n
            flat = np.ascontiguousarray(maps.values).reshape(n, -1)
            packed = np.concatenate([part, np.zeros(units, np.float32)])
            total = _run(flat, np.array([n, units], np.int64), packed)
            found.append(replace(maps, values=total.reshape(units, *maps.values.shape[1:])))
        return tuple(found)

    def proba_of(
        self, inputs: FloatArray | MixedInputs, sums: Sequence[CoarseMaps] | None = None
    ) -> FloatArray:
        """Return the probability of each class: (K, *spatial), see `evidence`."""
        evidence = self.evidence(inputs, sums)
        return _sigmoid(evidence) if len(evidence) == 1 else _softmax(evidence)

    def predict_proba(
        self, block: FloatArray, *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> FloatArray:
        """Return the probability of each class in each pixel; see `Segmenter`."""
        return self.proba_of(self.inputs(block, origin=origin, shape=shape))

    def _split(self, at: int, n_coarse: int) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
        """Split off the weights of coarse inputs.

        Returns
        -------
        weights
            (units, n_coarse): of the first layer, from column `at` on.
        sizes, packed
            Sizes of the layers without them, and all their weights and biases in one array.
        """
        key = at, n_coarse
        if key not in self._splits:
            arrays = [
                part.detach().cpu().float().numpy()
                for layer in self.network.dense
                for part in (layer.weight, layer.bias)
            ]
            coarse = np.ascontiguousarray(arrays[0][:, at : at + n_coarse])
            arrays[0] = np.delete(arrays[0], np.s_[at : at + n_coarse], axis=1)
            sizes = np.array(self.network.sizes, np.int64)
            sizes[0] -= n_coarse
            self._splits[key] = coarse, sizes, np.concatenate([array.ravel() for array in arrays])
        return self._splits[key]

    @functools.cached_property
    def _splits(self) -> dict[tuple[int, int], tuple[FloatArray, NDArray[np.int64], FloatArray]]:
        return {}


def _run(
    flat: FloatArray, sizes: NDArray[np.int64], packed: FloatArray, maps: Any = None
) -> FloatArray:
    """Evaluate dense layers, (outputs, N) from (F, N), on all cores."""
    from napari_unetseg.core.compute.dense_layers import NO_MAPS, dense, n_chunks

    out = np.empty((int(sizes[-1]), flat.shape[1]), np.float32)
    more = NO_MAPS if maps is None else maps
    map_strips(
        lambda start, stop: dense(flat, packed, sizes, *more, out, start, stop),
        n_chunks(flat.shape[1]),
    )
    return out


def _packed(sums: Sequence[CoarseMaps], sides: tuple[int, ...]) -> tuple[NDArray[Any], ...]:
    """Return weighted sums on coarser grids and their places in a block, see `dense`."""
    height, width = sides[-2:]
    places = np.zeros((1 + len(sums), 4, max(height, width)), np.int64)
    shares = np.zeros((1 + len(sums), 2, max(height, width)), np.float32)
    grids, start = [(math.prod(sides[:-2]), height, width, 0)], 0
    for number, maps in enumerate(sums, start=1):
        rows, columns = maps.values.shape[-2:]
        grids.append((start, rows, columns, len(maps.values)))
        start += maps.values.size
        for k, side in enumerate((height, width)):
            low, high, share = maps.along(len(sides) - 2 + k, np.arange(side))
            places[number, 2 * k, :side], places[number, 2 * k + 1, :side] = low, high
            shares[number, k, :side] = share
    joined = np.concatenate([maps.values.ravel() for maps in sums])
    return joined, np.array(grids, np.int64), places, shares


def from_linear_unit(
    unit: LinearUnit,
    normalisation: Normalisation,
    *,
    spec: LogisticSpec = LogisticSpec(),  # noqa: B008 - frozen
    classes: tuple[str, str] = ("background", "object"),
    values: tuple[int, ...] = (0, 1),
    ndim: int = 2,
    spacing: tuple[float, ...] = (),
) -> PixelSegmenter:
    """Return the logistic rung that does exactly what a fitted background and a threshold do.

    All features but the intensity and the position terms have weight 0; a fit that starts from
    here may use them.

    Parameters
    ----------
    unit
        The background and the threshold as one sigmoid unit, for one image.
    normalisation
        Scaling of that image, of one channel.
    spec
        Which features. The intensity and polynomial position terms are added where missing.
    classes, values, ndim, spacing
        See `PixelSegmenter`.

    Raises
    ------
    InputError
        When the surface has powers that the position terms do not reach, or that need a stack, or
        the options ask for the features of a network.
    """
    weights = unit.scaled_weights()
    order = max(sum(powers) for powers in weights)
    if ndim == 2 and any(z for _, _, z in weights):
        raise InputError(
            "The background changes from plane to plane, but the model sees planes one by one. "
            "Use a model of stacks, or fit a background for each plane."
        )
    own = {"intensity": True, "features": "bank"}
    spec = spec.seeing(None).with_position_order(order).model_copy(update=own)
    network = PixelNetwork(**spec.network_options(spec.n_inputs(1, ndim), 2, ndim))
    n_features = spec.n_features(ndim)
    theta = np.zeros(network.sizes[0])
    theta[0] = unit.intensity * (unit.gain if unit.bright else -unit.gain)
    bias = weights.pop((0, 0, 0)) + theta[0] * normalisation.offset[0]
    theta[0] /= normalisation.scale[0]
    places = {powers: n_features + k for k, powers in enumerate(spec.position_powers(ndim))}
    for powers, weight in weights.items():
        theta[places[powers]] = weight
    (layer,) = network.dense
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(theta)[None])
        layer.bias.fill_(bias)
    network.eval().requires_grad_(False)
    return PixelSegmenter(network, spec, classes, 1, ndim, values, spacing)


def _sigmoid(evidence: FloatArray) -> FloatArray:
    """Return the probabilities of two classes from the evidence (1, ...) of the second."""
    proba = np.empty((2, *evidence.shape[1:]), np.float32)
    # One half of tanh: no overflow anywhere, and both probabilities add to 1.
    np.multiply(evidence[0], np.float32(0.5), out=proba[1])
    np.tanh(proba[1], out=proba[1])
    proba[1] *= np.float32(0.5)
    proba[1] += np.float32(0.5)
    np.subtract(np.float32(1), proba[1], out=proba[0])
    return proba


def _softmax(evidence: FloatArray) -> FloatArray:
    """Return the probabilities from the evidence (K, ...), in its place."""
    evidence -= evidence.max(axis=0)
    np.exp(evidence, out=evidence)
    evidence /= evidence.sum(axis=0)
    return evidence


__all__ = [
    "Dense",
    "PixelNetwork",
    "PixelSegmenter",
    "from_linear_unit",
]
