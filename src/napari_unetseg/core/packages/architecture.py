"""The network of a model as Python that others can run, without this program where possible."""

import ast
from importlib import resources
from typing import Any

from napari_unetseg.core.models import ConvolutionalSpec
from napari_unetseg.core.trained import TrainedModel

_PACKAGE = "napari_unetseg"
_MODULES = {"cnn": ("blocks", "cnn"), "unet": ("blocks", "unet")}
_CALLABLES = {"cnn": "CNN", "unet": "UNet"}
_OF_THE_INPUT = {"position", "position_order"}


def is_self_contained(model: TrainedModel) -> bool:
    """Whether the network needs torch alone: it is one of convolutions and sees intensity only."""
    return isinstance(model.spec, ConvolutionalSpec) and model.spec.position == "none"


def callable_of(model: TrainedModel) -> tuple[str, dict[str, Any]]:
    """Return the name of what builds the network, and what to call it with.

    It is found in `source_of` where the model is self-contained, else in `LIBRARY`.
    """
    if is_self_contained(model):
        options = model.spec.model_dump(exclude=_OF_THE_INPUT)
        sizes = {"n_inputs": model.n_channels, "n_outputs": model.n_outputs, "ndim": model.ndim}
        return _CALLABLES[model.spec.kind], sizes | options
    eyes = model.features_from
    seen = {} if eyes is None else {"features_from": _sizes(eyes)}
    return "image_network", {
        "kind": model.spec.kind,
        **_sizes(model),
        "n_channels": model.n_channels,
        "ndim": model.ndim,
        "spacing": list(model.spacing),
        **seen,
    }


def _sizes(model: TrainedModel) -> dict[str, Any]:
    return {"options": model.spec.model_dump(), "n_classes": model.n_outputs}


def source_of(model: TrainedModel) -> str:
    """Return one file of Python with all that a self-contained network is made of."""
    folder = resources.files(f"{_PACKAGE}.core.nn")
    texts = [(folder / f"{name}.py").read_text("utf-8") for name in _MODULES[model.spec.kind]]
    return "\n\n".join(_without_own_imports(text) for text in texts)


LIBRARY = f"{_PACKAGE}.core.nn.restore"
"""Where the other networks are built."""


def _without_own_imports(source: str) -> str:
    """Return the source without its imports from this package, which are in the same file."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        own = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_PACKAGE)
        if own and node.end_lineno is not None:
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(lines).strip() + "\n"


__all__ = ["LIBRARY", "callable_of", "is_self_contained", "source_of"]
