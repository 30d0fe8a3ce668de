"""Write a model's network as Python source for other programs, self-contained if possible."""

import ast
from importlib import resources
from typing import Any

from napari_unetseg.core.features.filter_passes import axis_sigmas
from napari_unetseg.core.model.pixel_specs import PixelSpec
from napari_unetseg.core.model.trained_model import TrainedModel

_PACKAGE = "napari_unetseg"
_MODULES: dict[str, tuple[str, ...]] = {"cnn": ("blocks", "cnn"), "unet": ("blocks", "unet")}
_CALLABLES = {"cnn": "CNN", "unet": "UNet"}
_OF_PIXELS = ("perceptron",)
_OF_THE_INPUT = {"position", "position_order"}
_SHOWING = "image_network"
_FOOTER = """

def {name}(inputs, **options):
    \"\"\"Return the network, which is shown what `ImageInputs` makes of the image.\"\"\"
    return showing({network}(**options), ImageInputs(**inputs))
"""


def is_self_contained(model: TrainedModel) -> bool:
    """Return whether the network needs only torch: not if it uses the features of another one."""
    return model.features_from is None


def network_builder(model: TrainedModel) -> tuple[str, dict[str, Any]]:
    """Return the name of the function that builds the network, and its arguments.

    The function is in `network_source` if the model is self-contained, else in `LIBRARY`.
    """
    eyes, spec = model.features_from, model.spec
    if eyes is not None:
        taken = {"n_channels": model.n_channels, "ndim": model.ndim}
        seen = {"spacing": list(model.spacing), "features_from": _sizes(eyes)}
        return "image_network", {"kind": spec.kind, **_sizes(model), **taken, **seen}
    if not _is_shown_more(model):
        return _CALLABLES[spec.kind], _convolutional(model)
    inputs = {"position": spec.position, "position_order": spec.position_order}
    if not isinstance(spec, PixelSpec):
        return _SHOWING, {"inputs": inputs, **_convolutional(model)}
    scales = [list(axis_sigmas(s, model.ndim, model.spacing)) for s in spec.scales]
    bank = {"scales": scales, "chosen": list(spec.chosen), "intensity": spec.intensity}
    one = spec.kind == "logistic"
    sizes: dict[str, Any] = {
        "n_inputs": spec.n_inputs(model.n_channels, model.ndim),
        "n_outputs": 1 if one else len(model.classes),
        "hidden": list(spec.hidden),
    }
    return _SHOWING, {"inputs": bank | inputs, **sizes}


def network_source(model: TrainedModel) -> str:
    """Return one Python file with all code of a self-contained network."""
    folder = resources.files(f"{_PACKAGE}.core.nn.networks")
    kind, more = model.spec.kind, _is_shown_more(model)
    modules, network = _MODULES.get(kind, _OF_PIXELS), _CALLABLES.get(kind, "PixelNetwork")
    names = (*modules, "image_inputs") if more else modules
    texts = [(folder / f"{name}.py").read_text("utf-8") for name in names]
    source = "\n\n".join(_without_own_imports(text) for text in texts)
    return source + (_FOOTER.format(name=_SHOWING, network=network) if more else "")


LIBRARY = f"{_PACKAGE}.core.nn.restore"
"""Module that builds the other networks."""


def _is_shown_more(model: TrainedModel) -> bool:
    """Return whether the network has inputs other than intensities."""
    return isinstance(model.spec, PixelSpec) or model.spec.position != "none"


def _convolutional(model: TrainedModel) -> dict[str, Any]:
    options = model.spec.model_dump(exclude=_OF_THE_INPUT)
    n_inputs = model.spec.n_inputs(model.n_channels, model.ndim)
    sizes = {"n_inputs": n_inputs, "n_outputs": model.n_outputs, "ndim": model.ndim}
    return sizes | options


def _sizes(model: TrainedModel) -> dict[str, Any]:
    return {"options": model.spec.model_dump(), "n_classes": model.n_outputs}


def _without_own_imports(source: str) -> str:
    """Return the source without imports from this package, whose code is in the same file."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        own = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_PACKAGE)
        if own and node.end_lineno is not None:
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(lines).strip() + "\n"


__all__ = ["LIBRARY", "is_self_contained", "network_builder", "network_source"]
