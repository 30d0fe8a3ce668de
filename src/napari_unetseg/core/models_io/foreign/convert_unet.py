"""Convert state dicts of foreign UNets to our own UNet with the same arithmetic.

A converted model can be fine-tuned and saved like any model that was trained here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.trained_model import ModelCard, TrainedModel
from napari_unetseg.core.models_io.foreign.engines import layout_engine
from napari_unetseg.core.models_io.foreign.foreign_description import Description, Tensor
from napari_unetseg.core.models_io.foreign.foreign_model import ForeignModel
from napari_unetseg.core.models_io.foreign.model_test import (
    ModelExample,
    ModelTestResult,
    compare_outputs,
    run_example,
)
from napari_unetseg.core.models_io.foreign.unet_layouts import First, UNetLayout, match_layout
from napari_unetseg.core.models_io.native.state_dict import read_state_dict
from napari_unetseg.core.normalisation import NormalisationSpec


def find_proven_layout(
    layout: UNetLayout,
    data: bytes,
    description: Description,
    number: int,
    example: ModelExample | None,
) -> UNetLayout:
    """Return the layout that reproduces the package's example.

    Raises
    ------
    InputError
        When no layout does.
    """
    if example is None:
        return layout
    trials: list[ModelTestResult] = []
    orders: tuple[First, ...] = (
        layout.first,
        "lower" if layout.first == "shortcut" else "shortcut",
    )
    for first in orders:
        tried = match_layout(read_state_dict(data), first=first)
        engine = layout_engine(tried, "cpu")
        output = run_example(example, description, number, engine)
        trials.append(compare_outputs(output, example.expected, description))
        if trials[-1].passed:
            return tried
    raise InputError(
        "Its state dict has the shapes of a usual UNet, but as one it does not reproduce the "
        f"package's example ({trials[0].summary})"
    )


def convert_bare_weights(layout: UNetLayout, name: str, scaling: NormalisationSpec) -> TrainedModel:
    """Convert a bare state dict to our model; a single output becomes foreground."""
    n = layout.n_outputs
    single = n == 1
    return TrainedModel(
        name=name,
        spec=layout.spec,
        classes=("background", *(f"class {k}" for k in range(1, max(n, 2)))),
        values=tuple(range(max(n, 2))),
        labels_are="mask",
        n_channels=layout.n_channels,
        ndim=layout.ndim,
        state=_two_outputs(layout.state) if single else layout.state,
        normalisation=scaling,
        provenance={"imported from": name},
    )


def convert_model(model: ForeignModel, layout: UNetLayout) -> TrainedModel | None:
    """Convert a foreign UNet to ours, which can be fine-tuned; None if it cannot be expressed.

    Our models have one intensity scaling, and classes by a softmax or objects by sigmoids.
    """
    scaling = _convert_scaling(model.image)
    shape = _convert_classes(model, layout)
    if scaling is None or shape is None:
        return None
    return TrainedModel(
        name=model.name,
        spec=layout.spec,
        n_channels=layout.n_channels,
        ndim=layout.ndim,
        normalisation=scaling,
        channel_names=model.channel_names,
        spacing=model.spacing,
        unit=model.unit,
        provenance={"imported from": Path(model.source).name, "weights": model.digest},
        card=_card(model.description),
        **shape,
    )


def _card(description: Description) -> ModelCard:
    """Convert a description to our model card."""
    licence = description.licence if len(description.licence) <= 64 else ""
    try:
        return ModelCard.checked(
            description=description.text,
            authors=", ".join(name.replace(",", " ") for name in description.authors),
            licence=licence,
        )
    except InputError:
        return ModelCard(description=description.text)


def _convert_scaling(image: Tensor) -> NormalisationSpec | None:
    steps = [step for step in image.steps if step.name != "ensure_dtype"]
    if not steps:
        return NormalisationSpec(method="none")
    if len(steps) > 1 or steps[0].name not in ("zero_mean_unit_variance", "scale_range"):
        return None
    options = steps[0].options
    axes = options.get("axes")
    if options.get("reference_tensor") is not None:
        return None
    per: Any = "image" if axes is None or "channel" in axes else "channel"
    per = "channel" if image.n_channels == 1 else per
    if steps[0].name == "zero_mean_unit_variance":
        return NormalisationSpec(method="mean-std", per=per)
    low, high = options.get("min_percentile", 0.0), options.get("max_percentile", 100.0)
    return NormalisationSpec.checked(low=low, high=high, per=per)


def _convert_classes(model: ForeignModel, layout: UNetLayout) -> dict[str, Any] | None:
    head, steps = model.head, {step.name for step in model.result.steps}
    if not steps <= {"sigmoid", "softmax", "ensure_dtype"}:
        return None
    if head.squash == "none" and not steps & {"sigmoid", "softmax"}:
        return None
    common = {"classes": head.classes, "values": head.values}
    if head.meaning == "shares":
        return {**common, "labels_are": "mask", "state": layout.state}
    if head.meaning == "objects" and head.classes[1] == head.names[0]:
        return {**common, "labels_are": "objects", "state": layout.state, "decoder": head.decoder}
    if head.meaning == "foreground":
        return {**common, "labels_are": "mask", "state": _two_outputs(layout.state)}
    return None


def _two_outputs(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights with a background output of score 0 before the foreground output."""
    doubled = {
        name: np.concatenate([np.zeros_like(state[name]), state[name]])
        for name in ("head.0.weight", "head.0.bias")
    }
    return {**state, **doubled}


__all__ = ["convert_bare_weights", "convert_model", "find_proven_layout"]
