"""Fit the pixel rungs: in milliseconds from a few strokes, in seconds from many masks.

Only labelled pixels are used. Their inputs are standardised to mean 0 and standard deviation 1, so
that one penalty on large weights suits all; afterwards mean and deviation are folded into the
weights of the first layer, and the network takes raw inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unetseg.core.annotation.annotation import AnnotatedImage, Annotation, check_trainable
from napari_unetseg.core.annotation.pixel_table import PixelTable
from napari_unetseg.core.compute.coarse_maps import MixedInputs
from napari_unetseg.core.compute.newton import Problem, mean_cross_entropy, minimise
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.tiles import TileGrid
from napari_unetseg.core.model.feature_context import FeatureContext
from napari_unetseg.core.model.network_features import FeatureSource
from napari_unetseg.core.model.pixel_specs import PixelSpec, mixed_inputs
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.inference.pixel_segmenter import (
    PixelNetwork,
    PixelSegmenter,
)
from napari_unetseg.core.nn.restore import feature_source
from napari_unetseg.core.normalisation import Normalisation, NormalisationSpec
from napari_unetseg.core.progress import Progress, StopEarly, part, silent, track

Doubles = NDArray[np.float64]

_FEATURES_SHARE = 0.8
_MEMORY = 20
_ENOUGH = 1e-4
_ROWS_TO_JUDGE = 4000
_LEAST_LEFT = 1e-3


def fit_pixels(
    spec: PixelSpec,
    data: Sequence[AnnotatedImage],
    *,
    start: PixelSegmenter | None = None,
    scaling: NormalisationSpec | None = None,
    spacing: Sequence[float] = (),
    features_from: TrainedModel | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> PixelSegmenter:
    """Fit a pixel rung to annotated images.

    Parameters
    ----------
    spec
        Rung and inputs.
    data
        Images (C, *spatial) of one number of channels and axes, with their annotations.
    start
        A fit of the same options to start from; not changed. The linear rungs reach the same
        result from any start, only faster.
    scaling
        Normalisation of examples without their own. By default as for the network of
        `features_from`, or by percentiles.
    spacing
        Physical pixel size along each spatial axis; isotropic when not given.
    features_from
        A trained UNet, whose features are inputs as the options ask. It is not changed. Without it
        they may be those of the pretrained network.
    seed
        Of the sample of pixels where there are too many, and of a perceptron's first weights.
    progress
        Called after each image and before each step. It may raise `Cancelled`; `StopEarly` while
        fitting keeps the best so far.

    Returns
    -------
    PixelSegmenter

    Raises
    ------
    InputError
        When nothing or one class alone is annotated, the images differ in channels or axes,
        `start` has other inputs, or `features_from` is no UNet for such images or does not match
        the options.
    """
    check_trainable([example.annotation for example in data])
    first = data[0]
    n_channels, ndim = len(first.image), first.image.ndim - 1
    for example in data:
        if example.image.ndim != ndim + 1 or len(example.image) != n_channels:
            raise InputError(
                f"Images of shape {first.image.shape} and {example.image.shape} (channels first) "
                "cannot train one model. Choose images of the same channels and axes."
            )
    spec.count_outputs(first.annotation.n_classes)
    if scaling is None:
        scaling = NormalisationSpec() if features_from is None else features_from.normalisation
    given = None if features_from is None else features_from.features(n_channels, ndim)
    spec = spec.for_fit(given, normalised=scaling.method != "none")
    frozen = feature_source(spec, features_from, n_channels, ndim, scaling=scaling)
    first_part = part(progress, 0, _FEATURES_SHARE)
    table = _table(spec, data, scaling, tuple(spacing), frozen, seed, first_part)
    network = fit_table(
        spec,
        table,
        start=None if start is None else start.network,
        seed=seed,
        progress=part(progress, _FEATURES_SHARE, 1),
    )
    names, values = first.annotation.names, first.annotation.values
    return PixelSegmenter(network, spec, names, n_channels, ndim, values, tuple(spacing), frozen)


def fit_table(
    spec: PixelSpec,
    table: PixelTable,
    *,
    start: PixelNetwork | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> PixelNetwork:
    """Fit a pixel rung to a table of labelled pixels.

    Parameters
    ----------
    spec
        The rung.
    table
        Labelled pixels; their order does not matter.
    start, seed, progress
        See `fit_pixels`.

    Returns
    -------
    PixelNetwork
        A new network, in evaluation mode, for raw inputs as in the table.

    Raises
    ------
    InputError
        When nothing or one class alone is labelled, or `start` has other inputs or outputs.

    Notes
    -----
    The linear rungs minimise a convex loss by Newton's method and have one minimum. The perceptron
    of several layers is fitted by L-BFGS on all pixels at once (Nocedal and Wright: Numerical
    Optimization, chapter 7), from weights drawn as He et al. (ICCV 2015) do.
    """
    table.check()
    rows = table.ordered()
    sizes = (table.inputs.shape[1], *spec.hidden, spec.count_outputs(table.n_classes))
    if start is not None and start.sizes != sizes:
        raise InputError(
            f"The model to start from has layers of {start.sizes}, but {sizes} are needed. Use its "
            "own options, or start from nothing."
        )
    weights = rows.weights(spec.balance)
    standard = Standard.of(rows.inputs, weights)
    network = PixelNetwork(sizes[0], sizes[-1], sizes[1:-1])
    if start is not None:
        network.load_state_dict(start.state_dict())
        standard.unfold(network)
    inputs = standard.apply(rows.inputs)
    penalty = _penalty(spec, rows, inputs, weights)
    if spec.hidden:
        if start is None:
            _draw_weights(network, seed)
        _fit_layers(network, rows.targets, inputs, weights, penalty, spec.most_steps, progress)
    else:
        _fit_linear(network, rows.targets, inputs, weights, penalty, progress)
    standard.fold(network)
    return network.eval().requires_grad_(False)


@dataclass(frozen=True, eq=False)
class Standard:
    """Mean and standard deviation of each input.

    Parameters
    ----------
    mean, spread
        (F,); the spread of a constant input is 1.
    """

    mean: Doubles
    spread: Doubles

    @classmethod
    def of(cls, inputs: NDArray[np.float32], weights: Doubles) -> "Standard":
        """Measure (n, F) inputs, each row with its weight."""
        mean: Doubles = np.average(inputs.astype(np.float64), axis=0, weights=weights)
        spread: Doubles = np.sqrt(np.average((inputs - mean) ** 2, axis=0, weights=weights))
        # An input that differs by rounding alone is constant.
        return cls(mean, np.where(spread > 1e-6 * np.abs(mean) + 1e-12, spread, 1.0))

    def apply(self, inputs: NDArray[np.float32]) -> Doubles:
        """Standardise inputs to mean 0 and standard deviation 1, (n, F)."""
        scaled: Doubles = (inputs - self.mean) / self.spread
        return scaled

    def fold(self, network: PixelNetwork) -> None:
        """Convert a network for standardised inputs to one for raw inputs."""
        weight, bias = _first_layer(network)
        _set_first_layer(network, weight / self.spread, bias - (weight / self.spread) @ self.mean)

    def unfold(self, network: PixelNetwork) -> None:
        """Undo `fold`."""
        weight, bias = _first_layer(network)
        _set_first_layer(network, weight * self.spread, bias + weight @ self.mean)


def _table(
    spec: PixelSpec,
    data: Sequence[AnnotatedImage],
    scaling: NormalisationSpec,
    spacing: tuple[float, ...],
    frozen: FeatureSource | None,
    seed: int,
    progress: Progress,
) -> PixelTable:
    """Gather labelled pixels of all images, each class from each image by its share.

    Certain and uncertain pixels have a quota each, so that a few strokes are not outnumbered by
    the predicted pixels around them.
    """
    layers = [_layers(example.annotation) for example in data]
    quotas = [_quotas([pair[k] for pair in layers], spec.max_pixels) for k in (0, 1)]
    tables = []
    for number, example in enumerate(track(data, progress, "computing features")):
        annotation = example.annotation
        if not annotation.counted.any():
            continue
        normalisation = example.scale(scaling)
        if frozen is None:
            scaled = normalisation.apply(example.image)
            inputs = mixed_inputs(scaled, spec, spacing=spacing)
        else:
            inputs = _tiled_inputs(spec, example, normalisation, spacing, frozen)
        for layer, quota in zip(layers[number], quotas, strict=True):
            if not layer.counted.any():
                continue
            weights = None if layer.weights is None else layer.weights * example.times
            if layer.weights is None and example.times != 1:
                weights = np.full(layer.shape, example.times)
            tables.append(
                PixelTable.gather(
                    inputs,
                    layer.targets,
                    layer.n_classes,
                    most=quota[number].tolist(),
                    weights=weights,
                    seed=seed + number,
                )
            )
    return PixelTable.joined(tables)


def _layers(annotation: Annotation) -> tuple[Annotation, Annotation]:
    """Split an annotation into its certain and its uncertain pixels."""
    if annotation.weights is None:
        return annotation, annotation.only(np.zeros(annotation.shape, np.bool_))
    return annotation.certain(), annotation.only(annotation.weights < 1)


def _quotas(annotations: Sequence[Annotation], most: int) -> NDArray[np.int64]:
    """Return the number of pixels to take per annotation and class: (annotations, classes)."""
    counts = np.array([annotation.counts() for annotation in annotations])
    share = np.minimum(most / np.maximum(counts.sum(0), 1), 1)
    return np.ceil(counts * share).astype(np.int64)


def _tiled_inputs(
    spec: PixelSpec,
    example: AnnotatedImage,
    normalisation: Normalisation,
    spacing: tuple[float, ...],
    frozen: FeatureSource,
) -> MixedInputs:
    """Compute the inputs tile by tile as in prediction, in annotated tiles only.

    A network applied to a large image at once would need gigabytes.
    """
    image, context = example.image, FeatureContext(spacing, frozen.features)
    sides, ndim = image.shape[1:], image.ndim - 1
    grid = TileGrid.planned(
        sides,
        halo=spec.halo(ndim, context),
        multiple=spec.multiple(ndim, context),
        border=spec.border(ndim, context),
    )
    whole: MixedInputs | None = None
    for tile in grid:
        if example.annotation.counted[tile.region].any():
            block = normalisation.apply(grid.cut(image, tile))
            found = mixed_inputs(
                block,
                spec,
                spacing=spacing,
                origin=tile.block_start,
                shape=sides,
                network=frozen,
            )
            whole = found.empty(sides) if whole is None else whole
            whole.paste(found, tile.region, tile.inside)
    return MixedInputs(np.zeros((0, *sides), np.float32)) if whole is None else whole


def _penalty(spec: PixelSpec, table: PixelTable, inputs: Doubles, weights: Doubles) -> Doubles:
    """Return the L2 penalty of each input, (F,): the factor of half its squared weights.

    As in ridge regression it falls with the number of pixels. Filters alone have one that grows
    with the unexplained part, here the cross-entropy of a linear fit relative to that of a uniform
    guess. So separable classes get sharp borders, and overlapping ones a fit that does not follow
    each pixel.

    With the features of the pretrained network a few strokes are always separable, which says
    nothing about the rest of the image: filters and network then have a penalty of their own each.
    """
    if table.coarse[1] > table.coarse[0]:
        penalty = np.full(inputs.shape[1], spec.caution_with_network)
        penalty[slice(*table.coarse)] = spec.caution_of_network
    else:
        some = slice(None, None, -(-len(table) // _ROWS_TO_JUDGE))
        classes = np.arange(table.n_classes)
        targets = (table.targets[some, None] == classes).astype(np.float64)
        shares = weights[some] / weights[some].sum()
        problem = Problem(inputs[some], targets, shares, 1 / len(targets))
        theta = minimise(problem, np.zeros((len(classes), inputs.shape[1] + 1)))
        left = mean_cross_entropy(problem, theta) / np.log(len(classes))
        penalty = np.full(inputs.shape[1], spec.caution * max(left, _LEAST_LEFT))
    scaled: Doubles = penalty * spec.regularisation / len(table)
    return scaled


def _fit_linear(
    network: PixelNetwork,
    targets: NDArray[np.uint8],
    inputs: Doubles,
    weights: Doubles,
    penalty: Doubles,
    progress: Progress,
) -> None:
    """Set the one layer of `network` to the minimum of the loss."""
    n_units = network.sizes[-1]
    classes = np.arange(n_units) if n_units > 1 else np.array([1])
    units = (targets[:, None] == classes).astype(np.float64)
    weight, bias = _first_layer(network)
    start = np.column_stack([weight, bias])
    theta = minimise(Problem(inputs, units, weights, penalty), start, progress=progress)
    _set_first_layer(network, theta[:, :-1], theta[:, -1])


def _fit_layers(
    network: PixelNetwork,
    targets: NDArray[np.uint8],
    inputs: Doubles,
    weights: Doubles,
    penalty: Doubles,
    iterations: int,
    progress: Progress,
) -> None:
    """Fit the layers of `network` by L-BFGS."""
    x = torch.from_numpy(inputs.T.astype(np.float32))[None]
    classes = torch.from_numpy(targets.astype(np.int64))
    shares = torch.from_numpy(weights.astype(np.float32))
    # The penalty of later layers is that of the filters, which is the smallest.
    later = float(penalty.min())
    first = torch.from_numpy((penalty - later).astype(np.float32))
    optimiser = torch.optim.LBFGS(
        network.parameters(),
        max_iter=1,
        max_eval=25,
        history_size=_MEMORY,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        each = nn.functional.cross_entropy(network(x)[0].T, classes, reduction="none")
        squares = sum(layer.weight.square().sum() for layer in network.dense)
        more = (network.dense[0].weight.square() * first).sum()
        return each @ shares + later / 2 * squares + more / 2

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    before = float("inf")
    try:
        for step in range(iterations):
            progress(step / iterations, "fitting")
            value = float(optimiser.step(closure).detach())  # type: ignore[no-untyped-call]
            if before - value <= _ENOUGH * value:
                break
            before = value
    except StopEarly:
        pass
    progress(1.0, "fitting")


def _draw_weights(network: PixelNetwork, seed: int) -> None:
    """Draw random weights; biases stay 0."""
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for layer in network.dense:
            spread = (2 / layer.weight.shape[1]) ** 0.5
            drawn = rng.normal(0, spread, tuple(layer.weight.shape)).astype(np.float32)
            layer.weight.copy_(torch.from_numpy(drawn))


def _first_layer(network: PixelNetwork) -> tuple[Doubles, Doubles]:
    layer = network.dense[0]
    weight: Doubles = layer.weight.detach().double().numpy()
    bias: Doubles = layer.bias.detach().double().numpy()
    return weight, bias


def _set_first_layer(network: PixelNetwork, weight: Doubles, bias: Doubles) -> None:
    layer = network.dense[0]
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))


__all__ = ["Standard", "fit_pixels", "fit_table"]
