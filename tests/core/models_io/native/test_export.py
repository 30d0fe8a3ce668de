"""Export: what others get with a model, and what is refused."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image as Picture

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.pixel_specs import LogisticSpec, mixed_inputs
from napari_unetseg.core.model.trained_model import ModelCard, TrainedModel
from napari_unetseg.core.models_io.native import load
from napari_unetseg.core.models_io.native.export_package import ExportOptions, export
from napari_unetseg.core.models_io.native.network_source import network_builder
from napari_unetseg.core.nn.networks.image_inputs import ImageInputs
from napari_unetseg.core.objects.decoders import DecoderSpec

Make = Callable[..., TrainedModel]

CARD = ExportOptions(licence="CC-BY-4.0", authors="A. Person, B. Other", description="Finds.")


def opened(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return yaml.safe_load(members["rdf.yaml"]), members


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"laplacian": True},
        {"structure": False, "hessian": False, "gradient": False},
        {"intensity": False, "structure": False, "position": "polynomial", "position_order": 3},
        {"position": "sinusoidal", "gradient": False, "gaussian": False},
    ],
)
def test_the_travelling_filters_give_the_numbers_of_the_compiled(
    options: dict[str, Any], ndim: int
) -> None:
    spec = LogisticSpec(sigmas="1, 2.5", **options)
    spacing = (2.0, 0.5, 0.5)[-ndim:]
    image = np.random.default_rng(0).normal(size=(2, *((7, 18, 21)[-ndim:]))).astype(np.float32)
    weights = np.zeros((1, spec.n_inputs(2, ndim)), np.float32)
    model = TrainedModel(
        name="any",
        spec=spec,
        classes=("a", "b"),
        values=(0, 1),
        labels_are="mask",
        n_channels=2,
        ndim=ndim,
        state={"layers.0.weight": weights, "layers.0.bias": np.zeros(1, np.float32)},
        spacing=spacing,
    )
    shown = ImageInputs(**network_builder(model)[1]["inputs"])(torch.from_numpy(image[None]))[0]
    expected = mixed_inputs(image, spec, spacing=spacing).whole()
    np.testing.assert_allclose(shown.numpy(), expected, atol=2e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("kind", "ndim", "fields"),
    [
        ("logistic", 2, {}),
        ("mlp", 3, {"n_channels": 2}),
        ("cnn", 2, {"options": {"position": "polynomial"}}),
        ("unet", 2, {"options": {"padding": "valid"}}),
        ("unet", 3, {"labels_are": "objects", "values": (0, 1), "decoder": DecoderSpec()}),
    ],
)
def test_torchscript_is_the_same_network_at_any_size(
    make_model: Make, tmp_path: Path, kind: str, ndim: int, fields: dict[str, Any]
) -> None:
    model = make_model(kind, ndim, **fields)
    export(model, tmp_path / "model.zip", CARD)
    content, members = opened(tmp_path / "model.zip")
    entry = content["weights"]["torchscript"]
    assert entry["parent"] == "pytorch_state_dict"
    data = members[entry["source"]]
    assert b"/home" not in data
    assert str(Path(__file__).parents[4]).encode() not in data
    scripted = torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]
    room: dict[str, Any] = {"__name__": "architecture"}
    exec(members["architecture.py"].decode(), room)
    told = content["weights"]["pytorch_state_dict"]["architecture"]
    network = room[told["callable"]](**told["kwargs"]).eval()
    network.load_state_dict(torch.load(io.BytesIO(members["weights.pt"]), weights_only=True))
    axes = [axis for axis in content["inputs"][0]["axes"] if axis["type"] == "space"]
    for n in (0, 3):
        sides = [axis["size"]["min"] + n * axis["size"]["step"] for axis in axes]
        x = torch.rand(1 + n // 3, model.n_channels, *sides)
        with torch.inference_mode():
            torch.testing.assert_close(scripted(x), network(x), atol=1e-5, rtol=1e-5)


def test_a_package_says_who_and_under_which_terms(make_model: Make, tmp_path: Path) -> None:
    model = make_model("unet", scores={"dice": 0.875}, card=ModelCard(description="Old."))
    told = export(model, tmp_path / "model.zip", CARD)
    assert told.card == ModelCard(**CARD.model_dump(exclude={"weights"}))
    content, members = opened(tmp_path / "model.zip")
    assert content["license"] == "CC-BY-4.0"
    assert [author["name"] for author in content["authors"]] == ["A. Person", "B. Other"]
    text = members["README.md"].decode()
    for said in ("Finds.", "CC-BY-4.0", "0.875", "weights.torchscript"):
        assert said in text
    cover = Picture.open(io.BytesIO(members[content["covers"][0]]))
    assert min(cover.size) >= 8
    assert load(tmp_path / "model.zip").fingerprint == model.fingerprint


def test_what_the_model_says_itself_stays(make_model: Make, tmp_path: Path) -> None:
    model = make_model("cnn", card=ModelCard(description="Old.", licence="MIT"))
    export(model, tmp_path / "model.zip", ExportOptions(authors="C", weights=""))
    content, _ = opened(tmp_path / "model.zip")
    assert (content["description"], content["license"]) == ("Old.", "MIT")
    assert "torchscript" not in content["weights"]
    assert load(tmp_path / "model.zip").card.authors == "C"


def test_nothing_leaves_without_a_licence(make_model: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="licence"):
        export(make_model("cnn"), tmp_path / "model.zip", ExportOptions())
    assert not list(tmp_path.iterdir())


def test_unknown_weights_are_refused() -> None:
    with pytest.raises(InputError, match="keras"):
        ExportOptions.checked(weights="torchscript, keras")
    assert ExportOptions(weights="onnx torchscript").formats == ("torchscript", "onnx")


def test_a_missing_exporter_is_named(
    make_model: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    options = CARD.model_copy(update={"weights": "onnx"})
    with pytest.raises(InputError, match=r"napari-unetseg\[onnx\]"):
        export(make_model("cnn"), tmp_path / "model.zip", options)
    assert not list(tmp_path.iterdir())
