"""Packages of others: axes, sizes, channels and terms as they say, and nothing run unasked."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict, predict_maps
from napari_unetseg.core.models_io.foreign import NeedsTrust, describe_model, open_model, self_test
from napari_unetseg.core.models_io.foreign.fixed_windows import Side
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.models_io.native.zip_archive import zip_bytes
from napari_unetseg.core.objects.decoders import DecoderSpec

Kit = SimpleNamespace
Sizes = tuple[int, ...]


class Laid(nn.Module):
    """A convolution for arrays whose axes lie in any order."""

    def __init__(self, axes: str, n_in: int, n_out: int) -> None:
        super().__init__()
        self.axes, self.ndim = axes, sum(letter in "zyx" for letter in axes)
        kind = {2: nn.Conv2d, 3: nn.Conv3d}[self.ndim]
        self.conv = kind(n_in, n_out, 5, padding=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        order = "bc" + "zyx"[-self.ndim :]
        for k, letter in enumerate(order):
            if letter not in self.axes:
                x = x.unsqueeze(k if k < x.ndim else -1) if letter == "b" else x
        laid = x.permute([self.axes.index(letter) for letter in order])
        made = self.conv(laid)
        return made.permute([order.index(letter) for letter in self.axes])


def forged(made: Kit, path: Path, axes: str = "bcyx", n_in: int = 1, **said: Any) -> nn.Module:
    """Write a package of a convolution as TorchScript; return the network."""
    names = said.pop("names", ("foreground",))
    network = made.drawn(Laid(axes, n_in, len(names)))
    sides = {"b": 1, "c": n_in, "z": 8, "y": 12, "x": 16}
    weights = made.scripted(network, torch.rand([sides[letter] for letter in axes]))
    members = {"weights": weights, **said.pop("members", {})}
    content = made.content_of(members, "torchscript", axes=axes, n_in=n_in, names=names, **said)
    made.packed(path, members, content)
    return network


def expected_of(network: Any, image: Any) -> Any:
    """Return the sigmoid of the convolution of an image (C, *spatial), mirrored at its edges."""
    wide = np.pad(image, [(0, 0), *[(2, 2)] * (image.ndim - 1)], "symmetric")
    with torch.inference_mode():
        made = network.conv(torch.from_numpy(wide.astype(np.float32))[None])[0]
    inner = (slice(None), *(slice(2, -2) for _ in range(image.ndim - 1)))
    return torch.sigmoid(made).numpy()[inner]


@pytest.mark.parametrize("axes", ["bcyx", "byxc", "bcxy", "cbyx", "bczyx", "bzyxc", "bxyzc"])
@pytest.mark.parametrize("n_in", [1, 3])
def test_any_order_of_axes(made: Kit, tmp_path: Path, axes: str, n_in: int) -> None:
    network = forged(made, tmp_path / "model.zip", axes, n_in)
    model = open_model(tmp_path / "model.zip", trust=True)
    spatial = (9, 21, 30) if "z" in axes else (21, 30)
    image = np.random.default_rng(0).normal(size=(n_in, *spatial))
    found = predict(
        model, Image.of(image, "C" + "ZYX"[-len(spatial) :]), PredictOptions(what="probabilities")
    )
    assert found.channel_names == ("background", "foreground")
    np.testing.assert_allclose(found.asarray()[1], expected_of(network, image)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("size", "halo"), [({"min": 8, "step": 4}, 4), ({"min": 20, "step": 16}, 3), (24, 4), (24, 0)]
)
def test_fixed_and_stepped_sizes_and_tiles_give_the_same(
    made: Kit, tmp_path: Path, size: Any, halo: int
) -> None:
    network = forged(made, tmp_path / "model.zip", size=size, halo=halo)
    model = open_model(tmp_path / "model.zip", trust=True)
    image = np.random.default_rng(0).normal(size=(1, 70, 53))
    given = Image.of(image[0], "YX")
    whole = predict(model, given, PredictOptions(what="probabilities")).asarray()
    tiled = predict(model, given, PredictOptions(what="probabilities", tile=16)).asarray()
    np.testing.assert_allclose(tiled, whole, atol=1e-6)
    np.testing.assert_allclose(whole[1], expected_of(network, image)[0], atol=1e-5)
    small = image[:, :10, :7]
    found = predict(
        model, Image.of(small[0], "YX"), PredictOptions(what="probabilities")
    ).asarray()[1]
    np.testing.assert_allclose(found, expected_of(network, small)[0], atol=1e-5)


@pytest.mark.parametrize("whole", [1, 7, 24, 25, 100, 331])
@pytest.mark.parametrize("side", [Side(24, 0, 4), Side(24, 0, 11), Side(5, 0, 0)])
def test_windows_of_a_fixed_size_keep_every_pixel_once(side: Side, whole: int) -> None:
    reach = math.ceil(side.halo / side.multiple) * side.multiple
    length = math.ceil(whole / side.multiple) * side.multiple + 2 * reach
    kept = np.zeros(length, int)
    for window in side.windows(-reach, length, whole):
        assert window.stop - window.start == side.least
        assert 0 <= window.start <= window.first
        assert window.last <= window.stop <= length
        kept[window.first : window.last] += 1
    assert (kept[reach : reach + whole] == 1).all()


def test_a_foreground_and_a_boundary_make_objects(made: Kit, tmp_path: Path) -> None:
    forged(made, tmp_path / "model.zip", names=("foreground", "boundary"))
    model = open_model(tmp_path / "model.zip", trust=True)
    assert model.decoder == DecoderSpec(decoding="boundary")
    assert (model.classes, model.labels_are) == (("background", "foreground"), "objects")
    image = Image.of(np.random.default_rng(0).normal(size=(40, 40)), "YX")
    assert predict_maps(model, image).asarray().shape == (3, 40, 40)
    assert predict(model, image, PredictOptions(what="objects")).dtype == np.int32


def test_channels_that_add_up_are_classes(made: Kit, tmp_path: Path) -> None:
    names = ("background", "cell", "dirt")
    forged(made, tmp_path / "model.zip", names=names, after=({"id": "softmax"},))
    model = open_model(tmp_path / "model.zip", trust=True)
    assert (model.classes, model.values) == (names, (0, 1, 2))
    image = Image.of(np.random.default_rng(0).normal(size=(30, 30)), "YX")
    proba = predict(model, image, PredictOptions(what="probabilities")).asarray()
    np.testing.assert_allclose(proba.sum(0), 1, atol=1e-5)


def test_statistics_are_of_the_whole_image_before_and_after(made: Kit, tmp_path: Path) -> None:
    before = ({"id": "scale_range", "kwargs": {"axes": ["y", "x"], "max_percentile": 99}},)
    after = (
        {"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"]}},
        {"id": "sigmoid"},
    )
    network = forged(made, tmp_path / "model.zip", before=before, after=after)
    model = open_model(tmp_path / "model.zip", trust=True)
    image = np.random.default_rng(0).integers(0, 4000, (1, 50, 60)).astype(np.float64)
    given = Image.of(image[0], "YX")
    whole = predict(model, given, PredictOptions(what="probabilities")).asarray()[1]
    low, high = np.percentile(image, [0, 99])
    wide = np.pad((image - low) / (high - low), [(0, 0), (2, 2), (2, 2)], "symmetric")
    with torch.inference_mode():
        raw = network.conv(torch.from_numpy(wide.astype(np.float32))[None])[0, 0, 2:-2, 2:-2]
    scaled = (raw - raw.mean()) / raw.std(correction=0)
    np.testing.assert_allclose(whole, torch.sigmoid(scaled).numpy(), atol=1e-4)
    tiled = predict(model, given, PredictOptions(what="probabilities", tile=16)).asarray()[1]
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


# What is said before anything runs


def test_it_is_described_before_anything_runs(made: Kit, tmp_path: Path) -> None:
    forged(made, tmp_path / "model.zip", n_in=2)
    told = describe_model(tmp_path / "model.zip")
    assert told["licence"] == "MIT"
    assert told["authors"] == ["A. Person"]
    assert told["cite"] == ["A paper. 10.1000/1"]
    assert told["axes"] == "bcyx"
    assert told["channels"] == ["raw 0", "raw 1"]
    assert told["pixel size"] == {"y": "0.5 micrometer", "x": "0.5 micrometer"}
    assert told["sizes"]["y"] == "8 + any times 4"


def test_a_program_waits_for_a_yes(made: Kit, tmp_path: Path) -> None:
    forged(made, tmp_path / "model.zip")
    with pytest.raises(NeedsTrust, match="is a program"):
        open_model(tmp_path / "model.zip")
    bare = tmp_path / "bare.pt"
    bare.write_bytes(made.scripted(made.drawn(Laid("bcyx", 1, 1)), torch.rand(1, 1, 12, 16)))
    assert "can execute code" in describe_model(bare)["format"]
    with pytest.raises(NeedsTrust):
        open_model(bare)
    model = open_model(bare, trust=True)
    assert predict(model, Image.of(np.zeros((40, 50)), "YX")).asarray().shape == (40, 50)


def test_its_own_test_passes_or_fails_visibly(made: Kit, tmp_path: Path) -> None:
    network = made.drawn(Laid("bcyx", 1, 1))
    raw = np.random.default_rng(0).normal(size=(1, 1, 20, 24)).astype(np.float32)
    with torch.inference_mode():
        right = torch.sigmoid(network(torch.from_numpy(raw))).numpy()
    for expected, passes in ((right, True), (right + 0.01, False), (right[..., :-1], False)):
        forged(made, tmp_path / "model.zip", members=made.tensors(raw, expected))
        trial = self_test(tmp_path / "model.zip", trust=True)
        assert trial.passed == passes, trial.summary


def test_a_folder_and_its_description_open_as_the_zip(made: Kit, tmp_path: Path) -> None:
    import zipfile

    forged(made, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        archive.extractall(tmp_path / "folder")
    image = Image.of(np.random.default_rng(0).normal(size=(20, 20)), "YX")
    results = [
        predict(open_model(path, trust=True), image, PredictOptions(what="probabilities")).asarray()
        for path in (tmp_path / "model.zip", tmp_path / "folder", tmp_path / "folder" / "rdf.yaml")
    ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_the_old_format_is_read(made: Kit, tmp_path: Path) -> None:
    network = made.drawn(Laid("bcyx", 1, 1))
    weights = made.scripted(network, torch.rand(1, 1, 12, 16))
    fixed = {"mode": "fixed", "axes": "xy", "mean": 2.0, "std": 4.0}
    content = {
        "type": "model",
        "format_version": "0.4.9",
        "name": "Old nuclei",
        "inputs": [
            {
                "name": "raw",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": {"min": [1, 1, 8, 8], "step": [0, 0, 4, 4]},
                "preprocessing": [{"name": "zero_mean_unit_variance", "kwargs": fixed}],
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
        "weights": {"torchscript": made.linked("weights", weights)},
    }
    path = made.packed(tmp_path / "old.zip", {"weights": weights}, content)
    model = open_model(path, trust=True)
    image = np.random.default_rng(0).normal(size=(1, 30, 30))
    found = predict(
        model, Image.of(image[0], "YX"), PredictOptions(what="probabilities")
    ).asarray()[1]
    np.testing.assert_allclose(found, expected_of(network, (image - 2) / 4)[0], atol=1e-5)
    content["outputs"][0]["shape"]["scale"] = [1, 1, 2, 2]  # type: ignore[index]
    with pytest.raises(InputError, match="2 times the image's pixels"):
        open_model(made.packed(path, {"weights": weights}, content), trust=True)


def test_a_foreign_model_is_not_saved_as_ours(made: Kit, tmp_path: Path) -> None:
    forged(made, tmp_path / "model.zip")
    model = open_model(tmp_path / "model.zip", trust=True)
    with pytest.raises(InputError, match="Copy the file it came from"):
        save(model, tmp_path / "other.zip")
    with pytest.raises(InputError, match="model from another program"):
        model.features(1, 2)


# What is refused


def changed(**said: Any) -> Any:
    return lambda content: content.update(said)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(format_version="0.3.2"), "0.4 and 0.5 are supported"),
        (changed(type="dataset"), "not a model"),
        (changed(weights={}), "no weights that can be run"),
        (changed(weights={"keras_hdf5": {"source": "weights"}}), "it lists keras_hdf5"),
        (changed(inputs=[]), "no inputs"),
        (lambda c: c["inputs"].append({**c["inputs"][0], "id": "second"}), "several images"),
        (lambda c: c["weights"]["torchscript"].update(source="../weights"), "does not contain"),
        (lambda c: c["weights"]["torchscript"].update(source="https://x.org/w"), "no weights"),
        (lambda c: c["weights"]["torchscript"].update(sha256="0" * 64), "SHA-256 differs"),
        (lambda c: c["inputs"][0]["axes"][2].update(size={"min": 4, "max": 9}), "lists"),
        (
            lambda c: [axis.update(size=65536) for axis in c["inputs"][0]["axes"][2:]],
            "too large for a laptop",
        ),
        (lambda c: c["inputs"][0]["axes"][2].update(size=10**9), "size of y"),
        (lambda c: c["outputs"][0]["axes"][2].update(scale=1.0), "2 times as large"),
        (lambda c: c["inputs"][0].update(preprocessing=[{"id": "magic"}]), "'magic'"),
        (
            lambda c: c["outputs"][0].update(postprocessing=[{"id": "cellpose_flow_dynamics"}]),
            "cellpose_flow_dynamics",
        ),
        (
            lambda c: c["inputs"][0].update(
                preprocessing=[{"id": "scale_range", "kwargs": {"axes": ["x"]}}]
            ),
            "each line along y",
        ),
        (
            lambda c: c["inputs"][0].update(
                preprocessing=[{"id": "clip", "kwargs": {"min": float("nan")}}]
            ),
            "min is nan",
        ),
        (lambda c: c["outputs"][0]["axes"][1].update(channel_names=["a"] * 5000), "5000 channels"),
    ],
)
def test_what_cannot_be_used_is_named(made: Kit, tmp_path: Path, change: Any, message: str) -> None:
    members = {"weights": b"nothing"}
    content = made.content_of(members, "torchscript")
    change(content)
    path = made.packed(tmp_path / "model.zip", members, content)
    with pytest.raises(InputError, match=message):
        open_model(path, trust=True)


def test_a_folder_reads_nothing_outside_of_it(made: Kit, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    content = made.content_of({"weights": b"x"}, "torchscript")
    for name in ("../secret", str(tmp_path / "secret"), "link", "a/../../secret"):
        content["weights"]["torchscript"] = {"source": name}
        made.packed(tmp_path / "any.zip", {}, content)
        import zipfile

        with zipfile.ZipFile(tmp_path / "any.zip") as archive:
            archive.extract("rdf.yaml", folder)
        with pytest.raises(InputError, match="outside of the folder"):
            open_model(folder, trust=True)


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "model.pkl", "model.ckpt"])
def test_other_formats_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(InputError, match="convert it to ONNX"):
        open_model(tmp_path / name)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    import pickle

    class Harm:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "harm",))

    program = pickle.dumps(Harm(), 2)
    for data in (program, zip_bytes({"archive/data.pkl": program, "archive/version": b"3"})):
        path = tmp_path / "model.pth"
        path.write_bytes(data)
        for look in (open_model, describe_model):
            with pytest.raises(InputError):
                look(path)
    assert not (tmp_path / "harm").exists()
