"""Run the weights of foreign models, after they were checked to be harmless."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.models_io.foreign.onnx_file import read_onnx
from napari_unetseg.core.models_io.foreign.unet_layouts import UNetLayout
from napari_unetseg.core.options import Device


class Engine(Protocol):
    """Interface that runs a network on one array with the axes and type that it takes."""

    def run(self, array: NDArray[np.float32]) -> list[NDArray[Any]]:
        """Return the outputs."""


Start = Callable[[Device], Engine]
"""Function that starts an engine on a device; may be called in another thread."""


class OnnxEngine:
    """Run an ONNX file with ONNX Runtime, on the CPU.

    Raises
    ------
    InputError
        When ONNX Runtime is missing, or cannot run the file.
    """

    def __init__(self, data: bytes) -> None:
        facts = read_onnx(data)
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        try:
            self._session = runtime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise _cannot(error) from error
        self._input = facts.inputs[0]
        if len(facts.inputs) > 1:
            names = ", ".join(port.name[:40] for port in facts.inputs)
            raise InputError(f"The network takes several images ({names}); one can be given.")

    def run(self, array: NDArray[np.float32]) -> list[NDArray[Any]]:
        """Return the outputs for one input; see `Engine`.

        Raises
        ------
        InputError
            When the network does not accept the input.
        MemoryError
            When the input is too large.
        """
        converted = array.astype(self._input.dtype, copy=False)
        try:
            results = self._session.run(None, {self._input.name: converted})
        except Exception as error:
            message = str(error).lower()
            if "alloc" in message and ("fail" in message or "bad" in message):
                raise MemoryError(f"An array of {array.shape} does not fit.") from error
            raise _cannot(error) from error
        outputs = [np.asarray(output) for output in results]
        return [o.astype(np.float32) if o.dtype.kind == "f" else o for o in outputs]


def script_engine(data: bytes, device: Device) -> Engine:
    """Make the engine of a TorchScript file, which can execute code. Imports torch."""
    engine: Engine = _torch().build_script_engine(data, device)
    return engine


def layout_engine(layout: UNetLayout, device: Device) -> Engine:
    """Make the engine that runs a foreign UNet in our own network. Imports torch."""
    sizes = (layout.n_channels, layout.n_outputs, layout.ndim)
    engine: Engine = _torch().build_network_engine(layout.spec, sizes, layout.state, device)
    return engine


def has_onnx_runtime() -> bool:
    """Return whether ONNX Runtime is installed."""
    import importlib.util

    return importlib.util.find_spec("onnxruntime") is not None


def _runtime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise InputError(
            "ONNX weights need ONNX Runtime, which is not installed. Install it with: "
            "pip install 'napari-unetseg[onnx]'"
        ) from error
    return onnxruntime


def _torch() -> Any:
    try:
        from napari_unetseg.core.nn.inference import foreign_engines as foreign
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            "These weights need PyTorch, which is not installed. "
            "Install it with: pip install 'napari-unetseg[torch]'"
        ) from error
    return foreign


def _cannot(error: Exception) -> InputError:
    """Convert any error of ONNX Runtime, whose error classes are not exported."""
    first = (str(error).strip().splitlines() or [""])[0][:200]
    return InputError(f"ONNX Runtime cannot run the network: {first}")


__all__ = [
    "Engine",
    "OnnxEngine",
    "Start",
    "has_onnx_runtime",
    "layout_engine",
    "script_engine",
]
