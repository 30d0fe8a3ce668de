"""Save and load models: one zip, a bioimage.io package, from which nothing is ever run.

::

    rdf.yaml            what it is, in the words of bioimage.io, and in our own under config
    weights.pt          state dict of PyTorch; with that of the UNet whose features are seen
    architecture.py     the network for others; written, and never read here
    test_input.npy      an example, and
    test_output.npy     what the model makes of it
    history.json        each step of the training
    README.md           for people
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.open_segmenter import check_weights
from napari_unetseg.core.io.paths import writing
from napari_unetseg.core.model.trained_model import FEATURES_FROM, ModelCard, TrainedModel, spec_of
from napari_unetseg.core.models_io.native.example_tensors import (
    MAX_PIXELS,
    example_image,
    example_output,
    lost,
    sides_of,
)
from napari_unetseg.core.models_io.native.network_source import is_self_contained, network_source
from napari_unetseg.core.models_io.native.npy_arrays import read_npy, written_npy
from napari_unetseg.core.models_io.native.package_description import (
    VERSION,
    build_description,
    digest_of,
    environment,
    plain,
)
from napari_unetseg.core.models_io.native.package_readme import readme_of
from napari_unetseg.core.models_io.native.plain_yaml import MAX_BYTES as MAX_TEXT
from napari_unetseg.core.models_io.native.plain_yaml import read_yaml, written_yaml
from napari_unetseg.core.models_io.native.state_dict import MAX_BYTES as MAX_WEIGHTS
from napari_unetseg.core.models_io.native.state_dict import read_state_dict, write_state_dict
from napari_unetseg.core.models_io.native.zip_archive import Archive, written_zip
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.objects.decoders import DecoderSpec

PathLike = str | os.PathLike[str]
More = Callable[[NDArray[Any], NDArray[np.float32]], dict[str, bytes]]

SUFFIX = ".zip"

MAX_BYTES = MAX_WEIGHTS + 2**29
_MAX_HISTORY = 2**26
_MAX_EXAMPLE = 2**28
_WEIGHTS = "weights.pt"
_EXAMPLE = "test_input.npy"
_HISTORY = "history.json"
_DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml")

_Name = Field(max_length=1000)
_Count = Field(ge=1, le=4096)

_LITTLE = 2**16
"""Pixels of the example in a file that is to be small."""


class _Words(BaseModel):
    """What is said of a model: types and limits; the model checks the rest."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    name: str = _Name
    kind: str = _Name
    options: dict[str, bool | int | float | str]
    classes: list[str] = Field(min_length=2, max_length=255)
    values: list[int] = Field(min_length=2, max_length=255)
    labels_are: Literal["scribbles", "mask", "objects"]
    n_channels: int = _Count
    ndim: int = Field(ge=2, le=3)
    channel_names: list[str] = Field(max_length=4096)
    rgb: bool
    spacing: list[float]
    unit: str = _Name
    normalisation: dict[str, float | str]
    scores: dict[str, JsonValue] = Field(default_factory=dict)
    parent: str = Field("", max_length=1000)
    fingerprint: str = Field("", max_length=1000)
    provenance: dict[str, JsonValue] = Field(default_factory=dict)
    card: dict[str, str] = Field(default_factory=dict)
    decoder: dict[str, str | float] | None = None
    diameter: float = Field(0.0, ge=0, le=1e6)


class _Own(_Words):
    """What stands under ``config: unetseg``, with that of the UNet whose features are seen."""

    features_from: _Words | None = None


def save(model: TrainedModel, path: PathLike, *, small: bool = False) -> None:
    """Save a model. Imports torch, to compute the example.

    Parameters
    ----------
    path
        A name ending in ``.zip``. What is there is replaced in one step, or stays when saving
        fails.
    small
        Keep the file small: a network that looks far gets an example of less than that, and its
        file tells other programs to overlap their tiles by less.

    Raises
    ------
    InputError
        When the name ends otherwise, or the place cannot be written.

    Notes
    -----
    The same model gives the same bytes. Takes as long as predicting one block.
    """
    if Path(path).suffix.lower() != SUFFIX:
        raise InputError(f"The model file {path} must end in {SUFFIX}.")
    data = written_zip(members_of(model, context=_LITTLE if small else MAX_PIXELS))
    with writing(path) as draft:
        draft.write_bytes(data)


def load(path: PathLike, *, check: bool = True) -> TrainedModel:
    """Load a model. Nothing in the file is run: the weights are numbers, the rest is text.

    Parameters
    ----------
    check
        Whether to check every weight against the network, which imports torch. It is done again
        before anything is predicted.

    Raises
    ------
    InputError
        When there is no such file, it is no model of this program, is damaged or built to do harm,
        or torch is missing.
    """
    with _opened(path) as package:
        own, weights = package.own(), package.weights()
        model = _model_of(own, weights, package.history(), package.example())
    if check:
        check_weights(model)
    return model


def describe(path: PathLike) -> dict[str, Any]:
    """Return what a model file says about itself, as plain data for people. No torch needed.

    Raises
    ------
    InputError
        As `load`; whether the weights fit the network is not checked.
    """
    with _opened(path) as package:
        own = package.own()
        model = _model_of(own, package.weights(), package.history(), None)
    return {
        "name": model.name,
        "model": model.spec.kind,
        "classes": dict(zip(model.values, model.classes, strict=True)),
        "trained on": model.labels_are,
        "tells objects apart by": "" if model.decoder is None else model.decoder.decoding,
        "diameter of the objects": f"{model.diameter:.3g} pixels" if model.diameter else "",
        "channels": list(model.channel_names) or model.n_channels,
        "axes": "YX" if model.ndim == 2 else "ZYX",
        "pixel size": {"spacing": list(model.spacing), "unit": model.unit},
        "weights": model.n_parameters,
        "halo": list(model.halo),
        "multiple": list(model.multiple),
        "normalisation": model.normalisation.model_dump(),
        "options": model.spec.model_dump(),
        **_features_of(model),
        "scores": dict(model.scores),
        "training": {"steps": len(model.history), **model.provenance},
        "parent": model.parent,
        "fingerprint": model.fingerprint,
        "card": model.card.model_dump(),
        "bytes": Path(path).stat().st_size,
    }


def _features_of(model: TrainedModel) -> dict[str, Any]:
    """Return what is to be said of the UNet whose features a model sees."""
    eyes = model.features_from
    if eyes is None:
        return {}
    facts = {"name": eyes.name, "classes": list(eyes.classes), "weights": eyes.n_parameters}
    card = eyes.card.model_dump()
    return {"features from": {**facts, "fingerprint": eyes.fingerprint, "card": card}}


class _Package:
    """An open model file, each part read when asked for and checked by its hash."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        name = next((name for name in _DESCRIPTIONS if name in archive.names), None)
        if name is None:
            raise InputError(
                f"There is no {_DESCRIPTIONS[0]} in it: it is no model, or damaged. "
                "Choose another, or copy it again."
            )
        self._content = read_yaml(archive.read(name, MAX_TEXT), f"The model's {name}")

    def own(self) -> _Own:
        """Return what this program wrote about the model."""
        own = _found(self._content, "config", "unetseg")
        if not isinstance(own, dict):
            raise InputError(
                "The package holds no model of napari-unetseg: its description has no config for "
                "it. Choose a model that was saved by this program."
            )
        version = own.get("version")
        if version != VERSION or isinstance(version, bool):
            raise InputError(
                f"The model was saved in version {str(version)[:20]!r} of the format, and this "
                f"program knows version {VERSION}. Update napari-unetseg."
            )
        try:
            checked = _Own.model_validate(own)
            digest = digest_of(own)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise _unusable(f"{place}: {first['msg'].lower()}") from error
        except TypeError as error:
            raise _unusable("names of several kinds") from error
        if digest != own.get("digest"):
            raise InputError(
                "Its description is not as it was saved (its digest differs): damaged, or changed "
                "by hand. Copy or download it again."
            )
        return checked

    def weights(self) -> dict[str, NDArray[Any]]:
        """Return the weights."""
        entry = _found(self._content, "weights", "pytorch_state_dict")
        return read_state_dict(self._linked(entry, _WEIGHTS, MAX_WEIGHTS))

    def history(self) -> list[dict[str, Any]]:
        """Return what each step of the training brought."""
        if _HISTORY not in self._archive.names:
            return []
        entries = self._content.get("attachments")
        entries = entries if isinstance(entries, list) else []
        entry = next((e for e in entries if _found(e, "source") == _HISTORY), None)
        raw = self._linked(entry, _HISTORY, _MAX_HISTORY)
        try:
            records = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise _unusable(f"{_HISTORY} is no JSON") from error
        if not isinstance(records, list) or not all(map(_is_record, records)):
            raise _unusable(f"{_HISTORY} is no list of records")
        return records

    def example(self) -> NDArray[Any] | None:
        """Return the raw image that the model was tried on, (C, *spatial)."""
        if _EXAMPLE not in self._archive.names:
            return None
        inputs = self._content.get("inputs")
        entry = inputs[0] if isinstance(inputs, list) and inputs else None
        raw = self._linked(_found(entry, "test_tensor"), _EXAMPLE, _MAX_EXAMPLE)
        image = read_npy(raw, "The model's example")
        if image.ndim < 4 or len(image) != 1:
            raise _unusable(f"{_EXAMPLE} is no image")
        piece: NDArray[Any] = image[0]
        return piece

    def _linked(self, entry: Any, name: str, limit: int) -> bytes:
        """Return the bytes of a member as the description says they are."""
        if _found(entry, "source") != name:
            raise _unusable(f"it does not say where {name} is")
        data = self._archive.read(name, limit)
        if _found(entry, "sha256") != hashlib.sha256(data).hexdigest():
            raise InputError(
                f"{name} is not what the model's description says (its SHA-256 differs). The file "
                "is damaged or was changed; copy or download it again."
            )
        return data


@contextmanager
def _opened(path: PathLike) -> Iterator[_Package]:
    """Open a model file; messages about it begin with its name."""
    place = Path(path)
    try:
        if place.stat().st_size > MAX_BYTES:
            raise InputError(f"{place.name} is larger than any model ({MAX_BYTES // 2**20} MiB).")
        with place.open("rb") as file, Archive(file, "The file", max_bytes=MAX_BYTES) as archive:
            yield _Package(archive)
    except InputError as error:
        raise InputError(f"{place.name} is not loaded. {error}") from error
    except OSError as error:
        raise InputError(f"{place} cannot be opened: {error.strerror}. Check the name.") from error


def _model_of(
    own: _Own,
    weights: dict[str, NDArray[Any]],
    history: list[dict[str, Any]],
    example: NDArray[Any] | None,
) -> TrainedModel:
    if own.features_from is None:
        return _checked_model(own, weights, history=history, example=example)
    of_eyes = {name: array for name, array in weights.items() if name.startswith(FEATURES_FROM)}
    eyes = _checked_model(
        own.features_from,
        {name.removeprefix(FEATURES_FROM): array for name, array in of_eyes.items()},
    )
    own_weights = {name: array for name, array in weights.items() if name not in of_eyes}
    return _checked_model(own, own_weights, history=history, example=example, features_from=eyes)


def _checked_model(own: _Words, state: dict[str, NDArray[Any]], **more: Any) -> TrainedModel:
    """Return a model that is what it was when it was saved."""
    model = TrainedModel(
        name=own.name,
        spec=spec_of(own.kind, own.options),
        classes=tuple(own.classes),
        values=tuple(own.values),
        labels_are=own.labels_are,
        n_channels=own.n_channels,
        ndim=own.ndim,
        state=state,
        normalisation=NormalisationSpec.checked(**own.normalisation),
        channel_names=tuple(own.channel_names),
        rgb=own.rgb,
        spacing=tuple(own.spacing),
        unit=own.unit,
        scores=own.scores,
        parent=own.parent,
        provenance=own.provenance,
        card=ModelCard.checked(**own.card),
        decoder=None if own.decoder is None else DecoderSpec.checked(**own.decoder),
        diameter=own.diameter,
        **more,
    )
    if own.fingerprint != model.fingerprint:
        raise InputError(
            "Its weights are not those it was saved with (the fingerprint differs). The file is "
            "damaged or was changed; copy or download it again."
        )
    return model


def members_of(
    model: TrainedModel,
    *,
    max_pixels: int = MAX_PIXELS,
    context: int = MAX_PIXELS,
    more: More | None = None,
) -> dict[str, bytes]:
    """Return the files of a package, by name.

    Parameters
    ----------
    max_pixels
        An example of more is left out.
    context
        Pixels that an example with all of the network's context may have; else it has less.
    more
        Makes further files of the raw example (C, *spatial) and what the model says of it.
    """
    if not model.state:
        raise InputError(
            f"{model.name!r} is a model of others and is kept by the file it came from. Copy that."
        )
    sides = sides_of(model, max_pixels=context)
    image = example_image(model, sides.least)
    files = {_WEIGHTS: write_state_dict(model.all_weights)}
    if image[0].size <= max_pixels:
        proba = example_output(model, image)
        files[_EXAMPLE] = written_npy(image[None])
        files["test_output.npy"] = written_npy(proba[None])
        files |= {} if more is None else more(image, proba)
    if is_self_contained(model):
        files["architecture.py"] = network_source(model).encode()
    else:
        files["environment.yaml"] = written_yaml(environment())
    if model.history:
        files[_HISTORY] = json.dumps(plain(model.history)).encode()
    files["README.md"] = readme_of(model, sides, tuple(files)).encode()
    less = lost(model, sides.least)
    content = build_description(model, files, sides=sides, dtype=image.dtype.name, lost=less)
    return {_DESCRIPTIONS[0]: written_yaml(content), **files}


def _found(content: Any, *names: str) -> Any:
    """Return what is under names within names, or None."""
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and all(
        value is None or isinstance(value, int | float | str) for value in record.values()
    )


def _unusable(why: str) -> InputError:
    return InputError(f"Its description cannot be used: {why[:200]}. Save or export it again.")


__all__ = ["MAX_BYTES", "SUFFIX", "describe", "load", "members_of", "save"]
