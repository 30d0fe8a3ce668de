"""Write a model's network as Python source for other programs, self-contained if possible."""

import ast
from importlib.util import find_spec
from typing import Any

from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.core.model.trained_model import TrainedModel

_PACKAGE = "napari_unetseg"
_INPUTS = f"{_PACKAGE}.core.nn.networks.image_inputs"
_SHOWING = "image_network"
_FOOTER = """

def {name}(inputs, **options):
    \"\"\"Return the network, which is shown what `ImageInputs` makes of the image.\"\"\"
    return showing({network}(**options), ImageInputs(**inputs))
"""


def is_self_contained(model: TrainedModel) -> bool:
    """Return whether the network needs only torch: not if it uses the features of another one."""
    return model.network_features is None


def network_builder(model: TrainedModel) -> tuple[str, dict[str, Any]]:
    """Return the name of the function that builds the network, and its arguments.

    The function is in `network_source` if the model is self-contained, else in `LIBRARY`.
    """
    eyes, spec = model.features_from, model.spec
    if model.network_features is not None:
        taken = {"n_channels": model.n_channels, "ndim": model.ndim}
        seen: dict[str, Any] = {"spacing": list(model.spacing)}
        if eyes is None:
            seen["scaling"] = model.normalisation.method
        else:
            seen["features_from"] = _sizes(eyes)
        return "image_network", {"kind": spec.kind, **_sizes(model), **taken, **seen}
    n_inputs = spec.n_inputs(model.n_channels, model.ndim)
    options = spec.network_options(n_inputs, model.n_outputs, model.ndim)
    if not _is_shown_more(model):
        return RUNGS[spec.kind].network_name, options
    return _SHOWING, {"inputs": shown_inputs(model), **options}


def shown_inputs(model: TrainedModel) -> dict[str, Any]:
    """Return the arguments of `ImageInputs` for the network; none when it takes images alone."""
    spec = model.spec
    if not _is_shown_more(model):
        return {}
    shown = spec.input_options(model.ndim, model.spacing)
    if not getattr(spec, "uses_bank", True):
        shown |= {"scales": [], "intensity": False}
    return shown


def network_source(model: TrainedModel) -> str:
    """Return one Python file with all code of a self-contained network."""
    rung, more = RUNGS[model.spec.kind], _is_shown_more(model)
    modules = (*rung.sources, _INPUTS) if more else rung.sources
    source = "\n\n".join(_without_own_imports(_text_of(module)) for module in modules)
    footer = _FOOTER.format(name=_SHOWING, network=rung.network_name)
    return source + (footer if more else "")


LIBRARY = f"{_PACKAGE}.core.nn.restore"
"""Module that builds the other networks."""


def _is_shown_more(model: TrainedModel) -> bool:
    """Return whether the network has inputs other than intensities."""
    return not model.spec.learns_features or model.spec.position != "none"


def _sizes(model: TrainedModel) -> dict[str, Any]:
    return {"options": model.spec.model_dump(), "n_classes": model.n_outputs}


def _text_of(module: str) -> str:
    """Return the source of a module, which need not be imported."""
    found: Any = find_spec(module)
    text: str = found.loader.get_source(module)
    return text


def _without_own_imports(source: str) -> str:
    """Return the source without imports from this package, whose code is in the same file."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        own = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_PACKAGE)
        if own and node.end_lineno is not None:
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(lines).strip() + "\n"


__all__ = ["LIBRARY", "is_self_contained", "network_builder", "network_source", "shown_inputs"]
