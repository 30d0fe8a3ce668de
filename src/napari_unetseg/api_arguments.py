"""Arguments of the functions of ``import napari_unetseg``: arrays, models, options as keywords."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Channels, Image
from napari_unetseg.core.io.paths import PathLike
from napari_unetseg.core.model.network_specs import ModelSpec
from napari_unetseg.core.model.pixel_specs import PixelSpec
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.foreign import open_model
from napari_unetseg.core.options import Options
from napari_unetseg.core.prompts.marks import Kind, Mark

O = TypeVar("O", bound=Options)  # noqa: E741 - of options
F = TypeVar("F", bound=Callable[..., Any])

Spacing = float | Sequence[float]
"""Physical size of a pixel: one number for each spatial axis, or one for all."""

ModelLike = TrainedModel | PathLike
"""A model, its file, or the name of one that ships, such as ``"nuclei"``."""

_FITTED_AT_ONCE = ("validation", "seed")
"""The training options that the pixel models use."""


# Arrays and models


def image_from(
    given: Any,
    name: str = "image",
    *,
    axes: str | None = None,
    spacing: Spacing = (),
    unit: str = "",
    channel_names: Sequence[str] = (),
    rgb: bool | None = None,
    channel: Channels = "",
) -> Image:
    """Convert an array to an image; keywords override an image's own metadata.

    `channel` chooses some of its channels; see `Image.channels`.

    Raises
    ------
    InputError
        When it is no array, or no image can be made of it.
    """
    if not isinstance(axes, str | None):
        raise InputError(f"The axes must be letters such as 'ZYX', not {axes!r}.")
    if isinstance(given, Image):
        image = given if axes is None else replace(given, axes=axes.upper())
    else:
        image = Image.of(array_from(given, name), axes, rgb=rgb)
    metadata: dict[str, Any] = {}
    if np.ndim(spacing) == 0:
        metadata["spacing"] = (float(np.asarray(spacing)),) * len(image.spatial_axes)
    elif len(spacing):  # type: ignore[arg-type]
        metadata["spacing"] = tuple(map(float, spacing))  # type: ignore[arg-type]
    # With a given spacing, no step is unknown.
    metadata |= {"assumed": ""} if metadata else {}
    metadata |= {"unit": unit} if unit else {}
    metadata |= {"channel_names": tuple(channel_names)} if channel_names else {}
    image = replace(image, **metadata) if metadata else image
    return image if isinstance(channel, str) and not channel else image.channels(channel)


def take_channel(keywords: dict[str, Any]) -> Channels:
    """Take the choice of channels out of the keywords of a function whose options have one.

    The colours of an RGB image are channels like others.
    """
    channel: Channels = keywords.pop("channel", "luminance")
    return channel


def array_from(given: Any, name: str) -> Any:
    """Check that an argument is an array; return it.

    Raises
    ------
    InputError
        When it is not.
    """
    if hasattr(given, "shape") and hasattr(given, "dtype"):
        return given
    if isinstance(given, str | Path):
        advice = "Read the file first: napari_unetseg.read(path)."
    elif isinstance(given, list | tuple):
        advice = "Make an array of it: numpy.asarray(...)."
    else:
        advice = "Give a numpy, dask or zarr array, or an Image."
    raise InputError(f"The {name} must be an array, not a {type(given).__name__}. {advice}")


def like_given(given: Any, result: Image) -> Any:
    """Return an image for an image, and a plain array for any other array."""
    return result if isinstance(given, Image) else result.data


def paired_lists(images: Any, labels: Any, regions: Any) -> list[tuple[Any, Any, Any]]:
    """Pair each image with its labels and regions; single arrays are lists of one.

    Raises
    ------
    InputError
        When the lists differ in length.
    """
    if not isinstance(images, list | tuple):
        return [(images, labels, regions)]
    if regions is None:
        regions = [None] * len(images)
    for name, given in (("labels", labels), ("regions", regions)):
        count = len(given) if isinstance(given, list | tuple) else "one array of"
        if count != len(images):
            raise InputError(
                f"There are {len(images)} images and {count} {name}. Give a list of {name}, one "
                "array for each image."
            )
    return list(zip(images, labels, regions, strict=True))


def model_from(given: ModelLike) -> TrainedModel:
    """Return a model, opening it if its file or name is given.

    Raises
    ------
    InputError
        When there is no such model, or the argument is of another type.
    """
    if isinstance(given, TrainedModel):
        return given
    if isinstance(given, str | Path):
        return open_model(given)
    raise InputError(
        f"The model must be a trained model, its file or the name of one that ships, not a "
        f"{type(given).__name__}. Give the result of train or open_model."
    )


# Marks


def marks_from(points: Any, boxes: Any, outside: Any, axes: str) -> list[Mark]:
    """Return the marks of objects that are given as arrays, or as dicts of arrays by object.

    Raises
    ------
    InputError
        When an array is none of points or boxes along the axes.
    """
    marks: list[Mark] = []
    first = 1
    for name, given, kind in (("points", points, "inside"), ("boxes", boxes, "box")):
        if given is None:
            continue
        by_object = isinstance(given, Mapping)
        many = dict(given) if by_object else dict(enumerate(given, first))
        first += len(many)
        for number, one in many.items():
            marks += _marks_of(number, one, kind, name, axes)
    if outside is not None and not isinstance(outside, Mapping):
        raise InputError(
            "Clicks outside need the object that they are not in: give a dict, such as "
            "{1: [(8, 9)]}."
        )
    for number, one in (outside or {}).items():
        marks += _marks_of(number, one, "outside", "outside", axes)
    return marks


def _marks_of(number: Any, given: Any, kind: Any, name: str, axes: str) -> list[Mark]:
    """Return the marks of one object."""
    try:
        places = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        places = np.zeros(())
    if kind == "box" and places.shape == (4,) and len(axes) == 2:
        places = places.reshape(2, 2)
    places = np.atleast_2d(places)
    if places.ndim != 2 or places.shape[1] != len(axes) or not isinstance(number, int | str):
        raise InputError(
            f"The {name} of object {number!r} must be numbers along the axes {axes}, not {given!r}."
        )
    found: Kind = kind
    return [Mark(number, tuple(place), found) for place in places.tolist()]


# Options


def chosen_options(kind: type[O], options: O | None, keywords: Mapping[str, Any]) -> O:
    """Return options, from keywords unless they are given as one object.

    Raises
    ------
    InputError
        When both are given, a keyword is unknown or a value is out of range.
    """
    if options is None:
        sorted_keywords(keywords, kind)
        return kind.checked(**keywords)
    if not isinstance(options, kind):
        raise InputError(
            f"The options must be a {kind.__name__}, not {options!r}. Or give them as keywords, "
            f"such as {next(iter(kind.model_fields))}=..."
        )
    if keywords:
        raise InputError(
            f"Options are given as {kind.__name__} and as keywords ({', '.join(keywords)}). Leave "
            "out one of the two."
        )
    return options


def sorted_keywords(keywords: Mapping[str, Any], *kinds: type[Options]) -> list[dict[str, Any]]:
    """Divide keywords among options.

    Raises
    ------
    InputError
        When a keyword is in none of them; the message gives the nearest name and all others.
    """
    _check_names(keywords, [name for kind in kinds for name in kind.model_fields])
    return [{n: v for n, v in keywords.items() if n in kind.model_fields} for kind in kinds]


def check_keyword(name: str, value: object, choices: Sequence[str]) -> None:
    """Check that a keyword is one of its choices.

    Raises
    ------
    InputError
        When it is not.
    """
    if value not in choices:
        raise InputError(f"{name} = {value!r}: choose one of {', '.join(choices)}.")


def _check_names(keywords: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in keywords:
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            there = f"The options are {', '.join(names)}." if names else "It takes no options here."
            raise InputError(f"There is no option {name}.{hint} {there}")


def model_and_training(
    model: str | ModelSpec | None, start: TrainedModel | None, keywords: Mapping[str, Any]
) -> tuple[ModelSpec, TrainOptions]:
    """Return the options of a model and of its training; a model to continue keeps its own.

    Raises
    ------
    InputError
        When there is no such model, or a keyword is unknown or out of range.
    """
    start_spec = None if start is None else start.spec
    if isinstance(model, ModelSpec):
        kind, own = type(model), model.model_dump(exclude_unset=True)
    else:
        name = model or (start_spec.kind if start_spec is not None else "logistic")
        kind = type(spec_of(name))
        continues = start_spec is not None and start_spec.kind == name
        own = start_spec.model_dump() if start_spec is not None and continues else {}
    others = _FITTED_AT_ONCE if issubclass(kind, PixelSpec) else TrainOptions.model_fields
    _check_names(keywords, [*kind.model_fields, *others])
    of_model = {name: value for name, value in keywords.items() if name in kind.model_fields}
    of_training = {name: value for name, value in keywords.items() if name not in of_model}
    return kind.checked(**(own | of_model)), TrainOptions.checked(**of_training)


def offering(*kinds: type[Options]) -> Callable[[F], F]:
    """Add the fields of options to a function's signature and docstring.

    `help` and a notebook's tooltip then list them, without a second declaration.
    """

    def offer(function: F) -> F:
        fields = {name: field for kind in kinds for name, field in kind.model_fields.items()}
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind != each.VAR_KEYWORD]
        named = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.default)
            for name, field in fields.items()
            if name not in signature.parameters
        ]
        function.__signature__ = signature.replace(parameters=[*own, *named])  # type: ignore[attr-defined]
        rows = [
            f"{name}\n    {field.description}"
            for name, field in fields.items()
            if name not in signature.parameters
        ]
        before, mark, after = inspect.cleandoc(function.__doc__ or "").partition("\n\nRaises\n")
        section = "\n".join(["\n\nOther Parameters", "----------------", *rows])
        function.__doc__ = before + section + mark + after
        return function

    return offer


__all__ = [
    "ModelLike",
    "Spacing",
    "array_from",
    "check_keyword",
    "chosen_options",
    "image_from",
    "like_given",
    "marks_from",
    "model_and_training",
    "model_from",
    "offering",
    "paired_lists",
    "sorted_keywords",
    "take_channel",
]
