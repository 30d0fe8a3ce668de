"""A model's network in formats that run without this program: TorchScript and ONNX."""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.pretrained_features import PRETRAINED
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.inference.pretrained_source import pretrained_module
from napari_unetseg.core.nn.networks.image_inputs import ImageInputs, showing
from napari_unetseg.core.nn.restore import network_of


def torchscript_of(model: TrainedModel, inputs: Mapping[str, Any], image: Any) -> bytes:
    """Return the network as a TorchScript file, which names the source files of this machine.

    Parameters
    ----------
    model
        Sees no UNet's features.
    inputs
        What `ImageInputs` is to show it, besides the features of the pretrained network; nothing
        when it sees the image alone.
    image
        (C, *spatial), to trace it on; it works on others.
    """
    network, example = _network(model, inputs), _example(image)
    out = io.BytesIO()
    with _quiet(), torch.inference_mode():
        traced: Any = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, out)
    return out.getvalue()


def onnx_of(model: TrainedModel, inputs: Mapping[str, Any], image: Any, opset: int) -> bytes:
    """Return the network as an ONNX file.

    Parameters
    ----------
    model, inputs, image
        See `torchscript_of`.
    opset
        Version of the operators.

    Raises
    ------
    InputError
        When the package ``onnx`` is not installed.
    """
    try:
        import onnx  # noqa: F401 - torch's exporter needs it
    except ModuleNotFoundError as error:
        raise InputError(
            "Writing ONNX weights needs the package onnx, which is not installed. Install it with: "
            "pip install 'napari-unetseg[onnx]', or leave the ONNX weights out."
        ) from error
    network, example = _network(model, inputs), _example(image)
    axes = {0: "batch", **{k: "zyx"[-model.ndim :][k - 2] for k in range(2, 2 + model.ndim)}}
    out: Any = io.BytesIO()
    with _quiet(), torch.no_grad():
        torch.onnx.export(
            network,
            (example,),
            out,
            dynamo=False,
            opset_version=opset,
            input_names=["image"],
            output_names=["evidence"],
            dynamic_axes={"image": axes, "evidence": axes},
        )
    written: bytes = out.getvalue()
    return written


def _network(model: TrainedModel, inputs: Mapping[str, Any]) -> nn.Module:
    network = network_of(model)
    if not inputs:
        return network
    pretrained = None
    if model.network_features is PRETRAINED:
        pretrained = pretrained_module(model.n_channels, model.normalisation.method)
    return showing(network, ImageInputs(**inputs, pretrained=pretrained)).eval()


def _example(image: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image, np.float32)[None])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to oneself that both ways are old: they are what other programs read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


__all__ = ["onnx_of", "torchscript_of"]
