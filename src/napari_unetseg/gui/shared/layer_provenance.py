"""Provenance of layers: each result stores its options, so a recipe can be read from it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from napari.layers import Labels, Layer

from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.options import Options
from napari_unetseg.core.recipe.draft import Draft
from napari_unetseg.core.recipe.recipe_steps import ImageStep, MeasurementStep, ThresholdStep
from napari_unetseg.gui.shared.layers import (
    BEFORE,
    FLATTENED,
    IMAGE_AXES,
    IMAGE_CHANNEL,
    MASK,
    MEASURED,
    OBJECTS,
    mark_again,
    noted,
    options_of_layer,
    role_of,
    source_of_layer,
)
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.training_layers import PREDICTED, PREDICTED_OBJECTS

O = TypeVar("O", bound=Options)  # noqa: E741 - an Options

_RESULTS = (FLATTENED, MASK, OBJECTS, PREDICTED, PREDICTED_OBJECTS)


def has_steps(layer: Layer) -> bool:
    """Whether a recipe can be read from a layer."""
    return role_of(layer) in _RESULTS


def note_measurement(labels: Layer, images: Iterable[Layer], options: Options) -> None:
    """Store in a layer the options of its measurement and the kind of image measured."""
    flat = [role_of(image) == FLATTENED for image in images]
    source = "none" if not flat else "flattened" if all(flat) else "image"
    mark_again(labels, noted(MEASURED, {**options.model_dump(), "intensities": source}))


def draft_of(layer: Layer, session: Session, layers: Iterable[Layer] = ()) -> Draft:
    """Return the recipe draft of a layer.

    Parameters
    ----------
    layers
        All layers, to see whether the layer was made of one of several channels.

    Raises
    ------
    InputError
        If the steps are unknown, or cannot be repeated on other images.
    """
    role, options = role_of(layer), options_of_layer(layer)
    if role not in _RESULTS:
        raise InputError(
            f"{layer.name!r} was not made by Background, Threshold or Predict, so there are no "
            "steps to repeat. Choose a layer that was."
        )
    before = options_of_layer(layer, BEFORE)
    if before.get("role", FLATTENED) != FLATTENED:
        raise InputError(
            f"{layer.name!r} was made from {before['role']}, which is a result itself: in a "
            "recipe only a background may come before another step."
        )
    if role == FLATTENED:
        remarks = _remarks(layer, session, layers)
        image = _image_step(before)
        return Draft(image, background=_read(BackgroundOptions, options), remarks=remarks)
    background = _read(BackgroundOptions, before) if before.get("role") else None
    measured = options_of_layer(layer, MEASURED)
    measurement = _read(MeasurementStep, measured) if measured else None
    if measurement is not None and measurement.intensities == "flattened" and background is None:
        measurement = measurement.model_copy(update={"intensities": "image"})
    common: dict[str, Any] = {
        "image": _image_step({**before, **options}),
        "background": background,
        "measurement": measurement,
        "remarks": _remarks(layer, session, layers),
    }
    if role in (MASK, OBJECTS):
        return Draft(threshold=_threshold(options), **common)
    what = "objects" if role == PREDICTED_OBJECTS else "classes"
    model = _model(layer, session)
    predict = _read(PredictOptions, {**options, "what": what})
    objects = _read(DecodeOptions, options) if what == "objects" else None
    return Draft(model=model, options=predict, objects=objects, **common)


def _image_step(seen: Mapping[str, Any]) -> ImageStep:
    """Return the axes and channels that a result was made with."""
    return ImageStep.checked(
        axes=str(seen.get(IMAGE_AXES, "")), channel=str(seen.get(IMAGE_CHANNEL, ""))
    )


def _threshold(options: Mapping[str, Any]) -> ThresholdStep:
    """Return the threshold step, with the dragged levels if there are any."""
    return _read(ThresholdStep, {**options, "values": tuple(options.get("dragged") or ())})


def maker_of(layer: Layer, models: Sequence[TrainedModel]) -> TrainedModel | None:
    """Find the model that made a layer, by its fingerprint.

    Layers of before fingerprints were noted have a name alone, which counts if it is unique.
    """
    options = options_of_layer(layer)
    if fingerprint := options.get("fingerprint"):
        return next((model for model in models if model.fingerprint == fingerprint), None)
    named = [model for model in models if model.name == options.get("model")]
    return named[0] if len({model.fingerprint for model in named}) == 1 else None


def _model(layer: Layer, session: Session) -> TrainedModel:
    model = maker_of(layer, session.models)
    if model is None:
        raise InputError(
            f"The model {options_of_layer(layer).get('model', '')!r} that made {layer.name!r} is "
            "no longer in this window. Load it, or predict again."
        )
    return model


def _read(kind: type[O], options: Mapping[str, Any]) -> O:
    """Read options from the metadata of a layer, which may come from a file."""
    return kind.checked(**{name: options[name] for name in kind.model_fields if name in options})


def _remarks(layer: Layer, session: Session, layers: Iterable[Layer]) -> tuple[str, ...]:
    """List the steps of a layer that a recipe cannot repeat."""
    remarks = [*_of_several(layer, tuple(layers))]
    left_out = options_of_layer(layer, BEFORE).get("left_out") or options_of_layer(layer).get(
        "left_out"
    )
    if left_out:
        remarks.append(
            f"The background was fitted outside the labels {left_out!r}. Other images have no such "
            "labels, so there objects are found by their brightness alone."
        )
    if isinstance(layer, Labels) and session.locks(layer).pixels():
        remarks.append("Your corrections belong to this image only.")
    return tuple(remarks)


def _of_several(layer: Layer, layers: Sequence[Layer]) -> Iterator[str]:
    """Yield a remark if the layer was made from one of several layers of the same file."""
    by_id = {str(one.unique_id): one for one in layers}
    first = by_id.get(source_of_layer(layer))
    while first is not None and role_of(first):
        first = by_id.get(source_of_layer(first))
    path = None if first is None else first.source.path
    if first is None or not path or options_of_layer(layer, BEFORE).get(IMAGE_CHANNEL):
        return
    same = [one for one in layers if one.source.path == path and not role_of(one)]
    if len(same) > 1:
        yield (
            f"{first.name!r} is one of {len(same)} layers of {Path(path).name}: give its channel, "
            "counted from 0, in the step image: {channel: '0'}."
        )


__all__ = ["draft_of", "has_steps", "maker_of", "note_measurement"]
