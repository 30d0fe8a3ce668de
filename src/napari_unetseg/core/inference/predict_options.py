"""`PredictOptions`: the result of a prediction, the image's scale, and how it is computed.

Declared here for the dock, the command line, recipes and Python: another field is added here alone.
"""

from typing import Literal, TypeVar

from napari_unetseg.core.inference.object_size import SizeOptions
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects.decode import DecodeOptions
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

    tile: int = option(
        0,
        "Tile side",
        "Side in pixels of the pieces that are predicted at once; 0 chooses by cost. Smaller tiles "
        "take less memory and more time.",
        ge=0,
        le=8192,
        step=32,
        advanced=True,
    )
    flips: bool = option(
        False,
        "Test-time augmentation",
        "Average the predictions of all mirror images (test-time augmentation): a little better, "
        "four times slower, eight times for stacks.",
        advanced=True,
    )
    device: Device = device_option()

    def computes_as(self, other: "PredictOptions") -> bool:
        """Whether the network gives the same output with other options, whatever is made of it."""
        names = set(PredictOptions.model_fields) - {"what"}
        return self.model_dump(include=names) == other.model_dump(include=names)


def settle_what(options: P, model: TrainedModel, decoding: DecodeOptions | None = None) -> P:
    """Replace ``what="auto"`` by the result that suits the model.

    Parameters
    ----------
    decoding
        Options for making objects. If any was set, objects are wanted of every model.
    """
    if options.what != "auto":
        return options
    objects = model.decoder is not None or bool(decoding and decoding.model_fields_set)
    return options.model_copy(update={"what": "objects" if objects else "classes"})


def settle_decoding(model: TrainedModel, decoding: DecodeOptions | None = None) -> DecodeOptions:
    """Complete decoding options: those that were not set get the model's defaults."""
    chosen = {} if decoding is None else decoding.model_dump(exclude_unset=True)
    return model.decoding.model_copy(update=chosen)


__all__ = ["PredictOptions", "What", "settle_decoding", "settle_what"]
