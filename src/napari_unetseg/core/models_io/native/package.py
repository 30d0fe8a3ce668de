"""Save and load models as bioimage.io packages: one zip, from which no code is ever run.

::

    rdf.yaml            the bioimage.io description, with our own fields under config
    weights.pt          PyTorch state dict; includes that of the UNet whose features are used
    architecture.py     the network for others; written, and never read here
    test_input.npy      an example, and
    test_output.npy     the model's output for it
    history.json        the training steps
    README.md           a summary to read
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

from napari_unetseg.core.atomic_files import writing
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.open_segmenter import check_weights
from napari_unetseg.core.model.pretrained_features import NAME, PRETRAINED, SHA256
from napari_unetseg.core.model.registry import saved_spec
from napari_unetseg.core.model.trained_model import FEATURES_FROM, ModelCard, TrainedModel
from napari_unetseg.core.models_io.native.example_tensors import (
    MAX_PIXELS,
    example_image,
    example_output,
    input_sides,
    lost_pixels,
)
from napari_unetseg.core.models_io.native.model_files import (
    DESCRIPTIONS,
    MAX_BYTES,
    ModelFiles,
    model_bytes,
    open_model_files,
    read_description,
)
from napari_unetseg.core.models_io.native.network_source import is_self_contained, network_source
from napari_unetseg.core.models_io.native.npy_arrays import npy_bytes, read_npy
from napari_unetseg.core.models_io.native.package_description import (
    VERSION,
    build_description,
    environment,
    own_digest,
    plain,
)
from napari_unetseg.core.models_io.native.package_readme import readme_text
from napari_unetseg.core.models_io.native.plain_yaml import yaml_bytes
from napari_unetseg.core.models_io.native.state_dict import MAX_BYTES as MAX_WEIGHTS
from napari_unetseg.core.models_io.native.state_dict import read_state_dict, write_state_dict
from napari_unetseg.core.models_io.native.zip_archive import zip_bytes
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.decoders import DecoderSpec

PathLike = str | os.PathLike[str]
More = Callable[[NDArray[Any], NDArray[np.float32]], dict[str, bytes]]

SUFFIX = ".zip"

_MAX_HISTORY = 2**26
_MAX_EXAMPLE = 2**28
_WEIGHTS = "weights.pt"
_EXAMPLE = "test_input.npy"
_HISTORY = "history.json"

_Name = Field(max_length=1000)
_Count = Field(ge=1, le=4096)

_SMALL_EXAMPLE = 2**16
"""Maximum pixels of the example in a small file."""


class _OwnFields(BaseModel):
    """Validate types and limits of the own fields of a description; the model checks the rest."""

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
    decoding: dict[str, bool | int | float | str] = Field(default_factory=dict)
    diameter: float = Field(0.0, ge=0, le=1e6)


class _OwnConfig(_OwnFields):
    """Validate ``config: unetseg``, with the fields of the UNet whose features are used."""

    features_from: _OwnFields | None = None
    pretrained: dict[str, str] | None = None


def save(model: TrainedModel, path: PathLike, *, small: bool = False) -> None:
    """Save a model. Imports torch to compute the example.

    Parameters
    ----------
    path
        A name ending in ``.zip``. An existing file is replaced atomically, or stays if saving
        fails.
    small
        Keep the file small: a network with a large receptive field gets a smaller example, and its
        description states a smaller overlap of tiles for other programs.

    Raises
    ------
    InputError
        When the name has another suffix, the file cannot be written, or would not open again.

    Notes
    -----
    The same model gives the same bytes. Saving takes as long as predicting one block.
    """
    if Path(path).suffix.lower() != SUFFIX:
        raise InputError(f"The model file {path} must end in {SUFFIX}.")
    data = zip_bytes(package_files(model, context=_SMALL_EXAMPLE if small else MAX_PIXELS))
    write_package_file(path, data)


def write_package_file(path: PathLike, data: bytes) -> None:
    """Write the bytes of a model file, and replace an existing one only if they open.

    Raises
    ------
    InputError
        When the file cannot be written, or would not open again.
    """
    with writing(path) as draft:
        draft.write_bytes(data)
        try:
            load(draft, check=False)
        except InputError as error:
            raise InputError(
                f"The model was not saved as {path}, for it would not open again: {error}"
            ) from error


def load(
    path: PathLike, *, check: bool = True, content: dict[str, Any] | None = None
) -> TrainedModel:
    """Load a model, without executing code: the weights are read as numbers, the rest as text.

    Parameters
    ----------
    check
        Whether to check every weight against the network, which imports torch. Predicting checks
        them again.
    content
        The description, if it is read already.

    Raises
    ------
    InputError
        When the file is missing, damaged, harmful or not a model of this program, or torch is
        missing.
    """
    with _opened(path, content) as package:
        own, weights = package.own(), package.weights()
        model = _build_model(own, weights, package.history(), package.example())
    if check:
        check_weights(model)
    return model


def describe(path: PathLike, content: dict[str, Any] | None = None) -> dict[str, Any]:
    """Describe a model file, as plain data to display. Needs no torch.

    Raises
    ------
    InputError
        As `load`; whether the weights fit the network is not checked.
    """
    with _opened(path, content) as package:
        own = package.own()
        model = _build_model(own, package.weights(), package.history(), None)
    return {
        "name": model.name,
        "model": model.spec.kind,
        "classes": dict(zip(model.values, model.classes, strict=True)),
        "trained on": model.labels_are,
        "separates objects by": "" if model.decoder is None else model.decoder.decoding,
        "objects are made with": model.chosen_decoding,
        "diameter of the objects": f"{model.diameter:.3g} pixels" if model.diameter else "",
        "channels": list(model.channel_names) or model.n_channels,
        "axes": "YX" if model.ndim == 2 else "ZYX",
        "pixel size": {"spacing": list(model.spacing), "unit": model.unit},
        "weights": model.n_parameters,
        "halo": list(model.halo),
        "multiple": list(model.multiple),
        "normalisation": model.normalisation.model_dump(),
        "options": model.spec.model_dump(),
        **_describe_features(model),
        "scores": dict(model.scores),
        "training": {"steps": len(model.history), **model.provenance},
        "parent": model.parent,
        "fingerprint": model.fingerprint,
        "card": model.card.model_dump(),
        "bytes": model_bytes(Path(path)),
    }


def _describe_features(model: TrainedModel) -> dict[str, Any]:
    """Describe the UNet whose features a model uses."""
    feature_model = model.features_from
    if model.network_features is PRETRAINED:
        return {"features from": {"name": NAME, "sha256": SHA256}}
    if feature_model is None:
        return {}
    summary = {
        "name": feature_model.name,
        "classes": list(feature_model.classes),
        "weights": feature_model.n_parameters,
    }
    card = feature_model.card.model_dump()
    return {"features from": {**summary, "fingerprint": feature_model.fingerprint, "card": card}}


class _Package:
    """Read the parts of an open model file on demand, checked by their hash."""

    def __init__(self, archive: ModelFiles, content: dict[str, Any] | None) -> None:
        self._archive = archive
        self._content = read_description(archive) if content is None else content

    def own(self) -> _OwnConfig:
        """Read the fields that this program wrote about the model."""
        own = _nested(self._content, "config", "unetseg")
        if not isinstance(own, dict):
            raise InputError(
                "The package is not a model of napari-unetseg: its description has no config for "
                "it. Choose a model that was saved by this program."
            )
        version = own.get("version")
        if version != VERSION or isinstance(version, bool):
            raise InputError(
                f"The model was saved in version {str(version)[:20]!r} of the format, and this "
                f"program reads version {VERSION}. Update napari-unetseg."
            )
        try:
            checked = _OwnConfig.model_validate(own)
            digest = own_digest(own)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise _unusable(f"{field}: {first['msg'].lower()}") from error
        except TypeError as error:
            raise _unusable("names of several kinds") from error
        if digest != own.get("digest"):
            raise InputError(
                "Its description was damaged or changed after saving (the digest differs). Copy or "
                "download it again."
            )
        return checked

    def weights(self) -> dict[str, NDArray[Any]]:
        """Read the weights."""
        entry = _nested(self._content, "weights", "pytorch_state_dict")
        return read_state_dict(self._linked(entry, _WEIGHTS, MAX_WEIGHTS), self._archive.budget)

    def history(self) -> list[dict[str, Any]]:
        """Read the records of the training steps."""
        if _HISTORY not in self._archive.names:
            return []
        entries = self._content.get("attachments")
        entries = entries if isinstance(entries, list) else []
        entry = next((e for e in entries if _nested(e, "source") == _HISTORY), None)
        raw = self._linked(entry, _HISTORY, _MAX_HISTORY)
        try:
            records = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise _unusable(f"{_HISTORY} is not JSON") from error
        if not isinstance(records, list) or not all(map(_is_record, records)):
            raise _unusable(f"{_HISTORY} is not a list of records")
        return records

    def example(self) -> NDArray[Any] | None:
        """Read the raw example image, (C, *spatial)."""
        if _EXAMPLE not in self._archive.names:
            return None
        inputs = self._content.get("inputs")
        entry = inputs[0] if isinstance(inputs, list) and inputs else None
        raw = self._linked(_nested(entry, "test_tensor"), _EXAMPLE, _MAX_EXAMPLE)
        image = read_npy(raw, "The model's example")
        if image.ndim < 4 or len(image) != 1:
            raise _unusable(f"{_EXAMPLE} is not an image")
        first: NDArray[Any] = image[0]
        return first

    def _linked(self, entry: Any, name: str, limit: int) -> bytes:
        """Read a member that an entry of the description links, and check its hash."""
        if _nested(entry, "source") != name:
            raise _unusable(f"it does not link {name}")
        data = self._archive.read(name, limit)
        if _nested(entry, "sha256") != hashlib.sha256(data).hexdigest():
            raise InputError(
                f"{name} does not match the model's description (its SHA-256 differs). The file "
                "is damaged or was changed; copy or download it again."
            )
        return data


@contextmanager
def _opened(path: PathLike, content: dict[str, Any] | None = None) -> Iterator[_Package]:
    """Open a model file, whose description may be read already."""
    with open_model_files(Path(path)) as files:
        yield _Package(files, content)


def _build_model(
    own: _OwnConfig,
    weights: dict[str, NDArray[Any]],
    history: list[dict[str, Any]],
    example: NDArray[Any] | None,
) -> TrainedModel:
    if own.pretrained is not None and own.pretrained.get("sha256") != SHA256:
        raise InputError(
            f"The model uses the features of {own.pretrained.get('name', 'a network')!r} with "
            f"other weights than those of the {NAME} that come with this version of "
            "napari-unetseg. Open it in the version that saved it, or train it again."
        )
    if own.features_from is None:
        return _checked_model(own, weights, history=history, example=example)
    feature_weights = {
        name: array for name, array in weights.items() if name.startswith(FEATURES_FROM)
    }
    feature_model = _checked_model(
        own.features_from,
        {name.removeprefix(FEATURES_FROM): array for name, array in feature_weights.items()},
    )
    own_weights = {name: array for name, array in weights.items() if name not in feature_weights}
    return _checked_model(
        own, own_weights, history=history, example=example, features_from=feature_model
    )


def _checked_model(own: _OwnFields, state: dict[str, NDArray[Any]], **more: Any) -> TrainedModel:
    """Build a model and check its fingerprint against the saved one."""
    model = TrainedModel(
        name=own.name,
        spec=saved_spec(own.kind, own.options),
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
        **_object_options(own),
        diameter=own.diameter,
        **more,
    )
    if own.fingerprint != model.fingerprint:
        raise InputError(
            "Its weights differ from those that were saved (by the fingerprint). The file is "
            "damaged or was changed; copy or download it again."
        )
    return model


def _object_options(own: _OwnFields) -> dict[str, Any]:
    """Return the decoder and the decoding; the waist of older files is beside their decoder."""
    decoder = dict(own.decoder or {})
    waist = {"split_depth": decoder.pop("split_depth")} if "split_depth" in decoder else {}
    return {
        "decoder": None if own.decoder is None else DecoderSpec.checked(**decoder),
        "decoding": DecodeOptions.checked(**waist | own.decoding),
    }


def package_files(
    model: TrainedModel,
    *,
    max_pixels: int = MAX_PIXELS,
    context: int = MAX_PIXELS,
    more: More | None = None,
) -> dict[str, bytes]:
    """Make the files of a package, by name.

    Parameters
    ----------
    max_pixels
        Maximum pixels of an example; a larger one is left out.
    context
        Maximum pixels of an example with the network's whole halo; beyond, the halo is reduced.
    more
        Makes further files from the raw example (C, *spatial) and the model's output.
    """
    if not model.state:
        raise InputError(
            f"{model.name!r} is a model from another program. Copy the file it came from instead."
        )
    sides = input_sides(model, max_pixels=context)
    image = example_image(model, sides.least)
    files = {_WEIGHTS: write_state_dict(model.all_weights)}
    if image[0].size <= max_pixels:
        proba = example_output(model, image)
        files[_EXAMPLE] = npy_bytes(image[None])
        files["test_output.npy"] = npy_bytes(proba[None])
        files |= {} if more is None else more(image, proba)
    if is_self_contained(model):
        files["architecture.py"] = network_source(model).encode()
    else:
        files["environment.yaml"] = yaml_bytes(environment())
    if model.history:
        files[_HISTORY] = json.dumps(plain(model.history)).encode()
    files["README.md"] = readme_text(model, sides, tuple(files)).encode()
    missing = lost_pixels(model, sides.least)
    content = build_description(model, files, sides=sides, dtype=image.dtype.name, lost=missing)
    return {DESCRIPTIONS[0]: yaml_bytes(content), **files}


def _nested(content: Any, *names: str) -> Any:
    """Return the value under nested names, or None."""
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and all(
        value is None or isinstance(value, int | float | str) for value in record.values()
    )


def _unusable(why: str) -> InputError:
    return InputError(f"Its description cannot be used: {why[:200]}. Save or export it again.")


__all__ = ["MAX_BYTES", "SUFFIX", "describe", "load", "package_files", "save", "write_package_file"]
