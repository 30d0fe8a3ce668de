"""Networks of others that run under torch: TorchScript, and our own network with their weights."""

import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.nn.inference.network_segmenter import memory_errors
from napari_unetseg.core.nn.inference.runtime import choose_device
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.options import Device


class TorchEngine:
    """A module of torch as an `Engine`."""

    def __init__(self, module: nn.Module, device: Device = "cpu") -> None:
        self._device = choose_device(device).device
        self._module = module.to(self._device).eval()

    def run(self, array: NDArray[np.float32]) -> list[NDArray[Any]]:
        """Return the outputs for one input; see `Engine`.

        Raises
        ------
        InputError
            When the network cannot take it.
        MemoryError
            When it is too large.
        """
        x = torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
        try:
            with memory_errors(array.shape), torch.inference_mode():
                found = self._module(x)
        except (RuntimeError, ValueError, IndexError) as error:
            first = (str(error).strip().splitlines() or [""])[-1][:200]
            raise InputError(
                f"The network cannot take an array of {array.shape}: {first}"
            ) from error
        outputs = found if isinstance(found, tuple | list) else [found]
        if not all(isinstance(output, torch.Tensor) for output in outputs):
            raise InputError("The network gives something else than arrays, and cannot be run.")
        return [output.float().cpu().numpy() for output in outputs]


def build_script_engine(data: bytes, device: Device = "cpu") -> TorchEngine:
    """Return what runs a TorchScript file. That file is a program: ask the user first.

    Raises
    ------
    InputError
        When it is none, or of another version.
    """
    try:
        with warnings.catch_warnings():
            # torch calls its own format old; files in it will be around for long.
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(io.BytesIO(data), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, EOFError) as error:
        raise InputError(
            "The TorchScript weights cannot be opened: damaged, or of another version of PyTorch. "
            "Save them again."
        ) from error
    for name, weights in module.state_dict().items():
        if weights.is_floating_point() and torch.isnan(weights).any():
            raise InputError(f"The TorchScript weights {name!r} hold NaN. Load another model.")
    return TorchEngine(module, device)


def build_network_engine(
    spec: UNetSpec,
    sizes: tuple[int, int, int],
    state: Mapping[str, NDArray[Any]],
    device: Device = "cpu",
) -> TorchEngine:
    """Build a UNet of our own that runs with the weights of another program.

    Parameters
    ----------
    sizes
        Channels of the image, outputs, and axes: 2 or 3.
    state
        The weights under our names.
    """
    network = build_network(spec, *sizes)
    network.load_state_dict({name: torch.tensor(array) for name, array in state.items()})
    return TorchEngine(network.requires_grad_(False), device)


__all__ = ["TorchEngine", "build_network_engine", "build_script_engine"]
