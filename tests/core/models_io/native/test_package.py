"""Model files: what is saved comes back, others can read it, and no file does harm."""

import hashlib
import io
import json
import os
import pickle
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.open_segmenter import open_segmenter
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.registry import RUNGS
from napari_unetseg.core.model.trained_model import ModelCard, TrainedModel
from napari_unetseg.core.models_io.foreign import self_test
from napari_unetseg.core.models_io.native import (
    describe,
    load,
    model_files,
    package,
    plain_yaml,
    save,
)
from napari_unetseg.core.models_io.native.npy_arrays import npy_bytes, read_npy
from napari_unetseg.core.models_io.native.package_description import (
    exact_scale,
    own_fields,
    with_digest,
)
from napari_unetseg.core.models_io.native.plain_yaml import read_yaml, yaml_bytes
from napari_unetseg.core.models_io.native.state_dict import read_state_dict, write_state_dict
from napari_unetseg.core.models_io.native.zip_archive import MAX_LIST, Archive, names_in, zip_bytes
from napari_unetseg.core.nn.restore import evidence_of_model
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.recipe import parse_recipe

Make = Callable[..., TrainedModel]
Members = dict[str, bytes]

FUZZ = int(os.environ.get("UNETSEG_FUZZ", "200"))
"""How many files the fuzz test breaks."""

OBJECTS: dict[str, Any] = {"values": (0, 1), "labels_are": "objects"}

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in RUNGS),
    ("unet", {"options": {"padding": "valid", "position": "polynomial"}}),
    ("unet", {"options": {"normalisation": "group", "stem": "plain", "upsampling": "linear"}}),
    ("cnn", {"options": {"context": "pooling", "position": "sinusoidal"}, "n_channels": 2}),
    ("mlp", {"normalisation": NormalisationSpec(method="mean-std", per="image"), "n_channels": 3}),
    ("unet", OBJECTS | {"decoder": DecoderSpec()}),
    (
        "cnn",
        OBJECTS
        | {"decoder": DecoderSpec(decoding="boundary"), "options": {"position": "polynomial"}},
    ),
]


def members_of(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def content_of(members: Members) -> dict[str, Any]:
    content = yaml.safe_load(members["rdf.yaml"])
    assert isinstance(content, dict)
    return content


def put(
    path: Path,
    members: Members,
    change: Callable[[dict[str, Any]], Any] | None = None,
    *,
    sign: bool = True,
) -> Path:
    """Write a package whose hashes are right, whatever its members are."""
    content = content_of(members)
    digest = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    content["weights"]["pytorch_state_dict"]["sha256"] = digest["weights.pt"]
    for tensor in (*content["inputs"], *content["outputs"]):
        if "test_tensor" in tensor:
            tensor["test_tensor"]["sha256"] = digest[tensor["test_tensor"]["source"]]
    for entry in content.get("attachments", []):
        entry["sha256"] = digest[entry["source"]]
    if change is not None:
        change(content)
        if sign and "config" in content:
            content["config"]["unetseg"] = with_digest(content["config"]["unetseg"])
    path.write_bytes(zip_bytes(members | {"rdf.yaml": yaml_bytes(content)}))
    return path


@pytest.fixture(scope="module")
def small(make_model: Make, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small model's file."""
    history = [{"step": 1, "loss": 0.5, "dice": None}]
    path = tmp_path_factory.mktemp("small") / "model.zip"
    save(make_model("cnn", history=history), path)
    return path.read_bytes()


@pytest.fixture
def saved(small: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "model.zip"
    path.write_bytes(small)
    return path


# What is saved comes back


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(("kind", "fields"), VARIANTS)
def test_predicts_identically_after_saving(
    make_model: Make, tmp_path: Path, kind: str, fields: dict[str, Any], ndim: int
) -> None:
    model = make_model(kind, ndim, **fields)
    save(model, tmp_path / "model.zip")
    again = load(tmp_path / "model.zip")
    assert again.fingerprint == model.fingerprint
    shape = (model.n_channels, *((10, 26, 30)[-ndim:]))
    image = Image.of(np.random.default_rng(1).normal(size=shape), "C" + "ZYX"[-ndim:])
    for what in ("classes", "probabilities", "objects"):
        before, after = (
            predict(m, image, PredictOptions(what=what)).asarray() for m in (model, again)
        )  # type: ignore[arg-type]
        np.testing.assert_array_equal(after, before)


def test_every_field_comes_back(make_model: Make, tmp_path: Path) -> None:
    model = make_model(
        "unet",
        n_channels=3,
        name="Zellen, größer",
        classes=("background", "Zelle", "Zelle 2"),
        rgb=True,
        channel_names=("red", "green", "blue"),
        history=[{"step": 1, "loss": 0.25, "dice": None}, {"step": 2, "loss": 0.125, "dice": 0.5}],
        scores={"dice": 0.875, "per class": [0.75, 1.0]},
        parent="ab" * 32,
        provenance={"date": "2026-11-22T10:00:00+00:00", "options": {"budget": 2.0}},
        normalisation=NormalisationSpec(low=2.5, per="image"),
        card=ModelCard(description="Finds.", authors="A, B", licence="CC0-1.0"),
        diameter=17.5,
        example=np.random.default_rng(0).integers(0, 255, (3, 64, 70)).astype(np.uint8),
    )
    save(model, tmp_path / "model.zip")
    again = load(tmp_path / "model.zip")
    others = ("state", "history", "scores", "provenance", "example")
    for name in (field.name for field in fields(model) if field.name not in others):
        assert getattr(again, name) == getattr(model, name), name
    assert list(again.history) == list(model.history)
    assert dict(again.scores) == dict(model.scores)
    assert dict(again.provenance) == dict(model.provenance)
    assert again.example is not None
    assert again.example.dtype == np.uint8
    save(again, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "model.zip").read_bytes()


def test_a_model_of_objects_says_what_its_outputs_mean(make_model: Make, tmp_path: Path) -> None:
    decoder = DecoderSpec(decoding="boundary")
    decoding = DecodeOptions(split_depth=0.3, min_size=20)
    model = make_model("unet", **OBJECTS, decoder=decoder, decoding=decoding)
    save(model, tmp_path / "model.zip")
    again = load(tmp_path / "model.zip")
    assert (again.decoder, again.decoding) == (decoder, decoding)
    assert again.chosen_decoding == {"split_depth": 0.3, "min_size": 20}
    assert describe(tmp_path / "model.zip")["separates objects by"] == "boundary"
    members = members_of(tmp_path / "model.zip")
    content = content_of(members)
    assert content["config"]["unetseg"]["decoder"] == {"decoding": "boundary"}
    (output,) = content["outputs"]
    assert output["axes"][1]["channel_names"] == ["class_1", "boundary"]
    assert output["postprocessing"] == [{"id": "sigmoid"}]
    assert "object's boundary" in output["description"]
    assert "boundary" in members["README.md"].decode()
    # Another decoder is another model, though the weights have the same shapes.
    other = replace(model, decoder=DecoderSpec())
    assert other.fingerprint != model.fingerprint
    # So is one that makes other objects of them.
    assert replace(model, decoding=DecodeOptions()).fingerprint != model.fingerprint


def test_an_older_file_keeps_its_waist_and_fingerprint(make_model: Make) -> None:
    model = make_model("unet", **OBJECTS, decoder=DecoderSpec())
    fields = own_fields(model) | {"decoder": {"decoding": "distance", "split_depth": 0.3}}
    again = package._checked_model(package._OwnFields.model_validate(fields), dict(model.state))
    assert again.chosen_decoding == {"split_depth": 0.3}
    assert again.fingerprint == model.fingerprint


def test_what_an_unknown_decoder_says_is_not_guessed(make_model: Make, tmp_path: Path) -> None:
    save(make_model("unet", **OBJECTS, decoder=DecoderSpec()), tmp_path / "model.zip")

    def change(content: dict[str, Any]) -> None:
        content["config"]["unetseg"]["decoder"] = {"decoding": "flows"}

    put(tmp_path / "other.zip", members_of(tmp_path / "model.zip"), change)
    with pytest.raises(InputError, match="flows"):
        load(tmp_path / "other.zip")


@pytest.mark.parametrize(
    ("kind", "fields"), [("logistic", {"labels_are": "objects"}), ("unet", {"values": (0, 1)})]
)
def test_only_networks_of_objects_have_a_decoder(
    make_model: Make, kind: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="no maps of objects"):
        make_model(kind, decoder=DecoderSpec(), **fields)


def test_describes_itself(saved: Path) -> None:
    told = describe(saved)
    assert told["model"] == "cnn"
    assert told["classes"] == {0: "class 0", 1: "class 1", 2: "class 2"}
    assert told["training"]["steps"] == 1
    json.dumps(told)


def test_a_large_stack_example_is_left_out_and_its_sizes_are_still_true(
    make_model: Make, tmp_path: Path
) -> None:
    model = make_model("unet", 3, options={"depth": 3, "padding": "valid"})
    save(model, tmp_path / "model.zip")
    members = members_of(tmp_path / "model.zip")
    assert "test_input.npy" not in members
    axis = content_of(members)["outputs"][0]["axes"][-1]
    least = content_of(members)["inputs"][0]["axes"][-1]["size"]["min"]
    assert axis["size"]["offset"] < 0 < least + axis["size"]["offset"]
    assert load(tmp_path / "model.zip").example is None


# Others can read it


@pytest.mark.parametrize("kind", RUNGS)
def test_torch_reads_the_weights_and_nothing_else(
    make_model: Make, tmp_path: Path, kind: str
) -> None:
    model = make_model(kind)
    save(model, tmp_path / "model.zip")
    weights = tmp_path / "weights.pt"
    weights.write_bytes(members_of(tmp_path / "model.zip")["weights.pt"])
    for mapped in (False, True):
        state = torch.load(weights, weights_only=True, mmap=mapped)
        assert list(state) == list(model.state)
        for name, array in model.state.items():
            np.testing.assert_array_equal(state[name].numpy(), array)


@pytest.mark.parametrize(("kind", "fields"), VARIANTS)
def test_the_example_follows_from_the_description(
    make_model: Make, tmp_path: Path, kind: str, fields: dict[str, Any]
) -> None:
    """Do with the package what another program would do, with none of our code where it can."""
    model = make_model(kind, **fields)
    save(model, tmp_path / "model.zip")
    members = members_of(tmp_path / "model.zip")
    content = content_of(members)
    raw = np.load(io.BytesIO(members["test_input.npy"]))
    x = torch.from_numpy(_preprocessed(raw.astype(np.float32), content["inputs"][0]))
    entry = content["weights"]["pytorch_state_dict"]["architecture"]
    room: dict[str, Any] = {"__name__": "architecture"}
    exec(members[entry["source"]].decode(), room)
    assert "napari_unetseg.core" not in members[entry["source"]].decode()
    network = room[entry["callable"]](**entry["kwargs"]).eval()
    network.load_state_dict(torch.load(io.BytesIO(members["weights.pt"]), weights_only=True))
    with torch.inference_mode():
        evidence = network(x)
    single = content["outputs"][0]["postprocessing"][0]["id"] == "sigmoid"
    proba = (evidence.sigmoid() if single else evidence.softmax(1)).numpy()
    expected = np.load(io.BytesIO(members["test_output.npy"]))
    np.testing.assert_allclose(proba, expected, atol=1e-4)
    for axis, side, inside in zip("yx", expected.shape[2:], raw.shape[2:], strict=True):
        said = next(a for a in content["outputs"][0]["axes"] if a.get("id") == axis)
        assert side == inside + said["size"].get("offset", 0)


def _preprocessed(image: Any, tensor: dict[str, Any]) -> Any:
    axes = [axis.get("id", axis["type"]) for axis in tensor["axes"]]
    for step in tensor["preprocessing"]:
        options = step.get("kwargs", {})
        if step["id"] == "ensure_dtype":
            image = image.astype(options["dtype"])
            continue
        over = tuple(axes.index(axis) for axis in options["axes"])
        if step["id"] == "scale_range":
            shares = options["min_percentile"], options["max_percentile"]
            low, high = (np.percentile(image, q, axis=over, keepdims=True) for q in shares)
            image = (image - low) / (high - low + options["eps"])
        else:
            assert step["id"] == "zero_mean_unit_variance"
            spread = image.std(axis=over, keepdims=True) + options["eps"]
            image = (image - image.mean(axis=over, keepdims=True)) / spread
    return image


def test_the_files_network_agrees_with_the_segmenter(make_model: Make) -> None:
    model = make_model("mlp", options={"position": "polynomial"})
    image = np.random.default_rng(0).normal(size=(1, 30, 34)).astype(np.float32)
    evidence = torch.from_numpy(evidence_of_model(model, image)).softmax(0).numpy()
    direct = open_segmenter(model).predict_proba(image, origin=(0, 0), shape=(30, 34))
    np.testing.assert_allclose(evidence, direct, atol=1e-5)


def test_the_readme_tells_scores_and_limits(make_model: Make, tmp_path: Path) -> None:
    model = make_model("unet", options={"position": "polynomial"}, scores={"dice": 0.875})
    save(model, tmp_path / "model.zip")
    text = members_of(tmp_path / "model.zip")["README.md"].decode()
    assert "## Validation" in text
    assert "0.875" in text
    assert "whole images, not blocks" in text


def test_the_readme_gives_no_score_of_too_little(make_model: Make, tmp_path: Path) -> None:
    scores = {"dice": 0.875, "held_out_pixels": 300, "held_out_least": 18, "held_out": "2 strokes"}
    save(make_model("unet", scores=scores), tmp_path / "model.zip")
    text = members_of(tmp_path / "model.zip")["README.md"].decode()
    assert "Too little was held out for a score: 300 pixels in 2 strokes" in text
    assert "0.875" not in text


def test_a_file_is_small_when_it_is_to_be(make_model: Make, tmp_path: Path) -> None:
    model = make_model("unet", options={"resolution": "half", "depth": 4})
    save(model, tmp_path / "usual.zip")
    save(model, tmp_path / "small.zip", small=True)
    files = [tmp_path / "usual.zip", tmp_path / "small.zip"]
    usual, little = (path.stat().st_size for path in files)
    examples = [members_of(path)["test_output.npy"] for path in files]
    assert len(examples[1]) < len(examples[0]) / 4
    assert usual - little > 0.9 * (len(examples[0]) - len(examples[1]))
    assert load(tmp_path / "small.zip").fingerprint == model.fingerprint
    assert self_test(tmp_path / "small.zip").passed


def test_channel_names_suit_the_format(make_model: Make, tmp_path: Path) -> None:
    model = make_model("cnn", classes=("back ground", "1", "back-ground"))
    save(model, tmp_path / "model.zip")
    content = content_of(members_of(tmp_path / "model.zip"))
    names = content["outputs"][0]["axes"][1]["channel_names"]
    assert len(set(names)) == 3
    assert all(name.isidentifier() for name in names)


@given(st.floats(1e-6, 1e6), st.integers(1, 2**20))
def test_sizes_survive_the_pixel_size(step: float, size: int) -> None:
    scale = exact_scale(step)
    assert size * scale / scale == size
    assert scale == pytest.approx(step, rel=1e-7)


# Saving fails without harm


def test_the_name_must_say_zip(make_model: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in \.zip"):
        save(make_model("cnn"), tmp_path / "model.pt")


def test_a_full_disk_leaves_the_old_file(
    saved: Path, make_model: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    before = saved.read_bytes()
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match="No space left"):
        save(make_model("cnn", seed=1), saved)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["model.zip"]


# No file does harm


def test_a_model_that_would_not_open_is_not_saved(saved: Path, make_model: Make) -> None:
    old = saved.read_bytes()
    model = make_model("cnn", card=ModelCard(description="word " * 2**18))
    with pytest.raises(InputError, match=r"would not open again: .* limit of 1048576"):
        save(model, saved)
    assert saved.read_bytes() == old


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "none.zip")
    with pytest.raises(InputError, match=tmp_path.name):
        load(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(saved: Path, share: float) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="damaged"):
        load(saved)


def test_a_pickle_in_place_of_weights_is_not_run(saved: Path, tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "harm",))

    members = members_of(saved)
    for protocol in range(6):
        program = pickle.dumps(Harm(), protocol)
        inner = zip_bytes({"archive/data.pkl": program, "archive/version": b"3"})
        for weights in (program, inner):
            path = put(tmp_path / "bad.zip", members | {"weights.pt": weights})
            with pytest.raises(InputError):
                load(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "name", ["../out", "/etc/out", "a/../../out", "C:\\out", "a\\b", "bad\nname", "..", "c:out"]
)
def test_names_that_climb_out_are_refused(saved: Path, tmp_path: Path, name: str) -> None:
    path = put(tmp_path / "bad.zip", members_of(saved) | {name: b"x"})
    with pytest.raises(InputError, match="outside its folder"):
        load(path)


def test_links_and_encryption_and_doubles_are_refused(saved: Path, tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(saved, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match="a link"):
        load(saved)
    twice = tmp_path / "twice.zip"
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("rdf.yaml", "a: 1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("rdf.yaml", "a: 2")
    with pytest.raises(InputError, match="two files"):
        load(twice)
    squeezed = tmp_path / "squeezed.zip"
    with zipfile.ZipFile(squeezed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("rdf.yaml", "a: 1")
    with pytest.raises(InputError, match="unusual way"):
        load(squeezed)


def test_a_zip_bomb_is_not_unpacked(saved: Path, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for k in range(3):
            archive.writestr(f"rdf.yaml{k or ''}", b"0" * 50_000_000)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"more than the"):
        load(bomb)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10_000_000
    with (
        bomb.open("rb") as file,
        pytest.raises(InputError, match="unpacks to more"),
    ):
        Archive(file, "The file", max_bytes=10**8)


def test_a_zip_that_lies_about_its_sizes_is_refused(saved: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    data = bytearray(saved.read_bytes())
    central = data.rindex(b"README.md") - 46
    assert int.from_bytes(data[central + 24 : central + 28], "little") == sizes["README.md"]
    data[central + 24 : central + 28] = (2**31 - 1).to_bytes(4, "little")
    saved.write_bytes(data)
    with pytest.raises(InputError, match="far larger when unpacked"):
        load(saved)


def test_wrong_hashes_are_refused(saved: Path, tmp_path: Path) -> None:
    members = members_of(saved)
    for name in ("weights.pt", "history.json", "test_input.npy"):
        data = bytearray(members[name])
        data[-1] ^= 1
        saved.write_bytes(zip_bytes(members | {name: bytes(data)}))
        with pytest.raises(InputError, match="SHA-256 differs"):
            load(saved)


def test_changed_options_are_refused(saved: Path, tmp_path: Path) -> None:
    """Options that fit the weights but predict otherwise are caught by the digest."""

    def change(content: dict[str, Any]) -> None:
        content["config"]["unetseg"]["options"]["activation"] = "elu"

    with pytest.raises(InputError, match="digest"):
        load(put(tmp_path / "bad.zip", members_of(saved), change, sign=False))


def test_options_added_later_leave_old_files_readable(saved: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        del content["config"]["unetseg"]["options"]["dropout"]
        content["config"]["unetseg"]["something"] = "new"

    again = load(put(tmp_path / "old.zip", members_of(saved), change))
    assert again.fingerprint == load(saved).fingerprint


def set_own(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["config"]["unetseg"].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_own(version=2), "Update napari-unetseg"),
        (set_own(version=True), "Update napari-unetseg"),
        (set_own(kind="forest"), "no model 'forest'"),
        (set_own(options={"layers": 10**9}), "layers"),
        (set_own(options={"new": 1}), "new"),
        (set_own(options={1: 1}), "valid string"),
        (set_own(scores={"date": date(2026, 1, 1)}), "scores"),
        (set_own(provenance={"raw": b"bytes"}), "provenance"),
        (set_own(n_channels=10**9), "n_channels"),
        (set_own(n_channels=2), "do not fit|fingerprint"),
        (set_own(ndim=True), "ndim"),
        (set_own(values=[0, 1]), "class"),
        (set_own(classes=["x"] * 10_000), "classes"),
        (set_own(spacing=[0.0, 1.0]), "spacing"),
        (set_own(spacing=[float("nan"), 1.0]), "spacing"),
        (set_own(normalisation={"low": 200.0}), "low"),
        (set_own(card={"licence": "a b"}), "licence"),
        (lambda content: content.pop("config"), "not a model of napari-unetseg"),
        (lambda content: content.pop("weights"), "does not link"),
        (lambda content: content.update(weights=[1]), "does not link"),
        (lambda content: content.update(inputs={"a": 1}), "does not link"),
        (lambda content: content.update(attachments=7), "does not link"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(
    saved: Path, tmp_path: Path, change: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load(put(tmp_path / "bad.zip", members_of(saved), change))


def weights_like(saved: Path, **changed: Any) -> bytes:
    state = read_state_dict(members_of(saved)["weights.pt"])
    return write_state_dict(state | changed)


def test_weights_of_other_shapes_or_without_meaning_are_refused(
    saved: Path, tmp_path: Path
) -> None:
    name = "head.0.bias"
    wrong = {
        "NaN": np.full(3, np.nan, np.float32),
        "fingerprint": np.ones(3, np.float32),
    }
    for message, array in wrong.items():
        members = members_of(saved) | {"weights.pt": weights_like(saved, **{name: array})}
        with pytest.raises(InputError, match=message):
            load(put(tmp_path / "bad.zip", members))


def test_shapes_are_checked_even_where_the_fingerprint_is_right(
    saved: Path, make_model: Make, tmp_path: Path
) -> None:
    model = load(saved)
    state = dict(model.state) | {"head.0.bias": np.zeros(99, np.float32)}
    forged = make_model("cnn")
    object.__setattr__(forged, "state", state)
    members = members_of(saved) | {"weights.pt": write_state_dict(state)}
    path = put(tmp_path / "bad.zip", members, set_own(fingerprint=forged.fingerprint))
    with pytest.raises(InputError, match="do not fit"):
        load(path)


@pytest.mark.parametrize(
    "text",
    [
        b"a: &a [*a]",
        b"a: &a {b: *a}",
        b"a: &a\n  <<: *a\n",
        b"\n".join(
            [b"l0: &l0 [1,1,1,1,1,1,1,1,1,1]"]
            + [f"l{k}: &l{k} [{', '.join([f'*l{k - 1}'] * 10)}]".encode() for k in range(1, 9)]
        ),
        b"a: " + b"[" * 5000,
        b"a: " + b"[" * 5000 + b"]" * 5000,
        b"a:\n" + b"".join(b" " * k + b"- \n" for k in range(900)),
        b"a: " + b"9" * 5000,
        b"a: 1" + b":59" * 5000,
        b"x" * (2**20 + 1),
        b"[" + b"1," * 60_000 + b"1]",
        b"!!python/object/apply:os.system [ls]",
        b"a: !!python/name:os.system",
        b"a: 2026-99-99",
        b"? [a, b]\n: 1",
        b"? {a: b}\n: 1",
        b"1: 2",
        b"- a",
        b"",
        b"\xff\xfe",
        b"a: \x00",
        b"%YAML 9.9\n--- a",
        b"--- a\n--- b",
    ],
)
def test_hostile_yaml_is_refused(text: bytes) -> None:
    with pytest.raises(InputError, match="The text"):
        read_yaml(text, "The text")


def test_yaml_may_name_what_it_repeats() -> None:
    assert read_yaml(b"a: &x [1, 2]\nb: *x", "The text") == {"a": [1, 2], "b": [1, 2]}


def test_a_deep_history_is_refused(saved: Path, tmp_path: Path) -> None:
    for text in (b"[" * 100_000, b"{", b"[[1]]", b'[{"a": [1]}]', b"7"):
        members = members_of(saved) | {"history.json": text}
        with pytest.raises(InputError, match=r"history\.json"):
            load(put(tmp_path / "bad.zip", members))


# State dicts


def test_state_dicts_of_torch_are_read() -> None:
    """Every dtype, views, shared storage, parameters and a module's own metadata."""
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    state = module.state_dict() | {
        "view": base.T[1:, ::2],
        "same": base,
        "parameter": torch.nn.Parameter(base.clone()),
        "scalar": torch.tensor(3),
        "half": base.half(),
        "brain": base.bfloat16(),
        "double": base.double(),
        "flags": base > 3,
        "bytes": base.to(torch.uint8),
    }
    out = io.BytesIO()
    torch.save(state, out)
    found = read_state_dict(out.getvalue())
    assert list(found) == list(state)
    for name, tensor in state.items():
        expected = tensor.detach().float() if name == "brain" else tensor.detach()
        np.testing.assert_array_equal(found[name], expected.numpy())
        assert found[name].dtype == expected.numpy().dtype


@pytest.mark.parametrize(
    "content",
    [[torch.zeros(2)], {"a": 1}, {"a": {"b": torch.zeros(2)}}, {1: torch.zeros(2)}, {}, "text"],
)
def test_other_content_than_named_tensors_is_refused(content: Any) -> None:
    out = io.BytesIO()
    torch.save(content, out)
    with pytest.raises(InputError, match="weights"):
        read_state_dict(out.getvalue())


def test_whole_modules_and_old_files_are_refused() -> None:
    out = io.BytesIO()
    torch.save(torch.nn.Linear(1, 1), out)
    with pytest.raises(InputError, match=r"more than tensors"):
        read_state_dict(out.getvalue())
    old = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, old, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match="damaged"):
        read_state_dict(old.getvalue())


def test_a_number_spread_over_a_huge_shape_is_refused() -> None:
    for tensor in (torch.zeros(1).expand(10**6, 10**6), torch.zeros(1).expand(2), torch.zeros(0)):
        out = io.BytesIO()
        torch.save({"a": tensor}, out)
        with pytest.raises(InputError, match="damaged"):
            read_state_dict(out.getvalue())


def test_shared_numbers_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unetseg.core.models_io.native.state_dict.MAX_BYTES", 2**20)
    base = torch.zeros(2**16)
    out = io.BytesIO()
    torch.save({f"w{k}": base for k in range(100)}, out)
    with pytest.raises(InputError, match="far larger when unpacked"):
        read_state_dict(out.getvalue())


# Arrays


@pytest.mark.parametrize("dtype", ["u1", "i2", "<f4", ">f8", "<u4"])
def test_arrays_come_back(dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    for laid in (array, array.T):
        np.testing.assert_array_equal(read_npy(npy_bytes(laid), "The array"), laid)
    out = io.BytesIO()
    np.save(out, array.T)
    np.testing.assert_array_equal(read_npy(out.getvalue(), "The array"), array.T)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"(2, 3)", b"(2, 9)"),
        (b"(2, 3)", b"(9**9)"),
        (b"'<f4'", b"'|O8'"),
        (b"'<f4'", b"'<f3'"),
        (b"NUMPY", b"NUMPX"),
        (b"False", b"exit "),
    ],
)
def test_arrays_that_lie_are_refused(old: bytes, new: bytes) -> None:
    data = npy_bytes(np.zeros((2, 3), np.float32))
    assert old in data
    with pytest.raises(InputError, match="The array"):
        read_npy(data.replace(old, new), "The array")
    with pytest.raises(InputError, match="The array"):
        read_npy(b"", "The array")


# Anything at all


def test_broken_files_are_refused_or_harmless(saved: Path, tmp_path: Path, mutations: Any) -> None:
    """Break packages at random, with right hashes so that it is found deep inside or not at all."""
    rng, mutated = np.random.default_rng(0), mutations.bytes_broken
    whole, members = saved.read_bytes(), members_of(saved)
    program = members_of_bytes(members["weights.pt"])
    sound = load(saved).fingerprint
    refused = 0
    for k in range(FUZZ):
        path = tmp_path / "broken.zip"
        match k % 4:
            case 0:
                path.write_bytes(mutated(whole, rng))
            case 1:
                text = mutated(members["rdf.yaml"], rng)
                path.write_bytes(zip_bytes(members | {"rdf.yaml": text}))
            case 2:
                inner = dict(program)
                name = "archive/data.pkl" if rng.random() < 0.8 else str(rng.choice(list(inner)))
                inner[name] = mutated(inner[name], rng)
                put(path, members | {"weights.pt": zip_bytes(inner)})
            case _:
                name = str(rng.choice(["test_input.npy", "history.json", "weights.pt"]))
                put(path, members | {name: mutated(members[name], rng)})
        try:
            assert load(path).fingerprint == sound
        except InputError:
            refused += 1
    assert refused > FUZZ / 2


def members_of_bytes(data: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_loading_needs_only_what_it_says(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Describing a file works where torch is not installed; loading says what is missing."""
    import builtins
    import sys

    from napari_unetseg import core

    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return real(name, *rest, **more)

    for name in [n for n in sys.modules if n == "torch" or n.startswith("napari_unetseg.core.nn")]:
        monkeypatch.delitem(sys.modules, name)
    if hasattr(core, "nn"):
        # The import below sets it anew: other tests are to find the package that they know.
        monkeypatch.setattr(core, "nn", core.nn)
    monkeypatch.setattr(builtins, "__import__", without)
    assert describe(saved)["model"] == "cnn"
    with pytest.raises(InputError, match="PyTorch"):
        load(saved)


def test_a_file_larger_than_any_model_is_refused(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="the limit for a model"):
        load(saved)


def test_normalisation_beyond_the_format_is_told(make_model: Make, tmp_path: Path) -> None:
    model = make_model("cnn", normalisation=NormalisationSpec(low=0.1, high=0.5))
    save(model, tmp_path / "model.zip")
    members = members_of(tmp_path / "model.zip")
    assert b"cannot express its normalisation" in members["README.md"]
    steps = content_of(members)["inputs"][0]["preprocessing"]
    assert [step["id"] for step in steps] == ["ensure_dtype"]
    image = Image.of(np.random.default_rng(0).normal(size=(20, 20)))
    assert fit_normalisation(image, load(tmp_path / "model.zip").normalisation).scale


def test_a_long_list_of_members_is_not_read(tmp_path: Path) -> None:
    """The list of a million files takes a minute and a gigabyte."""
    entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, *(0,) * 7, 1, *(0,) * 6) + b"n"
    many = entry * (MAX_LIST // len(entry) + 1)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 2**16 - 1, 2**16 - 1, len(many), 0, 0)
    path = tmp_path / "many.zip"
    path.write_bytes(many + end)
    with pytest.raises(InputError, match=r"many\.zip.*lists too many files"):
        load(path)
    assert names_in(io.BytesIO(many + end)) == []
    few = zip_bytes({"rdf.yaml": b"", "weights.pt": b""})
    assert names_in(io.BytesIO(few)) == ["rdf.yaml", "weights.pt"]


def test_a_text_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    class Counting(plain_yaml._Loader):
        def __init__(self, text: str, what: str) -> None:
            texts.append(text)
            super().__init__(text, what)

    monkeypatch.setattr(plain_yaml, "_Loader", Counting)
    for name in ("load", "compose", "parse"):
        monkeypatch.delattr(yaml, name)
    recipe = parse_recipe("format: napari-unetseg recipe\nversion: 2\nthreshold: {}\n")
    assert recipe.threshold is not None
    assert len(texts) == 1


@pytest.mark.parametrize("parser", [yaml.SafeLoader, plain_yaml._Parser])
def test_any_parser_is_held_to_the_limits(parser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Loader(plain_yaml._CheckedComposer, parser):  # type: ignore[misc]
        __init__ = plain_yaml._Loader.__init__

    monkeypatch.setattr(plain_yaml, "_Parser", parser)
    assert Loader("a: &x [1, 2]\nb: *x", "It").get_single_data() == {"a": [1, 2], "b": [1, 2]}
    for text in ("[" * 40 + "]" * 40, "[" + "1," * plain_yaml.MAX_NODES + "]"):
        with pytest.raises(InputError, match="nested too deep or too long"):
            Loader(text, "It").get_single_data()
