"""Broken files of others, at random: refused with a sentence or harmless, and never anything else.

``UNETSEG_FUZZ=10000 pytest tests/core/models_io/foreign/test_fuzz.py`` breaks as many as that.
"""

import copy
import math
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.models_io.foreign import describe_model, open_model, self_test
from napari_unetseg.core.models_io.native.plain_yaml import yaml_bytes
from napari_unetseg.core.models_io.native.zip_archive import zip_bytes

Kit = SimpleNamespace
Members = dict[str, bytes]

FUZZ = int(os.environ.get("UNETSEG_FUZZ", "400"))
"""How many files are broken."""

BLOCK = 2**16
"""Models whose blocks are larger are not run: they are right, and slow."""

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 2**16, 2**31, 2**63, 10**40, 0.0, -0.5, 1e-300, 1e308),
    *(float("nan"), float("inf"), "", "x", "\x00", "../../etc/passwd", "http://x", "channel", "y"),
    *("z", "batch", "raw", "0.4.9", "0.5.0", "softmax", "clip", "a" * 2000, [], [[]], [0], ["x"]),
    *({}, {"id": "x"}, {"min": 1, "step": 0}, {"min": 0, "step": 1}, {"tensor_id": "raw"}),
    {"source": "weights"},
)


@pytest.fixture(scope="module")
def package(made: Kit) -> tuple[Members, dict[str, Any]]:
    """A package that opens: a small UNet with every kind of step, and its example."""
    network = made.drawn(made.LowerFirst(1, 1))
    raw = np.random.default_rng(0).normal(size=(1, 1, 16, 16)).astype(np.float32)
    x = (raw.clip(-2, 2) - raw.clip(-2, 2).mean()) / (raw.clip(-2, 2).std() + 1e-6)
    with torch.inference_mode():
        expected = torch.sigmoid(network(torch.from_numpy(x))).numpy()
    members = {"weights": made.saved_state(network), **made.tensors(raw, expected)}
    before = (
        {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
        {"id": "clip", "kwargs": {"min": -2.0, "max": 2.0}},
        {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"], "eps": 1e-6}},
    )
    return members, made.content_of(members, "pytorch_state_dict", before=before)


def test_broken_packages_are_refused_or_harmless(
    made: Kit, package: tuple[Members, dict[str, Any]], tmp_path: Path
) -> None:
    members, content = package
    rng = np.random.default_rng(0)
    path = made.packed(tmp_path / "model.zip", members, content)
    whole, text = path.read_bytes(), yaml_bytes(content)
    onnx = made.onnx_file(np.ones((1, 1, 3, 3), np.float32))
    assert self_test(path).passed
    outcome = {"refused": 0, "opened": 0}
    for k in range(FUZZ):
        path = tmp_path / ("model.onnx" if k % 6 == 5 else "model.zip")
        match k % 6:
            case 0:
                path.write_bytes(bytes_broken(whole, rng))
            case 1:
                broken = bytes_broken(text, rng)
                path.write_bytes(zip_bytes({"rdf.yaml": broken, **members}))
            case 2 | 3:
                made.packed(path, members, fields_broken(content, rng))
            case 4:
                name = str(rng.choice(list(members)))
                changed = {**members, name: bytes_broken(members[name], rng)}
                made.packed(path, changed, rehashed(made, content, changed))
            case _:
                path.write_bytes(bytes_broken(onnx, rng))
        outcome["opened" if opens(path) else "refused"] += 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.onnx", "model.zip"]
    assert outcome["refused"] > FUZZ / 3
    assert outcome["opened"] > FUZZ / 50


def opens(path: Path) -> bool:
    """Open, describe and run a file; anything but a sentence about what is wrong is a defect."""
    try:
        describe_model(path)
        model = open_model(path)
        blocks = zip(model.multiple, model.halo, strict=True)
        block = math.prod(step + 2 * halo for step, halo in blocks)
        if path.suffix == ".zip" and block * model.n_channels <= BLOCK:
            axes = "CYX" if model.ndim == 2 else "CZYX"
            sides = (model.n_channels, 4, 12, 10) if model.ndim == 3 else (model.n_channels, 12, 10)
            proba = predict(
                model, Image.of(np.ones(sides), axes), PredictOptions(what="probabilities")
            )
            assert np.isfinite(proba.asarray()).all()
    except InputError:
        return False
    return True


def rehashed(made: Kit, content: dict[str, Any], members: Members) -> dict[str, Any]:
    """Return a description with the right hashes, so that what is broken is found deep inside."""
    changed = copy.deepcopy(content)
    changed["weights"]["pytorch_state_dict"] = made.linked("weights", members["weights"])
    for tensor, name in (("inputs", "test_input.npy"), ("outputs", "test_output.npy")):
        changed[tensor][0]["test_tensor"] = made.linked(name, members[name])
    return changed


def fields_broken(content: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Return a description with one to three fields odd, gone, doubled or moved."""
    changed = copy.deepcopy(content)
    for _ in range(int(rng.integers(1, 4))):
        places = list(places_in(changed))
        holder, key = places[int(rng.integers(len(places)))]
        odd = copy.deepcopy(ODD[int(rng.integers(len(ODD)))])
        match int(rng.integers(0, 5)):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 2:
                other, name = places[int(rng.integers(len(places)))]
                holder[key] = copy.deepcopy(other[name])
            case _:
                holder[key] = odd
    return changed


def places_in(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every place in nested data: what holds it, and its name or number there."""
    keys = list(content) if isinstance(content, dict) else range(len(content))
    for key in keys:
        yield content, key
        if isinstance(content[key], dict | list):
            yield from places_in(content[key])


def bytes_broken(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut out, repeat, insert or cut off some bytes."""
    broken = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at, span = int(rng.integers(0, max(len(broken), 1))), int(rng.integers(1, 9))
        match int(rng.integers(0, 5)):
            case 0:
                broken[at : at + 1] = rng.bytes(1)
            case 1:
                del broken[at : at + span]
            case 2:
                broken[at:at] = broken[at : at + span] * int(rng.integers(1, 30))
            case 3:
                broken[at:at] = rng.bytes(span)
            case _:
                del broken[at:]
    return bytes(broken)
