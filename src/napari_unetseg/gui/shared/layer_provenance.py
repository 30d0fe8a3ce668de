"""Which steps led to a layer: every result says what made it, so a recipe can be read from it."""

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
from napari_unetseg.core.recipe.recipe_steps import MeasurementStep, ThresholdStep
from napari_unetseg.gui.shared.layers import (
    BEFORE,
    FLATTENED,
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
    """Note on a layer what was measured of it, and in which images."""
    flat = [role_of(image) == FLATTENED for image in images]
    source = "none" if not flat else "flattened" if all(flat) else "image"
    mark_again(labels, noted(MEASURED, {**options.model_dump(), "intensities": source}))


def draft_of(layer: Layer, session: Session, layers: Iterable[Layer] = ()) -> Draft:
    """Return the steps that led to a layer.

    Parameters
    ----------
    layers
        All layers, to see whether the layer was made of one of several channels.

    Raises
    ------
    InputError
        When they cannot be told, or not be done again with other images.
    """
    role, said = role_of(layer), options_of_layer(layer)
    if role not in _RESULTS:
        raise InputError(
            f"{layer.name!r} was not made by Background, Threshold or Predict, so there are no "
            "steps to repeat. Choose a layer that was."
        )
    before = options_of_layer(layer, BEFORE)
    if before.get("role", FLATTENED) != FLATTENED:
        raise InputError(
            f"{layer.name!r} was made of {before['role']}, which is a result itself: only a "
            "background can come before another step in a recipe."
        )
    if role == FLATTENED:
        remarks = _remarks(layer, session, layers)
        return Draft(background=_read(BackgroundOptions, said), remarks=remarks)
    background = _read(BackgroundOptions, before) if before else None
    measured = options_of_layer(layer, MEASURED)
    measurement = _read(MeasurementStep, measured) if measured else None
    if measurement is not None and measurement.intensities == "flattened" and background is None:
        measurement = measurement.model_copy(update={"intensities": "image"})
    known: dict[str, Any] = {
        "background": background,
        "measurement": measurement,
        "remarks": _remarks(layer, session, layers),
    }
    if role in (MASK, OBJECTS):
        return Draft(threshold=_threshold(said), **known)
    what = "objects" if role == PREDICTED_OBJECTS else "classes"
    model = _model(layer, session)
    options = _read(PredictOptions, {**said, "what": what})
    objects = _read(DecodeOptions, said) if what == "objects" else None
    return Draft(model=model, options=options, objects=objects, **known)


def _threshold(said: Mapping[str, Any]) -> ThresholdStep:
    """Return the threshold, at the levels that were dragged where there were any."""
    return _read(ThresholdStep, {**said, "values": tuple(said.get("dragged") or ())})


def maker_of(layer: Layer, models: Sequence[TrainedModel]) -> TrainedModel | None:
    """Find the model that made a layer, by its fingerprint.

    Layers of before fingerprints were noted have a name alone, which counts if it is unique.
    """
    said = options_of_layer(layer)
    if who := said.get("fingerprint"):
        return next((model for model in models if model.fingerprint == who), None)
    named = [model for model in models if model.name == said.get("model")]
    return named[0] if len({model.fingerprint for model in named}) == 1 else None


def _model(layer: Layer, session: Session) -> TrainedModel:
    model = maker_of(layer, session.models)
    if model is None:
        raise InputError(
            f"The model {options_of_layer(layer).get('model', '')!r} that made {layer.name!r} is "
            "no longer in this window. Load it, or predict again."
        )
    return model


def _read(kind: type[O], said: Mapping[str, Any]) -> O:
    """Return options from what a layer says of itself, which a file may have brought along."""
    return kind.checked(**{name: said[name] for name in kind.model_fields if name in said})


def _remarks(layer: Layer, session: Session, layers: Iterable[Layer]) -> tuple[str, ...]:
    """Say what was done with a layer that a recipe cannot do, or does not know."""
    remarks = [*_of_several(layer, tuple(layers))]
    left_out = options_of_layer(layer, BEFORE).get("left_out") or options_of_layer(layer).get(
        "left_out"
    )
    if left_out:
        remarks.append(
            f"The background was fitted without what {left_out!r} marks; other images have no "
            "such labels, so there objects are found by their brightness alone."
        )
    if isinstance(layer, Labels) and session.locks(layer).pixels():
        remarks.append("What you corrected by hand is of this image alone.")
    return tuple(remarks)


def _of_several(layer: Layer, layers: Sequence[Layer]) -> Iterator[str]:
    """Say so when a layer was made of one of several that show the same file."""
    by_id = {str(one.unique_id): one for one in layers}
    first = by_id.get(source_of_layer(layer))
    while first is not None and role_of(first):
        first = by_id.get(source_of_layer(first))
    path = None if first is None else first.source.path
    if first is None or not path:
        return
    same = [one for one in layers if one.source.path == path and not role_of(one)]
    if len(same) > 1:
        yield (
            f"{first.name!r} is one of {len(same)} layers of {Path(path).name}: say which channel "
            "it is, counted from 0, in a step image: {channel: '0'}."
        )


__all__ = ["draft_of", "has_steps", "maker_of", "note_measurement"]
