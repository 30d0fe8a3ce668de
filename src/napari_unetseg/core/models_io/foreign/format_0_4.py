"""Convert descriptions of the bioimage.io format 0.4 to 0.5."""

from collections.abc import Mapping
from typing import Any

from napari_unetseg.core.errors import InputError

_KINDS = {"b": "batch", "c": "channel", "t": "time", "i": "index"}
_RENAMED = {"zero_mean_unit_variance": "fixed_zero_mean_unit_variance"}


def is_older(content: Mapping[str, Any]) -> bool:
    """Return whether a description has the format 0.4."""
    return str(content.get("format_version", "")).startswith("0.4.")


def upgrade_description(content: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a description of format 0.4 to 0.5.

    Raises
    ------
    InputError
        When it has something that 0.5 cannot express, or is invalid.
    """
    try:
        inputs = [_tensor(entry, "preprocessing", {}) for entry in content["inputs"]]
        n_channels = {tensor["id"]: _n_channels(tensor) for tensor in inputs}
        outputs = [_tensor(entry, "postprocessing", n_channels) for entry in content["outputs"]]
        for tensors, tests in ((inputs, "test_inputs"), (outputs, "test_outputs")):
            files = content.get(tests)
            for tensor, file in zip(
                tensors, files if isinstance(files, list) else [], strict=False
            ):
                tensor["test_tensor"] = {"source": file} if isinstance(file, str) else file
        weights = {name: _weights(entry) for name, entry in dict(content["weights"]).items()}
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            "Its description has the old format 0.4 and cannot be converted. Convert it with the "
            "format's own tools."
        ) from error
    fields = {"format_version": "0.5.0", "inputs": inputs, "outputs": outputs, "weights": weights}
    return {**content, **fields}


def _n_channels(tensor: Mapping[str, Any]) -> int:
    return next((len(a["channel_names"]) for a in tensor["axes"] if a["type"] == "channel"), 1)


def _tensor(entry: Mapping[str, Any], steps: str, n_channels: Mapping[str, int]) -> dict[str, Any]:
    letters = entry["axes"]
    if not isinstance(letters, str) or not letters:
        raise TypeError(letters)
    shape, halo = entry["shape"], entry.get("halo") or [0] * len(letters)
    sizes = [_length(shape, k) for k in range(len(letters))]
    axes = [
        _axis(letter, size, int(end), _named(entry, letter, size, n_channels))
        for letter, size, end in zip(letters, sizes, halo, strict=True)
    ]
    return {
        "id": entry["name"],
        "axes": axes,
        "data": {"type": entry.get("data_type", "float32")},
        steps: [_step(step) for step in entry.get(steps) or []],
    }


def _axis(letter: str, size: Any, halo: int, names: list[str]) -> dict[str, Any]:
    kind = _KINDS.get(letter, "space")
    if kind == "channel":
        return {"type": kind, "channel_names": names}
    if kind == "batch":
        return {"type": kind}
    if isinstance(size, dict) and "tensor_id" in size:
        if size["scale"] != 1:
            raise InputError(
                f"Its result has {size['scale']} times the image's pixels along {letter}. Only "
                "models whose result has the image's pixel size can be run."
            )
        # The old format states the loss at each end, the new one the sum of both.
        size = {
            "tensor_id": size["tensor_id"],
            "axis_id": letter,
            "offset": int(2 * size["offset"]),
        }
    own = {"id": letter} if kind == "space" else {}
    return {"type": kind, **own, "size": size, **({"halo": halo} if halo else {})}


def _length(shape: Any, k: int) -> Any:
    """Convert the size of axis `k` to format 0.5."""
    if isinstance(shape, list):
        return shape[k]
    if "reference_tensor" in shape:
        scale, offset = shape["scale"][k], shape["offset"][k]
        return {"tensor_id": shape["reference_tensor"], "scale": scale, "offset": offset}
    least, step = shape["min"][k], shape["step"][k]
    return {"min": least, "step": step} if step else least


def _named(
    entry: Mapping[str, Any], letter: str, size: Any, n_channels: Mapping[str, int]
) -> list[str]:
    """Make a name for each channel, since the old format has none."""
    if letter != "c":
        return []
    count = size
    if isinstance(size, dict):
        count = size.get("min")
        if "tensor_id" in size:
            count = int(n_channels[size["tensor_id"]] * size["scale"] + 2 * size["offset"])
    if type(count) is not int or not 1 <= count <= 4096:
        raise ValueError(count)
    return [f"{entry['name']} {number}" for number in range(count)]


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    name, options = step["name"], dict(step.get("kwargs") or {})
    mode = options.pop("mode", "per_sample")
    if mode == "per_dataset":
        raise InputError(
            f"The step {name} needs statistics of a whole data set, which are not available. Such "
            "models cannot be run."
        )
    if mode == "fixed":
        if name not in _RENAMED:
            raise InputError(f"The step {name} of the format 0.4 cannot be fixed.")
        name, axes = _RENAMED[name], options.pop("axes", "")
        options.pop("eps", None)
        fixed = isinstance(options.get("mean"), list)
        return {"id": name, "kwargs": options | ({"axis": "channel"} if fixed else {})}
    axes = options.pop("axes", None)
    if isinstance(axes, str):
        options["axes"] = [_KINDS.get(letter, letter) for letter in axes]
    if name == "scale_linear":
        options.pop("axes", None)
        if any(isinstance(options.get(key), list) for key in ("gain", "offset")):
            options["axis"] = "channel"
    return {"id": name, "kwargs": options}


def _weights(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        raise TypeError(entry)
    architecture = entry.get("architecture")
    if isinstance(architecture, str):
        return {
            **entry,
            "architecture": {"callable": architecture.rsplit(":", 1)[-1].rsplit(".", 1)[-1]},
        }
    return entry


__all__ = ["is_older", "upgrade_description"]
