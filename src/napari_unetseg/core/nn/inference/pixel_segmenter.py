"""The networks of the pixel rungs, and the segmenter they make."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_unetseg.core.background.linear_unit import LinearUnit
from napari_unetseg.core.compute.parallel_rows import map_strips
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.feature_context import FeatureContext
from napari_unetseg.core.model.pixel_specs import LogisticSpec, PixelSpec, pixel_inputs
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.inference.frozen_network import FrozenNetwork
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
        The UNet whose features are among the inputs, where the options say so.
    """

    network: PixelNetwork
    spec: PixelSpec
    classes: tuple[str, ...]
    n_channels: int
    ndim: int
    values: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    frozen: FrozenNetwork | None = None

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
        self,
        block: FloatArray,
        *,
        origin: Sequence[int] = (),
        shape: Sequence[int] = (),
        out: FloatArray | None = None,
    ) -> FloatArray:
        """Return what the network is shown of each pixel: (F, *spatial), see `pixel_inputs`.

        They do not depend on the weights: whoever refits at every stroke keeps them.
        """
        return pixel_inputs(
            block,
            self.spec,
            spacing=self.spacing,
            origin=origin,
            shape=shape,
            network=self.frozen,
            out=out,
        )

    def evidence(self, inputs: FloatArray) -> FloatArray:
        """Return the evidence of each class: (outputs, *spatial) from (F, *spatial).

        Parameters
        ----------
        inputs
            From `inputs`, of this or any segmenter with the same options.

        Notes
        -----
        Compiled here rather than run by torch: as fast on a quiet machine, and with no threads
        that spin and starve the window on a busy one.
        """
        from napari_unetseg.core.compute.dense_layers import dense, n_chunks

        sizes, packed = self._packed
        flat = np.ascontiguousarray(inputs, np.float32).reshape(len(inputs), -1)
        out = np.empty((int(sizes[-1]), flat.shape[1]), np.float32)
        map_strips(
            lambda start, stop: dense(flat, packed, sizes, out, start, stop),
            n_chunks(flat.shape[1]),
        )
        return out.reshape(-1, *inputs.shape[1:])

    def proba_of(self, inputs: FloatArray) -> FloatArray:
        """Return the probability of each class: (K, *spatial) from (F, *spatial)."""
        evidence = self.evidence(inputs)
        return _sigmoid(evidence) if len(evidence) == 1 else _softmax(evidence)

    def predict_proba(
        self, block: FloatArray, *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> FloatArray:
        """Return the probability of each class in each pixel; see `Segmenter`."""
        return self.proba_of(self.inputs(block, origin=origin, shape=shape))

    @functools.cached_property
    def _packed(self) -> tuple[NDArray[np.int64], FloatArray]:
        """The sizes of the layers, and all weights and biases in one array."""
        parts = [p for layer in self.network.dense for p in (layer.weight, layer.bias)]
        flat = [part.detach().cpu().float().numpy().ravel() for part in parts]
        return np.array(self.network.sizes, np.int64), np.concatenate(flat)


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
    spec = spec.seeing(None).with_position_order(order).model_copy(update={"intensity": True})
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
