"""The pretrained network's features: exact receptive field, the same numbers every way."""

import io
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.pixel_table import PixelTable
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.background.linear_unit import LinearUnit
from napari_unetseg.core.background.polynomial import Polynomial, Terms
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.open_segmenter import open_segmenter
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.predict_tiles import predict_proba_image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model import pretrained_features as module
from napari_unetseg.core.model.pixel_specs import LogisticSpec, MlpSpec, SoftmaxSpec
from napari_unetseg.core.model.pretrained_features import (
    OUTPUTS,
    PRETRAINED,
    colours,
    pretrained_weights,
)
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native import describe, load, save
from napari_unetseg.core.models_io.native.network_source import network_builder, shown_inputs
from napari_unetseg.core.nn.inference.exported import torchscript_of
from napari_unetseg.core.nn.inference.pixel_segmenter import from_linear_unit
from napari_unetseg.core.nn.inference.pretrained_source import PretrainedSource
from napari_unetseg.core.nn.restore import evidence_of_model, image_network
from napari_unetseg.core.nn.training import live_pixels as live_module
from napari_unetseg.core.nn.training import pretrained_tiles
from napari_unetseg.core.nn.training.fit_pixels import fit_table
from napari_unetseg.core.nn.training.live_pixels import LivePixels
from napari_unetseg.core.normalisation import Normalisation, NormalisationSpec, fit_normalisation
from napari_unetseg.core.samples import neurons
from napari_unetseg.core.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

Make = Callable[..., TrainedModel]
SPECS = [
    LogisticSpec(sigmas="1, 2", features="bank+pretrained"),
    SoftmaxSpec(sigmas="1", features="pretrained"),
    MlpSpec(sigmas="1", width=8, features="bank+pretrained", position="polynomial"),
]
BARE = LogisticSpec(features="pretrained")


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def scene(side: int = 120, seed: int = 0) -> tuple[Image, NDArray[np.uint8]]:
    sample = neurons((side, side), seed=seed)
    strokes = np.zeros((side, side), np.uint8)
    strokes[10:-10:24] = np.where(sample.mask[10:-10:24], 2, 1)
    return Image.of(sample.image), strokes


def taught(spec: Any, *pairs: Any, **more: Any) -> TrainedModel:
    lessons = [TrainingPair(*pair) for pair in pairs or [scene()]]
    return train(spec, lessons, TrainOptions(validation=0), name="quick", **more).model


# The network


def test_its_receptive_field_is_as_said() -> None:
    """A pixel at the edge of what an output depends on changes it, one beyond does not."""
    source, side = PretrainedSource(1, 2), 400
    place: Any = {"origin": (0, 0), "shape": (side, side)}
    block = noise(1, side, side)
    before = source.maps(block, **place)
    step = PRETRAINED.multiple(2)[0]
    at = 192
    firsts = [0, 32, 0, 0, 0]
    for number, tap in enumerate(OUTPUTS):
        grid, first = max(number - 1, 0), firsts[number]
        for edge, changes in ((tap.left, True), (tap.left - 1, False)):
            other = block.copy()
            other[:, at + edge, :] += 50.0
            after = source.maps(other, **place)[grid].values
            changed = np.abs(after - before[grid].values)[:, at // tap.step]
            changed = changed[first : first + tap.channels].max()
            assert (changed > 0) == changes, (tap, edge)
    assert PRETRAINED.halo(3) == (0, *PRETRAINED.halo(2))
    assert step == 16


def test_a_tile_with_its_halo_is_the_whole(make_model: Make) -> None:
    model = make_model("logistic", options={"features": "pretrained"})
    segmenter, shape = open_segmenter(model), (450, 425)
    image = Image.of(noise(*shape), spacing=model.spacing, unit=model.unit)
    scaling = fit_normalisation(image, model.normalisation)
    whole = predict_proba_image(image, segmenter, scaling, tile=500).asarray()
    tiled = predict_proba_image(image, segmenter, scaling, tile=230).asarray()
    np.testing.assert_allclose(tiled, whole, atol=1e-4)
    assert whole.std() > 1e-3


def test_channels_become_three() -> None:
    np.testing.assert_array_equal(colours(1), np.ones((3, 1)))
    np.testing.assert_array_equal(colours(3), np.eye(3))
    np.testing.assert_allclose(colours(2), [[1, 0], [0.5, 0.5], [0, 1]])
    for n_channels in range(1, 9):
        np.testing.assert_allclose(colours(n_channels).sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 17, 31), (4, 40, 33), (3, 50, 20)])
def test_any_sides_and_channels(shape: Any) -> None:
    block = noise(*shape)
    maps = PretrainedSource(shape[0], 2).maps(block, origin=(0, 0), shape=shape[1:])
    whole = np.concatenate([one.enlarged(shape[1:]) for one in maps])
    assert whole.shape == (PRETRAINED.count, *shape[1:])
    assert np.isfinite(whole).all()


def test_planes_of_a_stack_are_seen_one_by_one() -> None:
    block = noise(1, 3, 40, 40)
    stack = PretrainedSource(1, 3).maps(block, origin=(0,) * 3, shape=block.shape[1:])
    plane = PretrainedSource(1, 2).maps(block[:, 1], origin=(0, 0), shape=(40, 40))
    for whole, part in zip(stack, plane, strict=True):
        np.testing.assert_allclose(whole.values[:, 1], part.values, atol=1e-5)


def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "weights.npz"
    damaged.write_bytes(module.FILE.read_bytes()[:-1] + b"x")
    pretrained_weights.cache_clear()
    monkeypatch.setattr(module, "FILE", damaged)
    with pytest.raises(InputError, match="are damaged"):
        pretrained_weights()
    monkeypatch.setattr(module, "FILE", tmp_path / "none.npz")
    with pytest.raises(InputError, match="cannot be read"):
        pretrained_weights()


# The rungs over it


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("ndim", [2, 3])
def test_evidence_enlarged_is_evidence_of_enlarged_features(
    make_model: Make, spec: Any, ndim: int
) -> None:
    options = spec.model_dump(include={"sigmas", "features", "position"})
    model = make_model(spec.kind, ndim, options=options)
    segmenter: Any = open_segmenter(model)
    block = noise(1, *(3, 48, 35)[-ndim:])
    inputs = segmenter.inputs(block, origin=(0,) * ndim, shape=block.shape[1:])
    assert len(inputs.coarse) == len({tap.step for tap in OUTPUTS})
    whole = inputs.whole()
    assert len(whole) == model.spec.n_inputs(1, ndim, model.context)
    with torch.inference_mode():
        expected = segmenter.network(torch.from_numpy(whole[None]))[0].numpy()
    found = segmenter.evidence(inputs)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_strokes_are_fitted_to_the_inputs_of_their_pixels() -> None:
    segmenter: Any = open_segmenter(taught(SPECS[0]))
    inputs = segmenter.inputs(noise(1, 40, 50), origin=(0, 0), shape=(40, 50))
    targets = np.full((40, 50), 255, np.uint8)
    targets[7, 3:9], targets[30] = 0, 1
    rows = PixelTable.gather(inputs, targets, 2)
    dense = PixelTable.gather(inputs.whole(), targets, 2)
    np.testing.assert_allclose(rows.inputs, dense.inputs, atol=1e-5)
    assert rows.coarse[1] - rows.coarse[0] == PRETRAINED.count


def test_separable_strokes_leave_the_filters_their_penalty() -> None:
    """Few strokes are always separable: by weights that stay as small as those of others."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(400, 30)).astype(np.float32)
    apart = (inputs[:, 0] > 0).astype(np.uint8)

    def size(coarse: tuple[int, int]) -> float:
        table = PixelTable(inputs, apart, np.ones(400), 2, coarse)
        return float(fit_table(BARE, table).dense[0].weight.abs().max())

    assert size((25, 30)) < 2.5
    assert size((0, 0)) > 3.5


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
def test_a_file_is_small_and_says_the_same(tmp_path: Path, spec: Any) -> None:
    model = taught(spec)
    save(model, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        assert archive.getinfo("weights.pt").file_size < 50_000
    again = load(tmp_path / "model.zip")
    assert again.fingerprint == model.fingerprint
    image = scene(seed=1)[0]
    ask = PredictOptions(what="probabilities")
    before, after = (predict(m, image, ask).asarray() for m in (model, again))
    np.testing.assert_array_equal(after, before)
    told = describe(tmp_path / "model.zip")["features from"]
    assert told == {"name": module.NAME, "sha256": module.SHA256}


def test_a_file_with_other_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(taught(BARE), tmp_path / "model.zip")
    from napari_unetseg.core.models_io.native import package

    monkeypatch.setattr(package, "SHA256", "0" * 64)
    with pytest.raises(InputError, match="other weights than"):
        load(tmp_path / "model.zip")


def test_other_programs_build_it_with_this_package() -> None:
    model = taught(BARE)
    name, options = network_builder(model)
    assert name == "image_network"
    network = image_network(**options)
    network.load_state_dict({k: torch.tensor(v) for k, v in model.all_weights.items()})
    image = noise(1, 48, 64)
    with torch.inference_mode():
        found = network(torch.from_numpy(image[None]))[0].numpy()
    np.testing.assert_allclose(found, evidence_of_model(model, image), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_script_contains_the_network(make_model: Make, spec: Any, ndim: int) -> None:
    """It gives the same evidence, also of sides it was not traced on."""
    options = spec.model_dump(include={"sigmas", "features", "position"})
    model = make_model(spec.kind, ndim, options=options, spacing=())
    traced = noise(1, *(3, 40, 48)[-ndim:])
    script = torch.jit.load(io.BytesIO(torchscript_of(model, shown_inputs(model), traced)))  # type: ignore[no-untyped-call]
    for sides in ((3, 40, 48), (4, 37, 66)):
        image = noise(1, *sides[-ndim:])
        found = script(torch.from_numpy(image[None]))[0].numpy()
        expected = evidence_of_model(model, image)
        np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("spec", SPECS[:2], ids=lambda spec: spec.kind)
def test_live_says_what_a_training_says(spec: Any) -> None:
    image, strokes = scene()
    box = (slice(0, 120), slice(0, 120))
    _, classes = LivePixels(image, spec).update({(): strokes}, (), box)
    assert (classes == predict(taught(spec), image).asarray()).mean() > 0.999


def test_the_bank_answers_until_the_network_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "SIDE", 64)
    monkeypatch.setattr(pretrained_tiles, "SIDE", 128)
    monkeypatch.setattr(pretrained_tiles, "PIXELS_AT_ONCE", {2: 100})
    image, strokes = scene(200)
    corner, whole = (slice(0, 40), slice(0, 40)), (slice(0, 200), slice(0, 200))
    live = LivePixels(image, SPECS[0])
    _, first = live.update({(): strokes}, (), whole, wait=False)
    alone = LivePixels(image, LogisticSpec(sigmas="1, 2", features="bank"))
    np.testing.assert_array_equal(first, alone.update({(): strokes}, (), whole)[1])
    order: list[int] = []
    tiles: Any = live._pretrained
    compute = tiles.of
    monkeypatch.setattr(tiles, "of", lambda *a: order.append(a[1]) or compute(*a))
    thread = threading.Thread(target=live.prepare, args=((), corner))
    thread.start()
    thread.join()
    assert list(dict.fromkeys(order)) == [0, 1, 2, 3]
    assert not live.missing((), whole)
    _, later = live.update({(): strokes}, (), whole, wait=False)
    _, at_once = LivePixels(image, SPECS[0]).update({(): strokes}, (), whole)
    np.testing.assert_array_equal(later, at_once)
    assert (later != first).any()


def test_a_field_too_large_for_the_memory_is_left_to_the_bank() -> None:
    image, strokes = scene()
    box = (slice(0, 120), slice(0, 120))
    live = LivePixels(image, SPECS[0], memory=100_000, disk=100_000)
    _, found = live.update({(): strokes}, (), box, wait=False)
    assert not live.missing((), box)
    alone = LivePixels(image, LogisticSpec(sigmas="1, 2", features="bank"))
    np.testing.assert_array_equal(found, alone.update({(): strokes}, (), box)[1])


def test_what_leaves_the_memory_is_read_from_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "SIDE", 64)
    monkeypatch.setattr(pretrained_tiles, "SIDE", 64)
    monkeypatch.setattr(pretrained_tiles, "PIXELS_AT_ONCE", {2: 100})
    image, strokes = scene(200)
    whole = (slice(0, 200), slice(0, 200))
    live = LivePixels(image, BARE, memory=500_000, disk=10**8)
    live.prepare((), whole)
    assert live.n_bytes <= 500_000
    assert not live.missing((), whole)
    monkeypatch.setattr(PretrainedSource, "maps", lambda *a, **k: pytest.fail("computed again"))
    _, found = live.update({(): strokes}, (), whole)
    monkeypatch.undo()
    _, kept = LivePixels(image, BARE).update({(): strokes}, (), whole)
    np.testing.assert_array_equal(found, kept)


def test_strokes_on_more_planes_than_can_be_kept_are_read_as_they_come() -> None:
    image, strokes = scene()
    stack = Image.of(np.stack([np.asarray(image.data)] * 4), "ZYX")
    painted = {(z,): np.where(np.arange(120)[:, None] // 30 == z, strokes, 0) for z in range(4)}
    box = (slice(0, 120), slice(0, 120))
    live = LivePixels(stack, SPECS[0], memory=2_000_000, disk=0)
    live.update(painted, (0,), box, wait=False)
    live.prepare((0,), box)
    live.prepare((0,), box)
    assert not live.missing((0,), box)


def test_a_stack_is_learnt_with_filters_in_three_axes() -> None:
    labels = np.zeros((4, 40, 40), np.uint8)
    labels[1, 2:9], labels[2, 22:30] = 1, 2
    model = taught(SPECS[0], (Image.of(noise(4, 40, 40), "ZYX"), labels), ndim=3)
    assert model.multiple == (1, 16, 16)
    found = predict(model, Image.of(noise(4, 40, 40), "ZYX")).asarray()
    assert (found[1, 2:9] == 1).mean() > 0.9


def test_it_is_continued_with_the_same_features() -> None:
    first = taught(BARE)
    again = taught(LogisticSpec(), scene(seed=2), start=first)
    assert again.spec.features == "pretrained"  # type: ignore[attr-defined]


def test_images_must_be_normalised() -> None:
    """The brightness that the network sees follows from how images are normalised."""
    model = taught(BARE, scaling=NormalisationSpec(method="mean-std"))
    segmenter: Any = open_segmenter(model)
    block = np.random.default_rng(0).normal(size=(1, 32, 32)).astype(np.float32)
    found = segmenter.inputs(block).coarse[0].values
    scaled = PretrainedSource(1, 2).maps(block / 4 + 0.5, origin=(0, 0), shape=(32, 32))
    np.testing.assert_allclose(found, scaled[0].values, atol=1e-3)
    with pytest.raises(InputError, match="need normalised images"):
        taught(BARE, scaling=NormalisationSpec(method="none"))


def test_automatic_features_leave_chosen_filters_alone() -> None:
    assert taught(LogisticSpec()).spec.features == "bank+pretrained"  # type: ignore[attr-defined]
    assert taught(LogisticSpec(sigmas="1")).spec.features == "bank"  # type: ignore[attr-defined]
    raw = taught(LogisticSpec(), scaling=NormalisationSpec(method="none"))
    assert raw.spec.features == "bank"  # type: ignore[attr-defined]
    surface = from_linear_unit(
        LinearUnit.from_background(
            Polynomial.from_pixels(Terms.parse("plane"), (1, 9, 9), [100, 1, 2]), -300.0
        ),
        Normalisation((0.0,), (1.0,)),
    )
    assert surface.spec.n_inputs(1, 2) == surface.network.sizes[0]


def test_it_goes_with_no_unet(make_model: Make) -> None:
    with pytest.raises(InputError, match="does not use it"):
        taught(BARE, features_from=make_model("unet"))
    with pytest.raises(InputError, match="none is given"):
        replace(taught(BARE), spec=LogisticSpec(features="network"))
