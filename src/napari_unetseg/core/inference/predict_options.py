"""`PredictOptions`: the result of a prediction, the image's scale, and how it is computed.

Declared here for the dock, the command line, recipes and Python: another field is added here alone.
"""

import math
from typing import Literal, TypeVar

from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.object_size import SizeOptions
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.linking import link_in_words
from napari_unetseg.core.options import Device, Options, device_option, option

P = TypeVar("P", bound="PredictOptions")

What = Literal["auto", "objects", "classes", "probabilities"]
"""Result of a prediction; ``"auto"`` is objects of a model that learnt objects, else classes."""


class _ResultOptions(Options):
    what: What = option(
        "auto",
        "Result",
        "Auto: objects if the model learnt objects, else classes. Objects: labels in which every "
        "object has its own number. Classes: labels, 0 for the background of a mask, 1 and up for "
        "scribbles. Probabilities: an image with a channel for each class.",
    )


class PredictOptions(SizeOptions, _ResultOptions):
    """Result of a prediction, scale of the image, and how the network runs."""

    orientations: Literal["auto", "one", "three"] = option(
        "auto",
        "Orientations",
        "For a model of planes on a stack. One: plane by plane, and objects are linked (Link). "
        "Three: planes along all three axes are averaged and objects are made in 3D, which "
        "separates objects above each other and takes three times as long. Automatic: three for "
        "models that learnt objects.",
    )
    tile: int = option(
        0,
        "Tile side",
        "Side in pixels of the pieces that are predicted at once. Automatic, which is 0, chooses "
        "by cost. Smaller tiles take less memory and more time.",
        zero="automatic",
        ge=0,
        le=8192,
        step=32,
        advanced=True,
        group="Computer",
    )
    flips: bool = option(
        False,
        "Mirror images",
        "Average the predictions of all mirror images (test-time augmentation): a little better, "
        "four times slower, eight times for stacks.",
        advanced=True,
        group="Computer",
    )
    device: Device = device_option("Computer")

    def computes_as(self, other: "PredictOptions") -> bool:
        """Whether the network gives the same output with other options, whatever is made of it."""
        names = set(PredictOptions.model_fields) - {"what"}
        return self.model_dump(include=names) == other.model_dump(include=names)


def sees_stacks(options: PredictOptions, model: TrainedModel, image: Image) -> bool:
    """Whether objects go through the planes of a stack: of a model of stacks, or of planes in
    three orientations."""
    if model.ndim == 3:
        return True
    if image.length("Z") < 2 or options.orientations == "one":
        return False
    return options.orientations == "three" or model.decoder is not None


def finds_scale(options: PredictOptions, model: TrainedModel, image: Image) -> bool:
    """Whether a model's results get better where the scale is found: not in stacks."""
    return model.diameter > 0 and not sees_stacks(options, model, image)


def with_found_scale(options: P, model: TrainedModel, image: Image) -> P:
    """Let the scale be found, as the window does, unless another was chosen or it does not help."""
    chosen = options.model_fields_set & set(SizeOptions.model_fields)
    if chosen or not finds_scale(options, model, image):
        return options
    return options.model_copy(update={"auto_diameter": True})


def stack_in_words(
    options: PredictOptions, model: TrainedModel, image: Image, decoding: DecodeOptions | None
) -> str:
    """Format how a model of planes predicted a stack, as a clause after a comma; or empty.

    Parameters
    ----------
    decoding
        Options that objects were made with; None if there are none.
    """
    deep = sees_stacks(options, model, image)
    words = ", planes in three orientations combined" if deep and model.ndim == 2 else ""
    if decoding is None:
        return words
    return words + link_in_words(image, decoding, "ZYX" if deep else "YX")


def settle_what(options: P, model: TrainedModel, decoding: DecodeOptions | None = None) -> P:
    """Replace ``what="auto"`` by the result that suits the model.

    Parameters
    ----------
    decoding
        Options for making objects. If any was set, objects are wanted of every model.
    """
    if options.what != "auto":
        return options
    asked = decoding is not None and decoding.model_fields_set and asks_for_objects(decoding)
    objects = model.decoder is not None or asked
    return options.model_copy(update={"what": "objects" if objects else "classes"})


def asks_for_objects(decoding: DecodeOptions) -> bool:
    """Whether options for making objects ask for objects; not if all they set is not to link."""
    return decoding.model_dump(exclude_unset=True) != {"link": "none"}


def settle_decoding(model: TrainedModel, decoding: DecodeOptions | None = None) -> DecodeOptions:
    """Complete decoding options: those that were not set get the model's defaults.

    A smallest size of 0, as trained, stays: see `decoding_at_scale`.
    """
    chosen = {} if decoding is None else decoding.model_dump(exclude_unset=True)
    return model.decoding.model_copy(update={"min_size": 0} | chosen)


def decoding_at_scale(model: TrainedModel, decoding: DecodeOptions | None = None) -> DecodeOptions:
    """Complete decoding options for the pixels of an image.

    A smallest size as trained is in the pixels that the model is shown: of an image that is
    enlarged for it, objects are smaller, see `TrainedModel.zoomed`.
    """
    settled = settle_decoding(model, decoding)
    if settled.min_size or not model.decoding.min_size:
        return settled
    size = max(1, round(model.decoding.min_size / math.prod(model.zoom)))
    return settled.model_copy(update={"min_size": size})


__all__ = [
    "PredictOptions",
    "What",
    "asks_for_objects",
    "decoding_at_scale",
    "finds_scale",
    "sees_stacks",
    "settle_decoding",
    "settle_what",
    "stack_in_words",
    "with_found_scale",
]
