"""`TrainedModel`: the result of a training and the content of a model file, of every rung.

Plain data through and through: options, names and arrays. A network is built from it only when
something is predicted (`napari_unetseg.core.inference.prediction`), so that models open, list and
describe themselves without torch.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.feature_context import FeatureContext
from napari_unetseg.core.model.fitted_parts import FitResult, known_of
from napari_unetseg.core.model.model_card import ModelCard
from napari_unetseg.core.model.network_features import NetworkFeatures, PixelFeatures
from napari_unetseg.core.model.network_specs import ModelSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import sees_features
from napari_unetseg.core.model.pretrained_features import PRETRAINED, SHA256
from napari_unetseg.core.model.validation_score import shown_dice
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.decoders import DecoderSpec

Array = NDArray[Any]

FEATURES_FROM = "features_from."
"""What the names of the weights begin with that belong to the UNet whose features are seen."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class TrainedModel:
    """A trained model of any rung, as plain data.

    Parameters
    ----------
    name
        For people.
    spec
        Which network, with all options.
    classes
        Names of the classes, in the order of the probabilities.
    values
        Value in a label layer of each class: 0 for the background of a mask, 1.. of scribbles.
    labels_are
        What it was trained on.
    n_channels, ndim
        Of the images it takes.
    state
        The network's weights by name; made read-only.
    normalisation
        How each image is scaled first, by its own statistics.
    channel_names
        A name for each channel, or nothing.
    rgb
        Whether the channels are a colour picture's.
    spacing, unit
        Physical pixel size along each spatial axis of the images it was trained on.
    history
        What each step of the training brought: flat dicts of numbers and None.
    scores
        Scores on labels that were held out from training, and their amount: see
        `napari_unetseg.core.model.validation_score.describe_score`.
    parent
        `fingerprint` of the model it was trained on from; empty when from nothing.
    provenance
        How it came about: options, date, versions; anything JSON can hold.
    example
        A piece of an image it was trained on, ``(C, *spatial)``, as the microscope gave it.
    card
        What people say about it.
    decoder
        What the network's outputs after the foreground mean, if it learnt objects.
    decoding
        Options for making objects as trained: those that were not chosen are at their defaults.
        The smallest size is in pixels that the network is shown, see `zoomed`.
    features_from
        The UNet whose features a pixel rung sees beside the filter bank or instead of it, with its
        weights but without its history and example. Its channels, axes and normalisation are the
        model's own.
    diameter
        Median diameter of the objects it learnt, in the smallest of its pixels; 0 when not known.
    zoom
        Pixels it is shown for one of an image, per axis; nothing to show images as they are. A
        choice for the image at hand, see `zoomed`: no file keeps it.

    Raises
    ------
    InputError
        When the parts do not make a model; the sentence says why.
    """

    name: str
    spec: ModelSpec
    classes: tuple[str, ...]
    values: tuple[int, ...]
    labels_are: AnnotationKind
    n_channels: int
    ndim: int
    state: Mapping[str, Array]
    normalisation: NormalisationSpec = NormalisationSpec()  # noqa: RUF009 - frozen
    channel_names: tuple[str, ...] = ()
    rgb: bool = False
    spacing: tuple[float, ...] = ()
    unit: str = "pixel"
    history: Sequence[Mapping[str, Any]] = ()
    scores: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    parent: str = ""
    provenance: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    example: Array | None = None
    card: ModelCard = ModelCard()  # noqa: RUF009 - frozen
    decoder: DecoderSpec | None = None
    decoding: DecodeOptions = DecodeOptions()  # noqa: RUF009 - frozen
    features_from: "TrainedModel | None" = None
    diameter: float = 0.0
    zoom: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.features_from is not None:
            bare = replace(self.features_from, history=(), example=None)
            object.__setattr__(self, "features_from", bare)
        if not self.spacing:
            object.__setattr__(self, "spacing", (1.0,) * self.ndim)
        _check_parts(self)
        state = {name: _frozen(name, array) for name, array in self.state.items()}
        object.__setattr__(self, "state", MappingProxyType(state))

    def __repr__(self) -> str:
        shown = shown_dice(self.scores)
        dice = "" if shown is None else f", dice={shown:.3g}"
        kind = f"{self.name!r}, {self.spec.kind}, classes={self.classes}{dice}"
        return f"{type(self).__name__}({kind})"

    @classmethod
    def of(
        cls,
        fit: FitResult,
        name: str,
        *,
        labels_are: AnnotationKind,
        image: Image | None = None,
        **known: Any,
    ) -> Self:
        """Make a model of what a fit returned.

        Parameters
        ----------
        fit
            Of any rung. Its network is copied. A history that it can tell is kept.
        name, labels_are
            See `TrainedModel`.
        image
            One it was trained on: gives pixel size, channel names, colour and an example.
        **known
            Any other field of `TrainedModel`; overrules what the image and the fit say.

        Raises
        ------
        InputError
            As `TrainedModel`.
        """
        return cls(name=name, labels_are=labels_are, **(known_of(fit, image) | known))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and of what they tell apart: who a model is.

        Options are left out, so that new ones in later versions change no model's.
        """
        digest = hashlib.sha256(json.dumps(self._signature, sort_keys=True).encode())
        for name in sorted(self.state):
            array = self.state[name]
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        if self.features_from is not None:
            digest.update(self.features_from.fingerprint.encode())
        elif self.network_features is PRETRAINED:
            digest.update(SHA256.encode())
        return digest.hexdigest()

    @property
    def halo(self) -> tuple[int, ...]:
        """How many pixels around a tile may change what is predicted in it, per axis."""
        return self.spec.halo(self.ndim, self.context)

    @property
    def multiple(self) -> tuple[int, ...]:
        """What the place and the sides of a block must divide by, per axis."""
        return self.spec.multiple(self.ndim, self.context)

    @property
    def n_outputs(self) -> int:
        """How many numbers a network of convolutions says of each pixel."""
        return len(self.classes) if self.decoder is None else self.decoder.n_outputs

    @property
    def chosen_decoding(self) -> dict[str, Any]:
        """Options for making objects that were chosen for this model, by name."""
        return self.decoding.model_dump(exclude_unset=True)

    @property
    def n_parameters(self) -> int:
        """How many numbers it is made of."""
        return sum(array.size for array in self.all_weights.values())

    @property
    def all_weights(self) -> dict[str, Array]:
        """The weights by name, and after them those of the UNet whose features it sees."""
        eyes = {} if self.features_from is None else self.features_from.state
        return {**self.state, **{f"{FEATURES_FROM}{name}": eyes[name] for name in eyes}}

    @property
    def context(self) -> FeatureContext:
        """What its features are computed with."""
        return FeatureContext(self.spacing, self.network_features)

    @property
    def network_features(self) -> PixelFeatures | None:
        """What the network whose features it sees tells of each pixel; None when it sees none."""
        eyes = self.features_from
        if eyes is not None:
            return eyes.features(self.n_channels, self.ndim)
        return PRETRAINED if sees_features(self.spec) and self.spec.uses_pretrained else None

    def features(self, n_channels: int, ndim: int) -> NetworkFeatures:
        """Return what this model can tell a pixel rung of each pixel.

        Parameters
        ----------
        n_channels, ndim
            Of the images that the rung is for.

        Raises
        ------
        InputError
            When it is no UNet, or one of other channels or axes.
        """
        if not isinstance(self.spec, UNetSpec):
            raise InputError(
                f"{self.name!r} is a {self.spec.kind}: only a UNet has features that another "
                "model can learn from. Choose a UNet."
            )
        if self.n_channels != n_channels:
            raise InputError(
                f"The UNet {self.name!r} was trained on {self.n_channels} channel(s), but the "
                f"images have {n_channels}: its features mean nothing there. Choose a UNet trained "
                "on such images, or the filter bank."
            )
        if self.ndim != ndim:
            seen = {2: "planes", 3: "stacks"}
            raise InputError(
                f"The UNet {self.name!r} was trained on {seen[self.ndim]}, but {seen[ndim]} are "
                f"to be learnt. Choose a UNet trained on {seen[ndim]}, or the filter bank."
            )
        return NetworkFeatures(self.spec, len(self.classes))

    @property
    def one_diameter(self) -> bool:
        """Whether it learnt from objects of one diameter alone, of whatever size they were."""
        return bool(self.provenance.get("one_diameter"))

    def zoomed(self, zoom: Sequence[float]) -> Self:
        """Return a model that sees every image enlarged or shrunk, and answers on its own grid.

        Parameters
        ----------
        zoom
            Pixels it is shown for one of the image, per axis, as `zoom_for` says; nothing to show
            images as they are.
        """
        return replace(self, zoom=tuple(zoom))

    @property
    def _signature(self) -> dict[str, Any]:
        # The waist has never been part of it: models of earlier versions keep theirs.
        decoding = {k: v for k, v in self.chosen_decoding.items() if k != "split_depth"}
        return {
            "kind": self.spec.kind,
            "classes": self.classes,
            "values": self.values,
            "n_channels": self.n_channels,
            "ndim": self.ndim,
            **({} if self.decoder is None else {"decoder": self.decoder.decoding}),
            **({"decoding": decoding} if decoding else {}),
        }


def _frozen(name: str, array: Array) -> Array:
    """Return weights that cannot be changed.

    Raises
    ------
    InputError
        When they are no finite numbers.
    """
    array = np.asarray(array)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            f"The weights {name!r} hold NaN or infinite numbers: such a model predicts nothing. "
            "Train it again, or load another."
        )
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"The weights {name!r} are {array.dtype}, not numbers. Load another model."
        )
    fixed = array.view()
    fixed.flags.writeable = False
    return fixed


def _check_parts(model: TrainedModel) -> None:
    """Check that the parts of a model fit each other.

    Raises
    ------
    InputError
        When they do not; the sentence says which.
    """
    classes, values = model.classes, model.values
    if len(classes) < 2 or len(classes) != len(values):
        raise InputError(
            f"A model needs two or more classes with a label value each, not {len(classes)} "
            f"class(es) and {len(values)} value(s)."
        )
    if list(values) != sorted(set(values)) or values[0] < 0 or values[-1] >= 2**31:
        raise InputError(f"The label values {values} must be different whole numbers, in order.")
    if (values[0] == 0) != (model.labels_are != "scribbles"):
        raise InputError(
            f"A model trained on {model.labels_are} cannot write the label values {values}: "
            "0 is the background of masks and objects, and nothing in scribbles."
        )
    if model.decoder is not None and (
        sees_features(model.spec) or model.labels_are != "objects" or len(classes) != 2
    ):
        raise InputError(
            f"A {model.spec.kind} model of {', '.join(classes)} trained on {model.labels_are} has "
            "no maps of objects. Leave the decoder out."
        )
    if model.ndim not in (2, 3) or model.n_channels < 1:
        raise InputError(
            f"A model sees planes (2) or stacks (3) of one or more channels, not {model.ndim} and "
            f"{model.n_channels}."
        )
    if len(model.spacing) != model.ndim or not all(0 < s < math.inf for s in model.spacing):
        raise InputError(f"The spacing {model.spacing} must be {model.ndim} positive numbers.")
    if model.zoom and (
        len(model.zoom) != model.ndim or not all(0 < z < math.inf for z in model.zoom)
    ):
        raise InputError(f"The zoom {model.zoom} must be {model.ndim} positive numbers.")
    if not 0 <= model.diameter < math.inf:
        raise InputError(f"A diameter is a number of pixels, not {model.diameter}.")
    if model.channel_names and len(model.channel_names) != model.n_channels:
        raise InputError(
            f"The model has {model.n_channels} channels but {len(model.channel_names)} names of "
            "channels. Give one for each, or none."
        )
    _check_features(model)


def _check_features(model: TrainedModel) -> None:
    eyes = model.features_from
    if not sees_features(model.spec):
        if eyes is not None:
            raise InputError(
                f"A {model.spec.kind} sees the image itself: no use is made of the UNet "
                f"{eyes.name!r}. Leave it out."
            )
        return
    if model.spec.seeing(model.network_features) != model.spec:
        raise InputError(
            "A model that sees the features of a UNet must say whether it sees the filter bank as "
            "well: set features to network or both."
        )
    if eyes is not None and eyes.normalisation != model.normalisation:
        raise InputError(
            f"The UNet {eyes.name!r} was trained on images that were normalised otherwise "
            f"({_said(eyes.normalisation)}) than for the model ({_said(model.normalisation)}). "
            "Normalise as the UNet was."
        )


def _said(scaling: NormalisationSpec) -> str:
    return ", ".join(f"{name}={value}" for name, value in scaling.model_dump().items())


__all__ = ["FEATURES_FROM", "ModelCard", "TrainedModel"]
