"""Describe weights without a description, from the file and usual defaults."""

import numpy as np

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.foreign.engines import Engine
from napari_unetseg.core.models_io.foreign.foreign_description import (
    SPACE,
    Axis,
    Description,
    ProcessingStep,
    Tensor,
)
from napari_unetseg.core.models_io.foreign.onnx_file import OnnxSummary
from napari_unetseg.core.normalisation import NormalisationSpec

STEP = {2: 32, 3: 16}
"""Assumed multiple of the image sides if not stated: five halvings, in stacks four."""

HALO = {2: 64, 3: 16}
_CHANNELS = (1, 3, 2, 4)


def bare_onnx(facts: OnnxSummary, name: str, scaling: NormalisationSpec) -> Description:
    """Describe an ONNX file from the axis lengths that it declares.

    Raises
    ------
    InputError
        When it does not take exactly one image.
    """
    if len(facts.inputs) != 1:
        names = ", ".join(port.name[:40] for port in facts.inputs)
        raise InputError(f"The network takes several images ({names}); one can be given.")
    inputs, outputs = facts.inputs[0].sides, facts.outputs[0].sides
    if len(inputs) not in (4, 5) or not inputs[1]:
        raise InputError(
            f"The network takes an array of {len(inputs)} axes of the lengths "
            f"{inputs}, where 0 is any; batch, channels and two or three spatial axes are needed. "
            "Open it in a bioimage.io package, which describes its axes."
        )
    if len(outputs) != len(inputs) or not outputs[1]:
        raise InputError(
            f"The network returns an array of {len(outputs)} axes, not an image. Open another one."
        )
    return _described(name, inputs[1], outputs[1], inputs[2:], scaling)


def bare_script(engine: Engine, name: str, scaling: NormalisationSpec) -> Description:
    """Describe a TorchScript by trying inputs.

    Raises
    ------
    InputError
        When it does not accept images of one to four channels.
    """
    for ndim in (2, 3):
        side = 2 * STEP[ndim]
        for n in _CHANNELS:
            try:
                output = engine.run(np.zeros((1, n, *(side,) * ndim), np.float32))[0]
            except InputError:
                continue
            if output.ndim == ndim + 2:
                return _described(name, n, output.shape[1], (0,) * ndim, scaling)
    raise InputError(
        "The network does not accept planes or stacks of one to four channels. Open it in a "
        "bioimage.io package, which describes its input."
    )


def _described(
    name: str, n_channels: int, n_results: int, sides: tuple[int, ...], scaling: NormalisationSpec
) -> Description:
    ndim = len(sides)
    space = [_axis(kind, side, ndim) for kind, side in zip(SPACE[-ndim:], sides, strict=True)]
    ends = [Axis(axis.kind, axis.least, axis.step, _halo(axis, ndim)) for axis in space]
    image = Tensor("image", (Axis("batch"), _channels(n_channels), *space), steps=_steps(scaling))
    names = ("foreground",) if n_results == 1 else ("background", *_numbered(n_results - 1))
    result = Tensor("result", (Axis("batch"), _channels(n_results, names), *ends))
    return Description(
        "", name, "", (), "", (), (image,), (result,), weights={}, tolerance=(1e-3, 1e-3)
    )


def _axis(kind: str, side: int, ndim: int) -> Axis:
    step = STEP[ndim]
    return Axis(kind, side, 0) if side else Axis(kind, step, step)


def _halo(axis: Axis, ndim: int) -> int:
    return HALO[ndim] if axis.step else min(HALO[ndim], axis.least // 4)


def _channels(n: int, names: tuple[str, ...] = ()) -> Axis:
    return Axis("channel", n, 0, names=names)


def _numbered(n: int) -> tuple[str, ...]:
    return tuple(f"class {k}" for k in range(1, n + 1))


def _steps(scaling: NormalisationSpec) -> tuple[ProcessingStep, ...]:
    axes = [*SPACE, *(["channel"] if scaling.per == "image" else [])]
    if scaling.method == "mean-std":
        return (ProcessingStep("zero_mean_unit_variance", {"axes": axes}),)
    if scaling.method == "percentile":
        shares = {"min_percentile": scaling.low, "max_percentile": scaling.high}
        return (ProcessingStep("scale_range", {"axes": axes, **shares}),)
    return ()


__all__ = ["HALO", "STEP", "bare_onnx", "bare_script"]
