"""Broken files of others, at random: refused with a sentence or harmless, and never anything else.

``UNETSEG_FUZZ=10000 pytest tests/core/models_io/foreign/test_fuzz.py`` breaks as many as that.
"""

import copy
import math
import os
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
from napari_unetseg.core.models_io.foreign.engines import has_onnx_runtime
from napari_unetseg.core.models_io.native.plain_yaml import yaml_bytes
from napari_unetseg.core.models_io.native.zip_archive import zip_bytes

Kit = SimpleNamespace
Members = dict[str, bytes]

FUZZ = int(os.environ.get("UNETSEG_FUZZ", "400"))
"""How many files are broken."""

BLOCK = 2**16
"""Models whose blocks are larger are not run: they are right, and slow."""


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


def older(made: Kit, members: Members) -> dict[str, Any]:
    """Return the description of the same package in the format 0.4."""
    scaling = {"mode": "per_sample", "axes": "xy", "eps": 1e-6}
    return {
        "type": "model",
        "format_version": "0.4.9",
        "name": "Old nuclei",
        "inputs": [
            {
                "name": "raw",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": {"min": [1, 1, 16, 16], "step": [0, 0, 8, 8]},
                "preprocessing": [
                    {"name": "clip", "kwargs": {"min": -2.0, "max": 2.0}},
                    {"name": "zero_mean_unit_variance", "kwargs": scaling},
                ],
            }
        ],
        "outputs": [
            {
                "name": "probability",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": {"reference_tensor": "raw", "scale": [1] * 4, "offset": [0] * 4},
                "halo": [0, 0, 4, 4],
                "postprocessing": [{"name": "sigmoid"}],
            }
        ],
        "test_inputs": ["test_input.npy"],
        "test_outputs": ["test_output.npy"],
        "weights": {"pytorch_state_dict": made.linked("weights", members["weights"])},
    }


def test_broken_packages_are_refused_or_harmless(
    made: Kit, package: tuple[Members, dict[str, Any]], tmp_path: Path, mutations: Any
) -> None:
    members, content = package
    rng = np.random.default_rng(0)
    path = made.packed(tmp_path / "model.zip", members, content)
    whole, text = path.read_bytes(), yaml_bytes(content)
    onnx, old = made.onnx_file(np.ones((1, 1, 3, 3), np.float32)), older(made, members)
    assert self_test(path).passed
    assert self_test(made.packed(path, members, old)).passed
    outcome = {"refused": 0, "opened": 0}
    for k in range(FUZZ):
        path = tmp_path / ("model.onnx" if k % 7 == 6 else "model.zip")
        match k % 7:
            case 0:
                path.write_bytes(mutations.bytes_broken(whole, rng))
            case 1:
                broken = mutations.bytes_broken(text, rng)
                path.write_bytes(zip_bytes({"rdf.yaml": broken, **members}))
            case 2 | 3:
                made.packed(path, members, mutations.fields_broken(content, rng))
            case 4:
                made.packed(path, members, mutations.fields_broken(old, rng))
            case 5:
                name = str(rng.choice(list(members)))
                broken = mutations.file_broken(members[name], Path(name).suffix, rng)
                changed = {**members, name: broken}
                made.packed(path, changed, rehashed(made, content, changed))
            case _:
                path.write_bytes(mutations.file_broken(onnx, ".onnx", rng))
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
        runs = path.suffix == ".zip" or has_onnx_runtime()
        if runs and block * model.n_channels <= BLOCK:
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
