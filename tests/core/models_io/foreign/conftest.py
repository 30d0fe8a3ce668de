"""Models as others write them: packages, state dicts and ONNX files, made by hand."""

import hashlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_unetseg.core.models_io.native.npy_arrays import npy_bytes
from napari_unetseg.core.models_io.native.plain_yaml import yaml_bytes
from napari_unetseg.core.models_io.native.zip_archive import zip_bytes


class DoubleConv(nn.Module):
    """Two convolutions, as many UNets have them."""

    def __init__(self, entering: int, width: int, *, bias: bool, norm: bool) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for n in (entering, width):
            steps.append(nn.Conv2d(n, width, 3, padding=1, bias=bias))
            steps += [nn.BatchNorm2d(width)] if norm else []
            steps.append(nn.ReLU())
        self.double_conv = nn.Sequential(*steps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.double_conv(x)


class ShortcutFirst(nn.Module):
    """A UNet with the names inc, down1, up1, outc; the shortcut lies before what comes up."""

    def __init__(self, n_in: int, n_out: int, *, bias: bool = False, norm: bool = True) -> None:
        super().__init__()
        how = {"bias": bias, "norm": norm}
        self.inc = DoubleConv(n_in, 4, **how)
        self.down1 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(4, 8, **how))
        self.down2 = nn.Sequential(nn.MaxPool2d(2), DoubleConv(8, 16, **how))
        self.up1 = nn.ModuleDict(
            {"up": nn.ConvTranspose2d(16, 8, 2, stride=2), "conv": DoubleConv(16, 8, **how)}
        )
        self.up2 = nn.ModuleDict(
            {"up": nn.ConvTranspose2d(8, 4, 2, stride=2), "conv": DoubleConv(8, 4, **how)}
        )
        self.outc = nn.Conv2d(4, n_out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.inc(x)
        second = self.down1(first)
        low = self.down2(second)
        up = self.up1["conv"](torch.cat([second, self.up1["up"](low)], 1))
        up = self.up2["conv"](torch.cat([first, self.up2["up"](up)], 1))
        return self.outc(up)


class LowerFirst(nn.Module):
    """A UNet with the names encoder1, bottleneck, upconv1, decoder1; the shortcut lies last."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        how = {"bias": False, "norm": True}
        self.encoder1 = DoubleConv(n_in, 4, **how)
        self.bottleneck = DoubleConv(4, 8, **how)
        self.upconv1 = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.decoder1 = DoubleConv(8, 4, **how)
        self.conv = nn.Conv2d(4, n_out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = self.encoder1(x)
        up = self.upconv1(self.bottleneck(nn.functional.max_pool2d(shortcut, 2)))
        return self.conv(self.decoder1(torch.cat([up, shortcut], 1)))


class Renamed(nn.Module):
    """A UNet of the other order under names that tell nothing."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        inner = LowerFirst(n_in, n_out)
        self.a, self.b, self.c = inner.encoder1, inner.bottleneck, inner.upconv1
        self.d, self.e = inner.decoder1, inner.conv

    forward = None  # type: ignore[assignment]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = self.a(x)
        up = self.c(self.b(nn.functional.max_pool2d(shortcut, 2)))
        return self.e(self.d(torch.cat([up, shortcut], 1)))


def drawn(network: nn.Module, seed: int = 0) -> nn.Module:
    """Return a network with random weights and statistics, at rest."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weights in network.state_dict().items():
            if not weights.is_floating_point():
                continue
            values = torch.randn(weights.shape, generator=generator) * 0.3
            weights.copy_(values.abs() + 0.5 if name.endswith("running_var") else values)
    return network.eval()


def saved_state(network: nn.Module) -> bytes:
    out = io.BytesIO()
    torch.save(network.state_dict(), out)
    return out.getvalue()


def scripted(network: nn.Module, example: torch.Tensor) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network, example, check_trace=False), out)
    return out.getvalue()


def linked(name: str, data: bytes) -> dict[str, str]:
    return {"source": name, "sha256": hashlib.sha256(data).hexdigest()}


SPACE = {"type": "space", "scale": 0.5, "unit": "micrometer"}


def content_of(
    members: Mapping[str, bytes],
    weights: str,
    *,
    axes: str = "bcyx",
    size: Any = None,
    n_in: int = 1,
    names: tuple[str, ...] = ("foreground",),
    halo: int = 4,
    before: tuple[Any, ...] = (),
    after: tuple[Any, ...] = ({"id": "sigmoid"},),
) -> dict[str, Any]:
    """Return a description in the words of 0.5."""
    size = {"min": 8, "step": 4} if size is None else size

    def axis(letter: str, channels: tuple[str, ...], result: bool) -> dict[str, Any]:
        if letter == "b":
            return {"type": "batch"}
        if letter == "c":
            return {"type": "channel", "channel_names": list(channels)}
        length = {"tensor_id": "raw", "axis_id": letter} if result else size
        end = {"halo": halo} if result and halo else {}
        return {**SPACE, "id": letter, "size": length, **end}

    def tensor(name: str, channels: tuple[str, ...], steps: str, listed: Any) -> dict[str, Any]:
        result = steps == "postprocessing"
        found: dict[str, Any] = {
            "id": name,
            "axes": [axis(letter, channels, result) for letter in axes],
            "data": {"type": "float32"},
            steps: list(listed),
        }
        file = "test_output.npy" if result else "test_input.npy"
        if file in members:
            found["test_tensor"] = linked(file, members[file])
        return found

    raw = tuple(f"raw {k}" for k in range(n_in))
    return {
        "type": "model",
        "format_version": "0.5.4",
        "name": "Somebody's nuclei",
        "description": "Finds nuclei.",
        "authors": [{"name": "A. Person"}],
        "license": "MIT",
        "cite": [{"text": "A paper.", "doi": "10.1000/1"}],
        "inputs": [tensor("raw", raw, "preprocessing", before)],
        "outputs": [tensor("probability", names, "postprocessing", after)],
        "weights": {weights: linked("weights", members["weights"])},
    }


def packed(path: Path, members: Mapping[str, bytes], content: Mapping[str, Any]) -> Path:
    path.write_bytes(zip_bytes({"rdf.yaml": yaml_bytes(dict(content)), **members}))
    return path


def tensors(image: Any, expected: Any) -> dict[str, bytes]:
    return {
        "test_input.npy": npy_bytes(np.asarray(image, np.float32)),
        "test_output.npy": npy_bytes(np.asarray(expected, np.float32)),
    }


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    """Return one field of a protocol buffer."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def onnx_file(weights: Any, *, more: bytes = b"", sides: tuple[int, ...] = (1, 1, 0, 0)) -> bytes:
    """Return an ONNX file of one convolution; just enough of the format."""
    kernel = np.asarray(weights, "<f4")
    dims = b"".join(field(1, n) for n in kernel.shape)
    tensor = dims + field(2, 1) + field(8, b"w") + field(9, kernel.tobytes()) + more

    def port(name: bytes) -> bytes:
        shape = b"".join(field(1, field(1, n) if n else field(2, b"side")) for n in sides)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))

    ints = b"".join(field(8, n) for n in (1, 1, 1, 1))
    pads = field(1, b"pads") + ints + field(20, 7)
    node = field(1, b"x") + field(1, b"w") + field(2, b"y") + field(4, b"Conv") + field(5, pads)
    graph = field(1, node) + field(2, b"g") + field(5, tensor)
    graph += field(11, port(b"x")) + field(12, port(b"y"))
    return field(1, 8) + field(7, graph) + field(8, field(1, b"") + field(2, 17))


@pytest.fixture
def image() -> np.ndarray[Any, Any]:
    """A small image of 16-bit numbers."""
    rng = np.random.default_rng(3)
    return rng.integers(100, 4000, (60, 52)).astype(np.uint16)


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """All that is made here, by name."""
    kinds = (ShortcutFirst, LowerFirst, Renamed, drawn, saved_state, scripted, linked)
    return SimpleNamespace(
        **{
            thing.__name__: thing
            for thing in (*kinds, content_of, packed, tensors, onnx_file, field)
        }
    )
