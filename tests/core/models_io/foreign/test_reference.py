"""Packages under the format's reference library; runs in an environment of its own."""

from pathlib import Path
from typing import Any

import pytest

from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.core.models_io.native.export_package import ExportOptions, export
from napari_unetseg.core.objects.decoders import DecoderSpec

core = pytest.importorskip("bioimageio.core", reason="runs with tox -e bioimageio")

pytestmark = pytest.mark.filterwarnings("ignore")

OBJECTS = {"values": (0, 1), "labels_are": "objects", "decoder": DecoderSpec()}
VARIANTS: list[tuple[str, int, dict[str, Any], str]] = [
    *((kind, 2, {"n_channels": 1}, "torchscript, onnx") for kind in RUNGS),
    *((kind, 3, {"n_channels": 3}, "torchscript") for kind in RUNGS),
    ("unet", 2, {"options": {"padding": "valid", "position": "polynomial"}}, "torchscript"),
    ("unet", 2, {"options": {"resolution": "half", "stem": "plain", "attention": True}}, "onnx"),
    ("unet", 2, {"options": {"resolution": "quarter"}}, "torchscript, onnx"),
    ("unet", 3, {"options": {"resolution": "half"}}, "onnx"),
    ("unet", 2, OBJECTS, ""),
]


@pytest.mark.parametrize(("kind", "ndim", "fields", "weights"), VARIANTS)
def test_the_reference_library_passes_it(
    make_model: Any, tmp_path: Path, kind: str, ndim: int, fields: dict[str, Any], weights: str
) -> None:
    card = {"licence": "CC-BY-4.0", "authors": "A. Person", "description": "Finds things."}
    path = tmp_path / "model.zip"
    export(make_model(kind, ndim, **fields), path, ExportOptions(**card, weights=weights))
    summary = core.test_description(path, determinism="seed_only")
    problems = [(d.name, e.loc, e.msg) for d in summary.details for e in d.errors]
    assert not problems
    assert summary.status == "passed"
    reproduced = {d.name.split("(")[-1] for d in summary.details if "Reproduce" in d.name}
    names = {"pytorch_state_dict", *filter(None, weights.split(", "))}
    assert reproduced == {f"{name})" for name in names}
