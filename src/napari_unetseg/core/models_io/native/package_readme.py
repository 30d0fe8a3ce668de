"""Write the README of a model package for the people who receive it."""

from collections.abc import Collection
from typing import Any

from napari_unetseg.core.model.pretrained_features import NAME, PRETRAINED
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.model.validation_score import describe_score, shown_dice
from napari_unetseg.core.models_io.native.example_tensors import Sides
from napari_unetseg.core.models_io.native.network_source import is_self_contained
from napari_unetseg.core.models_io.native.package_description import TOLERANCE, normalisation_fits

_SCALINGS = {
    "percentile": "percentiles {low:g} and {high:g} of each {per} are scaled to 0 and 1",
    "mean-std": "each {per} is scaled to mean 0 and standard deviation 1",
    "none": "intensities are used as they are",
}


def readme_text(model: TrainedModel, sides: Sides, files: Collection[str]) -> str:
    """Write the README, in Markdown.

    Parameters
    ----------
    files
        Names of the other files in the package.
    """
    parts = [
        f"# {model.name}",
        model.card.description,
        "## What it does",
        _table(_facts(model)),
        "## How it was trained",
        _table(_training(model)) or "The training is not documented.",
        "## Validation",
        _validation(model),
        "## For other programs",
        _notes(model, sides, files),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(model: TrainedModel) -> dict[str, Any]:
    scaling = _SCALINGS[model.normalisation.method].format(**model.normalisation.model_dump())
    size = " x ".join(f"{step:g}" for step in model.spacing)
    written = ", ".join(f"{v} = {c}" for v, c in zip(model.values, model.classes, strict=True))
    separated = {} if model.decoder is None else {"Objects separated by": model.decoder.decoding}
    size_of = {"Diameter of the objects": f"{model.diameter:.3g} pixels"} if model.diameter else {}
    return {
        "Model": f"{model.spec.kind}, {model.ndim}D, {model.n_parameters} weights",
        "Classes and their label values": written,
        **separated,
        **size_of,
        "Channels": ", ".join(model.channel_names) or model.n_channels,
        "Pixel size": f"{size} {model.unit}",
        "Normalisation": scaling,
        **_features(model),
        "Trained on": model.labels_are,
        "Licence": model.card.licence or "not stated: ask the authors",
        "Authors": model.card.authors or "not stated",
    }


def _features(model: TrainedModel) -> dict[str, Any]:
    feature_model = model.features_from
    if model.network_features is PRETRAINED:
        bank = " and a filter bank" if getattr(model.spec, "uses_bank", False) else ""
        return {
            "Inputs": f"frozen features of {NAME}, pretrained on photographs, which come with "
            f"napari-unetseg{bank}"
        }
    if model.spec.known_weights():
        return {"Encoder": f"began with {NAME}, pretrained on photographs (Apache-2.0)"}
    if feature_model is None:
        return {}
    bank = " and a filter bank" if getattr(model.spec, "features", "") == "both" else ""
    terms = feature_model.card.licence or "licence not stated"
    return {
        "Inputs": f"frozen features of the UNet {feature_model.name!r} ({terms}), included{bank}"
    }


def _training(model: TrainedModel) -> dict[str, Any]:
    fields = {str(key): value for key, value in model.provenance.items()}
    steps = {"steps": len(model.history)} if model.history else {}
    return fields | steps | ({"started from": model.parent} if model.parent else {})


def _validation(model: TrainedModel) -> str:
    if not model.scores:
        return (
            "There was no validation set. Annotate images that the model was not trained on and "
            "compare: `napari-unetseg evaluate PREDICTIONS TRUTH`."
        )
    table = "" if shown_dice(model.scores) is None else f"{_table(dict(model.scores))}\n\n"
    return (
        f"{describe_score(model.scores)} These labels were not used for training, except to choose "
        "the best of several validations where that is mentioned.\n\n"
        f"{table}"
        "To evaluate it on other images: `napari-unetseg evaluate PREDICTIONS TRUTH`."
    )


def _notes(model: TrainedModel, sides: Sides, files: Collection[str]) -> str:
    notes = [
        "`weights.pt` is a PyTorch state dict; `rdf.yaml` describes how to use it (bioimage.io "
        f"0.5). The example's output is reproduced within {TOLERANCE:g}.",
        "Compute percentiles, means and standard deviations from the whole image, never from a "
        "tile.",
    ]
    others = [name for name in ("weights.torchscript", "weights.onnx") if name in files]
    if others:
        same = " and ".join(f"`{name}`" for name in others)
        notes.append(f"{same}: the same network, converted from the state dict.")
    if model.decoder is not None:
        notes.append(
            "Objects come from a seeded watershed on the object map, which the format cannot "
            "express: `config.unetseg` names the decoder. In other programs, start with a "
            "threshold of 0.5."
        )
    if not is_self_contained(model):
        notes.append("The network needs napari-unetseg to compute its inputs.")
    if model.spec.position != "none":
        notes.append("It uses the pixel's position in the image: give it whole images, not blocks.")
    if sides.reduced:
        exact = " x ".join(map(str, model.halo))
        notes.append(
            f"Its halo is {exact} pixels; the one given in `rdf.yaml` is smaller, to keep blocks "
            "small."
        )
    if not normalisation_fits(model.normalisation):
        notes.append("The format cannot express its normalisation: normalise images yourself.")
    return "\n".join(f"- {note}" for note in notes)


def _table(facts: dict[str, Any]) -> str:
    if not facts:
        return ""
    rows = [f"| {_cell(key)} | {_cell(value)} |" for key, value in facts.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{key}={inner}" for key, inner in value.items())
    if isinstance(value, float):
        value = f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


__all__ = ["readme_text"]
