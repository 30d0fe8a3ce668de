"""ONNX: read before it runs, refused where it does harm, and run where ONNX Runtime is."""

from collections.abc import Callable
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
from napari_unetseg.core.models_io.foreign.engines import OnnxEngine, has_onnx_runtime
from napari_unetseg.core.models_io.foreign.onnx_file import read_onnx

Kit = SimpleNamespace

KERNEL = np.random.default_rng(0).normal(size=(1, 1, 3, 3)).astype(np.float32)
needs_runtime = pytest.mark.skipif(not has_onnx_runtime(), reason="runs with tox -e bioimageio")


def test_it_says_what_goes_in_and_out(made: Kit) -> None:
    facts = read_onnx(made.onnx_file(KERNEL))
    assert [(port.name, port.dtype, port.sides) for port in facts.inputs] == [
        ("x", "float32", (1, 1, 0, 0))
    ]
    assert facts.outputs[0].name == "y"
    assert (facts.n_parameters, facts.opset) == (9, 17)


def test_what_does_harm_is_refused(made: Kit) -> None:
    bad = KERNEL.copy()
    bad[0, 0, 1, 1] = np.nan
    with pytest.raises(InputError, match="NaN"):
        read_onnx(made.onnx_file(bad))
    elsewhere = made.field(13, made.field(1, b"location") + made.field(2, b"/etc/passwd"))
    with pytest.raises(InputError, match="other files"):
        read_onnx(made.onnx_file(KERNEL, more=elsewhere))
    with pytest.raises(InputError, match="other files"):
        read_onnx(made.onnx_file(KERNEL, more=made.field(14, 1)))
    with pytest.raises(InputError, match="exceed 2048 Mi"):
        read_onnx(made.onnx_file(KERNEL, more=made.field(1, 2**30)))
    own = made.field(8, made.field(1, b"somebody.else") + made.field(2, 1))
    with pytest.raises(InputError, match=r"somebody\.else"):
        read_onnx(made.onnx_file(KERNEL) + own)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(made: Kit, share: float) -> None:
    data = made.onnx_file(KERNEL)
    with pytest.raises(InputError, match="ONNX"):
        read_onnx(data[: int(share * len(data))])


def test_bare_weights_are_described_without_anything_to_run_them(made: Kit, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(made.onnx_file(KERNEL))
    told = describe_model(tmp_path / "net.onnx")
    assert told["images"] == {"x": "1 x 1 x any x any"}
    with pytest.raises(InputError, match="no example"):
        self_test(tmp_path / "net.onnx")


def test_a_missing_runtime_is_named(
    made: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    (tmp_path / "net.onnx").write_bytes(made.onnx_file(KERNEL))
    model = open_model(tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"napari-unetseg\[onnx\]"):
        predict(model, Image.of(np.zeros((40, 40)), "YX"))


@needs_runtime
@pytest.mark.parametrize("sides", [(1, 1, 0, 0), (1, 1, 64, 96)])
def test_bare_weights_run(made: Kit, tmp_path: Path, sides: tuple[int, ...]) -> None:
    (tmp_path / "net.onnx").write_bytes(made.onnx_file(KERNEL, sides=sides))
    model = open_model(tmp_path / "net.onnx")
    image = np.random.default_rng(1).integers(0, 900, (120, 130)).astype(np.uint16)
    found = predict(model, Image.of(image, "YX"), PredictOptions(what="probabilities")).asarray()[1]
    low, high = np.percentile(image, [1, 99.8])
    wide = np.pad((image - low) / (high - low), 1, "symmetric").astype(np.float32)
    raw = torch.conv2d(torch.from_numpy(wide)[None, None], torch.from_numpy(KERNEL))[0, 0]
    np.testing.assert_allclose(found, raw.sigmoid().numpy(), atol=1e-4)


def test_a_public_model_is_described(shared_data: Path) -> None:
    told: dict[str, Any] = describe_model(shared_data / "model_nuclei_broad_mit")
    assert told["name"] == "UNet 2D Nuclei Broad"
    assert told["licence"] == "MIT"
    assert told["sizes"] == {"y": "exactly 512", "x": "exactly 512"}
    assert told["result"]["halo"] == {"y": 32, "x": 32}
    assert told["before"] == ["ensure_dtype", "zero_mean_unit_variance", "ensure_dtype"]
    assert told["weights"]["pytorch_state_dict"] == "not in the package"


@needs_runtime
def test_a_public_model_reproduces_its_example(shared_data: Path) -> None:
    folder = shared_data / "model_nuclei_broad_mit"
    trial = self_test(folder)
    assert trial.passed
    assert trial.difference < 1e-4
    model = open_model(folder)
    raw, expected = (np.load(folder / f"test_{name}.npy")[0, 0] for name in ("input", "output"))
    given = Image.of(raw, "YX")
    found = predict(model, given, PredictOptions(what="probabilities")).asarray()[1]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert int(predict(model, given, PredictOptions(what="objects")).asarray().max()) > 20
    # What is wider than the network's only size is put together of windows, at any tile.
    wide = Image.of(np.tile(raw, (1, 2)), "YX")
    whole = predict(model, wide, PredictOptions(what="probabilities")).asarray()
    np.testing.assert_array_equal(
        predict(model, wide, PredictOptions(what="probabilities", tile=448)).asarray(), whole
    )
    assert np.abs(whole[1, :, :448] - expected[:, :448]).mean() < 0.02


@needs_runtime
@pytest.mark.parametrize(("resolution", "ndim"), [("half", 3), ("quarter", 2)])
def test_a_network_of_a_lower_resolution_takes_images_of_any_size(
    make_model: Callable[..., Any], resolution: str, ndim: int
) -> None:
    pytest.importorskip("onnx", reason="runs with tox -e bioimageio")
    from napari_unetseg.core.nn.inference.exported import onnx_of
    from napari_unetseg.core.nn.restore import evidence_of_model

    model = make_model("unet", ndim, options={"resolution": resolution})
    rng = np.random.default_rng(0)
    engine = OnnxEngine(onnx_of(model, {}, rng.random((1, *(16,) * ndim)), 17))
    for sides in ((16,) * ndim, (32, 16, 48)[-ndim:]):
        image = rng.random((1, *sides), dtype=np.float32)
        (found,) = engine.run(image[None])
        np.testing.assert_allclose(found[0], evidence_of_model(model, image), atol=1e-4)


@needs_runtime
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_pixel_model_contains_the_pretrained_network(
    make_model: Callable[..., Any], ndim: int
) -> None:
    pytest.importorskip("onnx", reason="runs with tox -e bioimageio")
    from napari_unetseg.core.models_io.native.network_source import shown_inputs
    from napari_unetseg.core.nn.inference.exported import onnx_of
    from napari_unetseg.core.nn.restore import evidence_of_model

    model = make_model("softmax", ndim, options={"features": "pretrained"}, spacing=())
    rng = np.random.default_rng(0)
    traced = rng.random((1, *(3, 32, 48)[-ndim:]))
    engine = OnnxEngine(onnx_of(model, shown_inputs(model), traced, 17))
    for sides in ((3, 32, 48), (4, 53, 37)):
        image = rng.random((1, *sides[-ndim:]), dtype=np.float32)
        (found,) = engine.run(image[None])
        expected = evidence_of_model(model, image)
        np.testing.assert_allclose(found[0], expected, atol=1e-4 * np.abs(expected).max())
