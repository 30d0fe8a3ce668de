"""From a model's plain data back to a network, checked weight by weight."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.features.position import position_terms
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.model.feature_context import FeatureContext
from napari_unetseg.core.model.network_features import (
    FeatureSource,
    NetworkFeatures,
    PixelFeatures,
)
from napari_unetseg.core.model.network_specs import ModelSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import mixed_inputs, sees_features
from napari_unetseg.core.model.registry import saved_spec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.inference.familiarity import familiarity
from napari_unetseg.core.nn.inference.frozen_network import FrozenNetwork
from napari_unetseg.core.nn.inference.network_segmenter import NetworkSegmenter
from napari_unetseg.core.nn.inference.pixel_segmenter import (
    PixelNetwork,
    PixelSegmenter,
)
from napari_unetseg.core.nn.inference.pretrained_source import PretrainedSource
from napari_unetseg.core.nn.inference.runtime import choose_device
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.options import Device

_KEPT: WeakKeyDictionary[TrainedModel, dict[tuple[str, bool], NetworkSegmenter]] = (
    WeakKeyDictionary()
)


def segmenter_of(model: TrainedModel, *, device: Device = "cpu", flips: bool = False) -> Segmenter:
    """Return what predicts; without the model's zoom.

    That of a network is kept while its model is: building and folding one takes as long as half a
    megapixel, and a look at the plane on screen is often no larger.
    """
    where = str(choose_device(device).device)
    kept = _KEPT.setdefault(model, {})
    if (where, flips) in kept:
        return kept[where, flips]
    network = network_of(model)
    taken = (model.spec, model.classes, model.n_channels, model.ndim)
    if isinstance(network, PixelNetwork):
        frozen = source_of(model, device)
        return PixelSegmenter(network, *taken, model.values, model.spacing, frozen)  # type: ignore[arg-type]
    made = NetworkSegmenter(network, *taken, where, flips, model.decoder)
    kept[where, flips] = made
    return made


def source_of(model: TrainedModel, device: Device = "cpu") -> FeatureSource | None:
    """Return the network whose features a model's inputs are, if any.

    Raises
    ------
    InputError
        As `frozen_of`, or when the pretrained network's weights are damaged.
    """
    return feature_source(
        model.spec,
        model.features_from,
        model.n_channels,
        model.ndim,
        scaling=model.normalisation,
        device=device,
    )


def feature_source(
    spec: ModelSpec,
    features_from: TrainedModel | None,
    n_channels: int,
    ndim: int,
    *,
    scaling: NormalisationSpec,
    device: Device = "cpu",
) -> FeatureSource | None:
    """Return the network whose features a pixel rung's options ask for, with its weights.

    Parameters
    ----------
    spec
        The rung, with its features chosen, see `PixelSpec.for_fit`.
    features_from
        The trained UNet, if it is one.
    n_channels, ndim
        Of the images.
    scaling
        How they are normalised.
    device
        What to compute on.

    Raises
    ------
    InputError
        As `source_of`, or when the images are not normalised as the network needs it.
    """
    if features_from is not None:
        return frozen_of(features_from, n_channels, ndim, device)
    if sees_features(spec) and spec.uses_pretrained:
        where = str(choose_device(device).device)
        return PretrainedSource(n_channels, ndim, scaling.method, where)
    return None


def frozen_of(
    model: TrainedModel, n_channels: int, ndim: int, device: Device = "cpu"
) -> FrozenNetwork:
    """Return a trained UNet as the eyes of a pixel rung.

    Parameters
    ----------
    model
        Any trained UNet.
    n_channels, ndim
        Of the images that the rung is for.
    device
        What to compute on.

    Raises
    ------
    InputError
        As `TrainedModel.features`, or when the weights are not those of its network.
    """
    features = model.features(n_channels, ndim)
    where = str(choose_device(device).device)
    return FrozenNetwork(network_of(model), features, ndim, where, model)


def network_of(model: TrainedModel) -> nn.Module:
    """Return the network of a model with its weights, on the CPU and in evaluation mode.

    Of a pixel rung it is what the rung itself learnt, without the UNet whose features it sees.

    Raises
    ------
    InputError
        When the weights are not those of the spec's network.
    """
    check_state(model)
    network = _fresh_of(model)
    network.load_state_dict({name: torch.tensor(array) for name, array in model.state.items()})
    return network.eval().requires_grad_(False)


def _fresh_of(model: TrainedModel) -> nn.Module:
    told = model.network_features
    return fresh(model.spec, model.n_channels, model.n_outputs, model.ndim, told)


def familiarity_to(
    model: TrainedModel, block: NDArray[np.float32], foreground: NDArray[np.bool_]
) -> float:
    """Return how like its training images an image looks to a network of convolutions.

    Parameters
    ----------
    block
        (C, *spatial), normalised; mirrored at its ends to sides that the network takes.
    foreground
        (*spatial): where the model finds objects.
    """
    sides = zip(block.shape[1:], model.multiple, strict=True)
    ends = [(0, -side % multiple) for side, multiple in sides]
    shown = torch.from_numpy(np.pad(block, [(0, 0), *ends], mode="symmetric"))
    found = torch.from_numpy(np.pad(foreground, ends, mode="symmetric").astype(np.float32))
    terms = position_terms(
        model.spec.position,
        model.spec.position_order,
        origin=(0,) * model.ndim,
        block=tuple(found.shape),
        shape=tuple(found.shape),
    )
    given = torch.cat([shown, torch.from_numpy(terms)])[None]
    return familiarity(network_of(model), given, found)


def check_state(model: TrainedModel) -> None:
    """Check the weights' names and shapes, before memory is spent on a network.

    Raises
    ------
    InputError
        When one is missing, foreign or of another shape, or a variance is negative.
    """
    if model.features_from is not None:
        check_state(model.features_from)
    with torch.device("meta"):
        network = _fresh_of(model)
    want = {name: tuple(weights.shape) for name, weights in network.state_dict().items()}
    have = {name: array.shape for name, array in model.state.items()}
    unlike = [name for name in want if have.get(name) != want[name]] + sorted(set(have) - set(want))
    if unlike:
        raise InputError(
            f"The weights do not fit the model's options: {unlike[0]!r} is "
            f"{have.get(unlike[0], 'missing')} in the file and {want.get(unlike[0], 'unknown')} in "
            f"the {model.spec.kind} network. Save or export it again."
        )
    for name, array in model.state.items():
        if name.endswith("running_var") and (array < 0).any():
            raise InputError(f"The weights {name!r} hold a negative variance. Load another model.")


def image_network(
    kind: str,
    options: dict[str, Any],
    n_channels: int,
    n_classes: int,
    ndim: int,
    spacing: Sequence[float],
    features_from: Mapping[str, Any] | None = None,
    scaling: str = "percentile",
) -> nn.Module:
    """Return a pixel rung's network that takes normalised images and needs nothing else.

    What it is shown besides intensity (filters, another network's features, position) is computed
    inside, with the image it gets for the whole. For programs that run model files; here tiles know
    their place.

    Parameters
    ----------
    kind, options
        The rung and its options.
    n_channels, n_classes, ndim, spacing
        See `TrainedModel`.
    features_from
        ``options`` and ``n_classes`` of the UNet whose features it sees; not given when they are
        those of the pretrained network.
    scaling
        How images are normalised, see `NormalisationSpec`.

    Returns
    -------
    torch.nn.Module
        Maps (N, C, *spatial) to evidence (N, K, *spatial), K = 1 for the logistic rung. The names
        of its weights are those of `TrainedModel.all_weights`.
    """
    spec = saved_spec(kind, options)
    if features_from is None:
        source = PretrainedSource(n_channels, ndim, scaling)
        network = fresh(spec, n_channels, n_classes, ndim, source.features)
        network.register_forward_pre_hook(_showing(spec, tuple(spacing), source))
        return network.eval()
    eyes = cast("UNetSpec", saved_spec(UNetSpec.kind, features_from["options"]))
    features = NetworkFeatures(eyes, features_from["n_classes"])
    network = fresh(spec, n_channels, n_classes, ndim, features)
    network.features_from = fresh(eyes, n_channels, features.n_evidence, ndim)
    network.register_forward_pre_hook(_showing_features(spec, tuple(spacing), features, ndim))
    return network.eval()


def evidence_of_model(model: TrainedModel, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a program that runs the model's file computes of a normalised image.

    Parameters
    ----------
    image
        (C, *spatial).

    Returns
    -------
    array (K, *spatial), float32
        Evidence, smaller than the image where convolutions are not padded.
    """
    network = network_of(model)
    network.register_forward_pre_hook(_showing(model.spec, model.spacing, source_of(model)))
    with torch.inference_mode():
        evidence: NDArray[np.float32] = network(torch.from_numpy(image[None]))[0].numpy()
    return evidence


def lost_by(model: TrainedModel, sides: Sequence[int]) -> tuple[int, ...]:
    """Return how much smaller the result is than an image of these sides; nothing is computed."""
    with torch.device("meta"):
        network = _fresh_of(model).eval()
        shown = torch.empty(1, model.spec.n_inputs(model.n_channels, model.ndim), *sides)
        result = network(shown)
    return tuple(a - b for a, b in zip(sides, result.shape[2:], strict=True))


def fresh(
    spec: ModelSpec,
    n_channels: int,
    n_outputs: int,
    ndim: int,
    network: PixelFeatures | None = None,
) -> nn.Module:
    """Return the network of any rung, with weights that mean nothing yet."""
    return build_network(spec, n_channels, n_outputs, ndim, FeatureContext(network=network))


def _showing_features(
    spec: ModelSpec, spacing: tuple[float, ...], features: NetworkFeatures, ndim: int
) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Tensor]]:
    """Return the hook that shows a network what the UNet inside it tells, with its weights now."""

    def hook(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor]:
        (images,) = arguments
        eyes: Any = module.features_from
        frozen = FrozenNetwork(eyes, features, ndim, str(images.device))
        return _showing(spec, spacing, frozen)(module, arguments)

    return hook


def _showing(
    spec: ModelSpec, spacing: tuple[float, ...], frozen: FeatureSource | None = None
) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Tensor]]:
    """Return the hook that adds to an image what else the network is shown."""

    def inputs(image: NDArray[np.float32]) -> NDArray[np.float32]:
        if sees_features(spec):
            return mixed_inputs(image, spec, spacing=spacing, network=frozen).whole()
        sides = image.shape[1:]
        terms = position_terms(
            spec.position, spec.position_order, origin=(0,) * len(sides), block=sides, shape=sides
        )
        return np.concatenate([image, terms])

    def hook(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor]:
        (images,) = arguments
        shown = np.stack([inputs(image) for image in images.cpu().numpy()])
        return (torch.from_numpy(shown).to(images.device),)

    return hook


__all__ = [
    "check_state",
    "evidence_of_model",
    "feature_source",
    "fresh",
    "frozen_of",
    "image_network",
    "lost_by",
    "network_of",
    "segmenter_of",
    "source_of",
]
