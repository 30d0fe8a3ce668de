"""Whether the parts of a trained model make one: classes, values, axes, weights."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.pixel_specs import sees_features
from napari_unetseg.core.normalisation import NormalisationSpec

if TYPE_CHECKING:
    from napari_unetseg.core.model.trained_model import TrainedModel

Array = NDArray[Any]


def frozen(name: str, array: Array) -> Array:
    """Return weights that nobody can change.

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


def check_parts(model: "TrainedModel") -> None:
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


def _check_features(model: "TrainedModel") -> None:
    eyes = model.features_from
    if not sees_features(model.spec):
        if eyes is not None:
            raise InputError(
                f"A {model.spec.kind} sees the image itself: no use is made of the UNet "
                f"{eyes.name!r}. Leave it out."
            )
        return
    told = None if eyes is None else eyes.features(model.n_channels, model.ndim)
    if model.spec.seeing(told) != model.spec:
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
