"""Describe a model in the bioimage.io format, version 0.5.

Fields that the format does not have go under ``config: unetseg``, which is all that this program
reads back; everything else is for other programs.
"""

import hashlib
import importlib.metadata
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_unetseg.core.model.pretrained_features import NAME, PRETRAINED, SHA256
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native.example_tensors import Sides
from napari_unetseg.core.models_io.native.network_source import (
    LIBRARY,
    is_self_contained,
    network_builder,
)
from napari_unetseg.core.normalisation import NormalisationSpec
from napari_unetseg.core.units import long_name_of

FORMAT_VERSION = "0.5.5"
"""The oldest version that has the softmax."""

VERSION = 1
"""Version of ``config: unetseg``; increased when an older program could not read it."""

TOLERANCE = 1e-3
"""Tolerance of the example's output on other machines, relative and absolute."""

OPSET = 17
"""Opset of ONNX weights, one that most programs read."""

_PROGRAM = "napari-unetseg"
_FLOAT32 = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
_UNET_PAPER = {
    "text": "Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image "
    "Segmentation. MICCAI 2015.",
    "doi": "10.1007/978-3-319-24574-4_28",
}
_EPSILON = 1e-12


def build_description(
    model: TrainedModel,
    files: dict[str, bytes],
    *,
    sides: Sides,
    dtype: str,
    lost: Sequence[int],
) -> dict[str, Any]:
    """Build the description of a model, as plain data.

    Parameters
    ----------
    files
        The other files of the package: at least ``weights.pt`` and ``README.md``, and any of
        ``architecture.py``, ``environment.yaml``, ``history.json``, ``test_input.npy``,
        ``test_output.npy``, ``weights.torchscript``, ``weights.onnx`` and ``cover.png``.
    sides
        The image sizes that the model takes.
    dtype
        Data type of a raw image.
    lost
        Difference in size between image and result, in pixels per axis.
    """

    def linked(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashlib.sha256(files[name]).hexdigest()}

    def tested(tensor: dict[str, Any], name: str) -> dict[str, Any]:
        return tensor | ({"test_tensor": linked(name)} if name in files else {})

    card = model.card
    content = {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "name": _format_name(model.name),
        "description": card.description or _summary(model),
        "authors": [{"name": name.replace("/", "-")} for name in card.author_names],
        "license": card.licence or None,
        "cite": [_UNET_PAPER] if model.spec.kind == "unet" else [],
        "tags": ["segmentation", "napari", _PROGRAM, model.spec.kind, f"{model.ndim}d"],
        "timestamp": plain(model.provenance.get("date")),
        "documentation": linked("README.md"),
        "covers": ["cover.png"] if "cover.png" in files else [],
        "attachments": [linked("history.json")] if "history.json" in files else [],
        "inputs": [tested(_input(model, sides, dtype), "test_input.npy")],
        "outputs": [tested(_output(model, sides, lost), "test_output.npy")],
        "weights": {
            "pytorch_state_dict": _weights(model, linked, files),
            **_converted(model, linked, files),
        },
        "config": {
            "bioimageio": {
                "architecture_type": f"{model.ndim}D {model.spec.kind}",
                "model_parameter_count": model.n_parameters,
                "reproducibility_tolerance": [
                    {
                        "output_ids": ["probabilities"],
                        "relative_tolerance": TOLERANCE,
                        "absolute_tolerance": TOLERANCE,
                    }
                ],
            },
            "unetseg": with_digest(own_fields(model)),
        },
    }
    return {key: value for key, value in content.items() if value not in (None, [])}


def own_fields(model: TrainedModel) -> dict[str, Any]:
    """Return the fields of a model except weights, history and example, as plain data."""
    program = importlib.metadata.version(_PROGRAM)
    feature_model = model.features_from
    source: dict[str, Any] = {}
    if feature_model is not None:
        source = {"features_from": _own_fields(feature_model)}
    elif model.network_features is PRETRAINED:
        source = {"pretrained": {"name": NAME, "sha256": SHA256}}
    return {"version": VERSION, "program": program, **_own_fields(model), **source}


def _own_fields(model: TrainedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "kind": model.spec.kind,
        "options": model.spec.model_dump(),
        "classes": list(model.classes),
        "values": list(model.values),
        "labels_are": model.labels_are,
        "n_channels": model.n_channels,
        "ndim": model.ndim,
        "channel_names": list(model.channel_names),
        "rgb": model.rgb,
        "spacing": list(model.spacing),
        "unit": model.unit,
        "normalisation": model.normalisation.model_dump(),
        "scores": plain(model.scores),
        "parent": model.parent,
        "fingerprint": model.fingerprint,
        "provenance": plain(model.provenance),
        "card": model.card.model_dump(),
        **({} if model.decoder is None else {"decoder": model.decoder.model_dump()}),
        **({"decoding": model.chosen_decoding} if model.chosen_decoding else {}),
        **({"diameter": model.diameter} if model.diameter else {}),
    }


def with_digest(own: dict[str, Any]) -> dict[str, Any]:
    """Add the digest of our own fields, which reveals changes."""
    return own | {"digest": own_digest(own)}


def own_digest(own: dict[str, Any]) -> str:
    """Return the SHA-256 of our own fields, without the digest among them."""
    content = {key: value for key, value in own.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def plain(value: Any) -> Any:
    """Convert a value to JSON and YAML types: numpy numbers to Python's, NaN to None."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def normalisation_fits(spec: NormalisationSpec) -> bool:
    """Return whether the format can express a normalisation."""
    return spec.method != "percentile" or spec.high > 1


def _input(model: TrainedModel, sides: Sides, dtype: str) -> dict[str, Any]:
    names = model.channel_names or [f"channel {k}" for k in range(model.n_channels)]
    space = [
        axis | {"size": {"min": least, "step": step}}
        for axis, least, step in zip(_space(model), sides.least, sides.step, strict=True)
    ]
    return {
        "id": "image",
        "description": "the image as recorded",
        "axes": [_BATCH, _channels(names), *space],
        "data": {"type": dtype},
        "preprocessing": _preprocessing(model),
    }


def _output(model: TrainedModel, sides: Sides, lost: Sequence[int]) -> dict[str, Any]:
    single = model.spec.kind == "logistic" or model.decoder is not None
    maps = () if model.decoder is None else model.decoder.names
    names = (*(model.classes[1:] if single else model.classes), *maps)
    space = []
    for axis, halo, less in zip(_space(model), sides.halo, lost, strict=True):
        size: dict[str, Any] = {"tensor_id": "image", "axis_id": axis["id"]}
        size |= {"offset": -less} if less else {}
        space.append(axis | {"size": size} | ({"halo": halo} if halo else {}))
    squashed = {"id": "sigmoid"} if single else {"id": "softmax", "kwargs": {"axis": "channel"}}
    return {
        "id": "probabilities",
        "description": _output_description(model),
        "axes": [_BATCH, _channels(names), *space],
        "data": {"type": "float32", "range": [0.0, 1.0]},
        "postprocessing": [squashed],
    }


def _output_description(model: TrainedModel) -> str:
    if model.decoder is None:
        return "probability of each class in each pixel"
    return f"probability that a pixel belongs to an object, and {_MAPS[model.decoder.decoding]}"


_MAPS = {
    "distance": "its distance to the object's edge, relative to the largest distance in the object",
    "boundary": "the probability that it belongs to an object's boundary",
}
_BATCH = {"type": "batch"}


def _channels(names: Sequence[str]) -> dict[str, Any]:
    return {"type": "channel", "channel_names": _identifiers(names)}


def _space(model: TrainedModel) -> list[dict[str, Any]]:
    unit = long_name_of(model.unit)
    units = {"unit": unit} if unit else {}
    return [
        {"type": "space", "id": axis, "scale": exact_scale(step), **units}
        for axis, step in zip("zyx"[-model.ndim :], model.spacing, strict=True)
    ]


def exact_scale(step: float) -> float:
    """Round a pixel size so that sizes computed with it stay exact.

    The format computes the size of a result as the image's times its scale divided by the scale.
    With 0.35, 104 pixels become 104.00000000000001; with half the digits the result is exact. The
    relative error is below 1e-7.
    """
    return float(np.float32(step))


def _preprocessing(model: TrainedModel) -> list[dict[str, Any]]:
    spec = model.normalisation
    axes = [*(["channel"] if spec.per == "image" else []), *"zyx"[-model.ndim :]]
    if spec.method == "none" or not normalisation_fits(spec):
        return [_FLOAT32]
    if spec.method == "mean-std":
        step = {"id": "zero_mean_unit_variance", "kwargs": {"axes": axes, "eps": _EPSILON}}
    else:
        shares = {"min_percentile": spec.low, "max_percentile": spec.high}
        step = {"id": "scale_range", "kwargs": {"axes": axes, **shares, "eps": _EPSILON}}
    return [_FLOAT32, step, _FLOAT32]


def _weights(model: TrainedModel, linked: Any, files: dict[str, bytes]) -> dict[str, Any]:
    name, options = network_builder(model)
    source = linked("architecture.py") if is_self_contained(model) else {"import_from": LIBRARY}
    entry = {
        **linked("weights.pt"),
        "pytorch_version": _torch_version(model),
        "architecture": {**source, "callable": name, "kwargs": options},
    }
    if "environment.yaml" in files:
        entry["dependencies"] = linked("environment.yaml")
    return entry


def _converted(model: TrainedModel, linked: Any, files: dict[str, bytes]) -> dict[str, Any]:
    """Describe the weights in other formats, converted from the state dict."""
    # The installed torch converts the weights, whichever version trained the model.
    torch = importlib.metadata.version("torch").split("+")[0]
    formats: dict[str, dict[str, Any]] = {
        "torchscript": {"pytorch_version": torch},
        "onnx": {"opset_version": OPSET},
    }
    entries = {}
    for name, more in formats.items():
        if f"weights.{name}" in files:
            parent = {"parent": "pytorch_state_dict"}
            entries[name] = {**linked(f"weights.{name}"), **parent, **more}
    return entries


def environment() -> dict[str, Any]:
    """Return the conda environment for a network that is not self-contained."""
    own = f"{_PROGRAM}[torch]>={importlib.metadata.version(_PROGRAM)}"
    return {
        "channels": ["conda-forge"],
        "dependencies": ["python>=3.11", "pytorch", "pip", {"pip": [own]}],
    }


def _torch_version(model: TrainedModel) -> str:
    versions = model.provenance.get("versions", {})
    trained_with = versions.get("torch") if isinstance(versions, dict) else None
    return str(trained_with or importlib.metadata.version("torch")).split("+")[0]


def _summary(model: TrainedModel) -> str:
    what = "stacks" if model.ndim == 3 else "planes"
    return (
        f"A {model.spec.kind} model that segments {', '.join(model.classes)} in {what} of "
        f"{model.n_channels} channel(s), trained with {_PROGRAM}."
    )[:1000]


def _format_name(name: str) -> str:
    """Convert a name to one that the format allows: 5 to 128 of certain characters."""
    plain = re.sub(r"[^A-Za-z0-9_\- ()]+", "-", name).strip(" -")[:128]
    return plain if len(plain) >= 5 else f"{plain} model".strip()


def _identifiers(names: Sequence[str]) -> list[str]:
    """Convert names to channel names that the format allows: unique identifiers."""
    identifiers: list[str] = []
    for k, name in enumerate(names):
        plain = re.sub(r"\W+", "_", name).strip("_") or f"channel_{k}"
        plain = plain if plain.isidentifier() else f"_{plain}"
        identifiers.append(plain if plain not in identifiers else f"{plain}_{k}")
    return identifiers


__all__ = [
    "FORMAT_VERSION",
    "OPSET",
    "TOLERANCE",
    "VERSION",
    "build_description",
    "environment",
    "exact_scale",
    "normalisation_fits",
    "own_digest",
    "own_fields",
    "plain",
    "with_digest",
]
