"""`TrainedModel`: what a training gives and a file holds, of every rung.

Plain data through and through: options, names and arrays. A network is built from it only when
something is to be predicted, so that models open, list and describe themselves without torch.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.network_features import NetworkFeatures
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_objects import decode_image, predict_objects_image
from napari_unetseg.core.inference.predict_tiles import (
    matched,
    predict_classes_image,
    predict_maps_image,
    predict_proba_image,
)
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.inference.zoomed import Zoomed
from napari_unetseg.core.model.fitted_parts import FitResult, known_of
from napari_unetseg.core.model.model_card import ModelCard
from napari_unetseg.core.model.model_checks import check_parts, frozen
from napari_unetseg.core.model.network_specs import CnnSpec, ModelSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec, MlpSpec, PixelSpec, SoftmaxSpec
from napari_unetseg.core.normalisation import Normalisation, NormalisationSpec, fit_normalisation
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.options import Device
from napari_unetseg.core.progress import Progress, part, silent, to_the_end
from napari_unetseg.core.training.annotation import AnnotationKind

Array = NDArray[Any]

What = Literal["classes", "probabilities", "objects"]

RUNGS: dict[str, type[ModelSpec]] = {
    spec.kind: spec for spec in (LogisticSpec, SoftmaxSpec, MlpSpec, CnnSpec, UNetSpec)
}
"""The rungs of the ladder, lowest first, by their name."""

FEATURES_FROM = "features_from."
"""What the names of the weights begin with that belong to the UNet whose features are seen."""

_SCALING_SHARE = 0.05
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False, kw_only=True)
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
        How good it is on what was held out.
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
    features_from: "TrainedModel | None" = None
    diameter: float = 0.0
    zoom: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.features_from is not None:
            bare = replace(self.features_from, history=(), example=None)
            object.__setattr__(self, "features_from", bare)
        if not self.spacing:
            object.__setattr__(self, "spacing", (1.0,) * self.ndim)
        check_parts(self)
        state = {name: frozen(name, array) for name, array in self.state.items()}
        object.__setattr__(self, "state", MappingProxyType(state))

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
        return digest.hexdigest()

    @property
    def halo(self) -> tuple[int, ...]:
        """How many pixels around a tile may change what is predicted in it, per axis."""
        if isinstance(self.spec, PixelSpec):
            return self.spec.halo(self.ndim, self.spacing, self.network_features)
        return self.spec.halo(self.ndim)

    @property
    def multiple(self) -> tuple[int, ...]:
        """What the place and the sides of a block must divide by, per axis."""
        if isinstance(self.spec, PixelSpec):
            return self.spec.multiple(self.ndim, self.network_features)
        return self.spec.multiple(self.ndim)

    @property
    def n_outputs(self) -> int:
        """How many numbers a network of convolutions says of each pixel."""
        return len(self.classes) if self.decoder is None else self.decoder.n_outputs

    @property
    def decoding(self) -> DecodeOptions:
        """How objects are made when nobody says otherwise."""
        if self.decoder is None:
            return DecodeOptions()
        return DecodeOptions(split_depth=self.decoder.split_depth)

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
    def network_features(self) -> NetworkFeatures | None:
        """What the UNet whose features it sees tells of each pixel; None when it sees none."""
        eyes = self.features_from
        return None if eyes is None else eyes.features(self.n_channels, self.ndim)

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

    def segmenter(self, device: Device = "cpu", *, flips: bool = False) -> Segmenter:
        """Build what predicts. Imports torch.

        Parameters
        ----------
        device
            What to compute on.
        flips
            Predict every mirror image as well and take the mean: four times slower, stacks eight
            times. The rungs that look at single pixels take no notice: filters turn with the image.

        Raises
        ------
        InputError
            When torch is missing, or the weights are not those of the spec's network.
        """
        segmenter: Segmenter = _restoring().segmenter_of(self, device=device, flips=flips)
        return self._at_its_zoom(segmenter)

    def zoomed(self, zoom: Sequence[float]) -> Self:
        """Return a model that sees every image enlarged or shrunk, and answers on its own grid.

        Parameters
        ----------
        zoom
            Pixels it is shown for one of the image, per axis, as `zoom_for` says; nothing to show
            images as they are.
        """
        return replace(self, zoom=tuple(zoom))

    def _at_its_zoom(self, segmenter: Segmenter) -> Segmenter:
        return Zoomed(segmenter, self.zoom) if self.zoom else segmenter

    def check_weights(self) -> None:
        """Check that the weights are those of the spec's network, name by name. Imports torch.

        Raises
        ------
        InputError
            When torch is missing, or one is missing, foreign or of another shape.
        """
        _restoring().check_state(self)

    def predict(
        self,
        image: Image,
        what: What = "classes",
        *,
        decoding: DecodeOptions | None = None,
        tile: int | None = None,
        flips: bool = False,
        device: Device = "cpu",
        out: Any = None,
        progress: Progress = silent,
    ) -> Image:
        """Predict an image, tile by tile.

        Parameters
        ----------
        image
            Any size; of the channels the model takes, colour becoming grey where it takes one.
        what
            ``"classes"``: the value of the likeliest class of each pixel. ``"probabilities"``: one
            channel for each class. ``"objects"``: every object its own id.
        decoding
            How objects are made of what is predicted; as suits the model when missing.
        tile
            Side of a tile in pixels; chosen to compute the least when missing.
        flips, device
            See `segmenter`.
        out
            Where to write, if not to memory: anything with slices, of the result's shape and type.
        progress
            May cancel, or stop early: then what is not finished is 0.

        Returns
        -------
        Image
            Classes: uint8 (larger if a value needs it), the image's axes without C.
            Probabilities: float32, C the classes. Objects: int32, the image's axes without C; lazy,
            in a temporary file, when they are too large for memory.

        Raises
        ------
        InputError
            When image and model do not fit each other.

        Notes
        -----
        Intensities are scaled by the whole image's statistics, once.
        """
        given, segmenter, scaling, rest = self.ready(image, device, flips, progress)
        how: Any = {"tile": tile, "out": out, "progress": rest}
        if what == "objects":
            options = decoding or self.decoding
            return predict_objects_image(given, segmenter, scaling, self.values, options, **how)
        if what == "probabilities":
            return predict_proba_image(given, segmenter, scaling, **how)
        return self._classes(given, segmenter, scaling, tile, out, rest)

    def classes_of(self, proba: Image, *, out: Array | None = None) -> Image:
        """Return the value of the likeliest class of each pixel of what was predicted.

        Parameters
        ----------
        proba
            Probabilities, C the classes; all 0 where nothing was predicted before a stop.
        out
            (axes without C): written where something was predicted, otherwise left as it is. When
            missing, a new array of zeros.

        Returns
        -------
        Image
            Of the axes without C.
        """
        at, numbers = proba.axes.index("C"), proba.asarray()
        if out is None:
            shape = numbers.shape[:at] + numbers.shape[at + 1 :]
            out = np.zeros(shape, np.min_scalar_type(max(self.values)))
        values = np.array(self.values, out.dtype)
        np.copyto(out, values[numbers.argmax(at)], where=numbers.any(at))
        return Image(out, proba.axes.replace("C", ""), proba.spacing, proba.unit)

    def predict_maps(
        self,
        image: Image,
        *,
        tile: int | None = None,
        flips: bool = False,
        device: Device = "cpu",
        out: Any = None,
        progress: Progress = silent,
    ) -> Image:
        """Predict all that objects are made of, to be decoded as often as wanted.

        Returns
        -------
        Image
            float32, C the probability of each class, then the maps of `decoder`.

        See Also
        --------
        predict : the parameters, and what is raised.
        """
        given, segmenter, scaling, rest = self.ready(image, device, flips, progress)
        return predict_maps_image(given, segmenter, scaling, tile=tile, out=out, progress=rest)

    def decode(
        self,
        maps: Image,
        options: DecodeOptions | None = None,
        *,
        out: Any = None,
        progress: Progress = silent,
    ) -> Image:
        """Return the objects of what `predict_maps` gave; see `decode_image`."""
        return decode_image(
            maps,
            self.values,
            self.decoder,
            options or self.decoding,
            ndim=self.ndim,
            out=out,
            progress=progress,
        )

    def ready(
        self,
        image: Image,
        device: Device,
        flips: bool,
        progress: Progress,
        scaling: Normalisation | None = None,
    ) -> tuple[Image, Segmenter, Normalisation, Progress]:
        """Return what predicting takes: image, segmenter, scaling, and the rest of the progress.

        Parameters
        ----------
        scaling
            Of this image, when it is known already.
        """
        segmenter = self.segmenter(device, flips=flips)
        given = matched(image, segmenter)
        if scaling is None:
            first = to_the_end(part(progress, 0, _SCALING_SHARE))
            scaling = fit_normalisation(given, self.normalisation, progress=first)
        return given, segmenter, scaling, part(progress, _SCALING_SHARE, 1)

    def _classes(
        self,
        image: Image,
        segmenter: Segmenter,
        scaling: Normalisation,
        tile: int | None,
        out: Any,
        progress: Progress,
    ) -> Image:
        first = self.values[0]
        if self.values == tuple(range(first, first + len(self.values))) and self.values[-1] < 256:
            return predict_classes_image(
                image, segmenter, scaling, first=first, tile=tile, out=out, progress=progress
            )
        axes = image.axes.replace("C", "")
        if out is None:
            shape = tuple(image.length(axis) for axis in axes)
            out = np.zeros(shape, np.min_scalar_type(max(self.values)))
        values = _Values(out, self.values)
        made = predict_classes_image(
            image, segmenter, scaling, tile=tile, out=values, progress=progress
        )
        return Image(out, made.axes, made.spacing, made.unit)

    @property
    def _signature(self) -> dict[str, Any]:
        return {
            "kind": self.spec.kind,
            "classes": self.classes,
            "values": self.values,
            "n_channels": self.n_channels,
            "ndim": self.ndim,
            **({} if self.decoder is None else {"decoder": self.decoder.decoding}),
        }


def spec_of(kind: str, options: Mapping[str, Any] = _NOTHING) -> ModelSpec:
    """Return the spec of a rung.

    Raises
    ------
    InputError
        When there is no such rung, or an option is unknown or out of range.
    """
    if kind not in RUNGS:
        raise InputError(f"There is no model {kind!r}. Choose one of {', '.join(RUNGS)}.")
    return RUNGS[kind].checked(**options)


class _Values:
    """An array to write classes to, which become label values on the way."""

    def __init__(self, out: Any, values: tuple[int, ...]) -> None:
        self._out, self.shape, self.dtype = out, tuple(out.shape), np.dtype(out.dtype)
        self._values = np.array(values, self.dtype)

    def __setitem__(self, where: Any, classes: NDArray[np.uint8]) -> None:
        self._out[where] = self._values[classes]


def _restoring() -> Any:
    """Return the room that builds networks, which needs torch."""
    try:
        from napari_unetseg.core.nn import restore
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            "Trained models need PyTorch, which is not installed. "
            "Install it with: pip install 'napari-unetseg[torch]'"
        ) from error
    return restore


__all__ = ["FEATURES_FROM", "RUNGS", "ModelCard", "TrainedModel", "What", "spec_of"]
