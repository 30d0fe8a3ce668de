"""The features of a trained UNet as a pixel rung's eyes: the same tile by tile, saved and live."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.background.linear_unit import LinearUnit
from napari_unetseg.core.background.polynomial import Polynomial, Terms
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.open_segmenter import check_weights, open_segmenter
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import (
    predict,
)
from napari_unetseg.core.model.feature_context import FeatureContext
from napari_unetseg.core.model.network_features import NetworkFeatures
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec, PixelSpec, SoftmaxSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.native import describe, load, save
from napari_unetseg.core.models_io.native.network_source import network_builder
from napari_unetseg.core.nn.inference.frozen_network import FrozenNetwork
from napari_unetseg.core.nn.inference.pixel_segmenter import (
    PixelSegmenter,
    from_linear_unit,
)
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.nn.restore import evidence_of_model, frozen_of, image_network
from napari_unetseg.core.nn.training import live_pixels as live_module
from napari_unetseg.core.nn.training.live_pixels import LivePixels
from napari_unetseg.core.normalisation import Normalisation, NormalisationSpec, fit_normalisation
from napari_unetseg.core.samples import neurons
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.train import train

pytestmark = pytest.mark.usefixtures("one_thread")

Make = Callable[..., TrainedModel]
SAME = Normalisation((0.0,), (1.0,))
MEAN_STD = NormalisationSpec(method="mean-std")


def drawn(spec: UNetSpec, n_channels: int, ndim: int, seed: int = 0) -> Any:
    """Return a UNet whose statistics are those of noise, so that every unit says something."""
    network: Any = build_network(spec, n_channels, 2, ndim, seed=seed)
    halos = spec.halo(ndim) if spec.padding == "valid" else (0,) * ndim
    sides = [2 * h + 2 * m for h, m in zip(halos, spec.multiple(ndim), strict=True)]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _ in range(9):
            network(torch.rand(2, spec.n_inputs(n_channels, ndim), *sides, generator=generator))
    return network.eval()


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def segmenter(spec: PixelSpec, unet: UNetSpec, n_channels: int, ndim: int) -> PixelSegmenter:
    """Return a rung with drawn weights over a UNet with drawn weights."""
    features = NetworkFeatures(unet, 2)
    frozen = FrozenNetwork(drawn(unet, n_channels, ndim), features, ndim)
    network = build_network(spec, n_channels, 2, ndim, FeatureContext(network=features))
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for weights in network.parameters():
            weights.copy_(torch.from_numpy(rng.normal(size=tuple(weights.shape)) * 0.3))
    return PixelSegmenter(network, spec, ("a", "b"), n_channels, ndim, frozen=frozen)


@pytest.mark.parametrize("stem", ["plain", "space-to-depth"])
def test_the_halo_is_needed(stem: Any) -> None:
    """Tiles without it differ."""
    unet = UNetSpec(width=4, depth=1, convolutions=1, stem=stem)
    by = segmenter(LogisticSpec(features="network"), unet, 1, 2)
    block = noise(1, 64, 64)
    whole = by.predict_proba(block, origin=(0, 0), shape=(64, 64))
    blind = by.predict_proba(block[:, 32:, 32:], origin=(32, 32), shape=(64, 64))
    assert np.abs(blind - whole[:, 32:, 32:]).max() > 1e-3
    reach = by.halo[0]
    seen = by.predict_proba(
        block[:, 32 - reach :, 32 - reach :], origin=(32 - reach,) * 2, shape=(64, 64)
    )
    np.testing.assert_allclose(seen[:, reach:, reach:], whole[:, 32:, 32:], atol=1e-5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_features_are_those_of_the_last_level(ndim: int) -> None:
    spec = UNetSpec(width=3, depth=1, stem="plain", resolution="full")
    network, block = drawn(spec, 2, ndim), noise(2, *(8,) * ndim)
    frozen = FrozenNetwork(network, NetworkFeatures(spec, 2), ndim)
    found = frozen(block, origin=(0,) * ndim, shape=block.shape[1:])
    with torch.inference_mode():
        x = torch.from_numpy(block[None])
        known, evidence = network.features(x)[0].numpy(), network(x)[0].numpy()
    np.testing.assert_allclose(found[:3], known, atol=1e-4)
    np.testing.assert_allclose(found[3:], evidence, atol=1e-4)
    assert found.shape == (frozen.features.count, *block.shape[1:])


def test_between_boxes_they_are_interpolated() -> None:
    """A ramp stays a ramp: what is known of a box belongs to its middle."""
    spec = UNetSpec(width=1, depth=1, stem="space-to-depth", resolution="half")
    network = drawn(spec, 1, 2)
    network.features = lambda x: torch.arange(8.0)[None, None, None].expand(1, 1, 8, 8)
    network.head = torch.nn.Identity()
    frozen = FrozenNetwork(network, NetworkFeatures(spec, 1), 2)
    frozen._ready.features = network.features  # type: ignore[assignment]
    frozen._ready.head = torch.nn.Upsample(scale_factor=4.0)
    found = frozen(noise(1, 32, 32), origin=(0, 0), shape=(32, 32))[0]
    expected = (np.arange(32) + 0.5) / 4 - 0.5
    np.testing.assert_allclose(found[5, 2:-2], expected[2:-2], atol=1e-6)


def test_filters_see_the_image_as_they_do_alone() -> None:
    """The border that the network wants does not change what the filter bank says."""
    unet = UNetSpec(width=2, depth=1, convolutions=1)
    both, alone = LogisticSpec(features="both"), LogisticSpec()
    eyes = segmenter(both, unet, 1, 2)
    block, edge = noise(1, 40, 36), eyes.border[0]
    padded = np.pad(block, [(0, 0), (edge, edge), (edge, edge)], mode="symmetric")
    seen = eyes.inputs(padded, origin=(-edge,) * 2, shape=(40, 36))
    n_features = alone.n_features(2)
    inside = seen.whole()[:n_features, edge : edge + 40, edge : edge + 36]
    plain = PixelSegmenter(build_network(alone, 1, 2, 2), alone, ("a", "b"), 1, 2)
    np.testing.assert_array_equal(inside, plain.inputs(block).whole())


# Trained, saved, continued


def scene(seed: int = 0, side: int = 128) -> tuple[Image, NDArray[np.uint8], NDArray[np.bool_]]:
    sample = neurons((side, side), seed=seed)
    strokes = np.zeros((side, side), np.uint8)
    strokes[10:-10:24] = np.where(sample.mask[10:-10:24], 2, 1)
    return Image.of(sample.image), strokes, sample.mask


def stack(side: int = 24) -> tuple[Image, NDArray[np.uint8]]:
    labels = np.zeros((8, side, side), np.uint8)
    labels[2, 2:9], labels[5, 12:20] = 1, 2
    return Image.of(noise(8, side, side), "ZYX"), labels


def taught(
    unet: TrainedModel, spec: PixelSpec | None = None, ndim: int = 2, **more: Any
) -> TrainedModel:
    image, labels = stack() if ndim == 3 else scene()[:2]
    rung = spec or LogisticSpec(sigmas="1, 2")
    options = TrainOptions(validation=0)
    lessons = [TrainingPair(image, labels)]
    known: dict[str, Any] = {"name": "quick", "ndim": ndim, "features_from": unet, **more}
    return train(rung, lessons, options, **known).model


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("features", ["network", "both"])
def test_a_file_holds_all_that_it_needs(
    make_model: Make, tmp_path: Path, features: Any, ndim: int
) -> None:
    unet = make_model("unet", ndim, normalisation=MEAN_STD, history=[{"step": 1}])
    model = taught(unet, SoftmaxSpec(sigmas="1", features=features), ndim)
    assert model.normalisation == MEAN_STD
    save(model, tmp_path / "model.zip")
    again = load(tmp_path / "model.zip")
    assert again.fingerprint == model.fingerprint
    assert again.features_from is not None
    assert again.features_from.fingerprint == unet.fingerprint
    assert (again.halo, again.multiple) == (model.halo, model.multiple)
    image = stack()[0] if ndim == 3 else scene(1)[0]
    before, after = (
        predict(m, image, PredictOptions(what="probabilities")).asarray() for m in (model, again)
    )
    np.testing.assert_array_equal(after, before)
    tiled = predict(model, image, PredictOptions(what="probabilities", tile=16)).asarray()
    np.testing.assert_allclose(tiled, before, atol=1e-4)
    save(again, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "model.zip").read_bytes()
    told = describe(tmp_path / "model.zip")
    assert told["features from"]["fingerprint"] == unet.fingerprint
    assert told["weights"] == sum(a.size for a in (*model.state.values(), *unet.state.values()))


def test_other_programs_get_one_network_with_all_weights(make_model: Make) -> None:
    model = taught(make_model("unet", normalisation=MEAN_STD))
    name, options = network_builder(model)
    assert name == "image_network"
    network = image_network(**options)
    network.load_state_dict({k: torch.tensor(v) for k, v in model.all_weights.items()})
    sides = tuple(-(-2 * h // m + 1) * m for h, m in zip(model.halo, model.multiple, strict=True))
    image = noise(1, *sides)
    with torch.inference_mode():
        found = network(torch.from_numpy(image[None]))[0].numpy()
    np.testing.assert_allclose(found, evidence_of_model(model, image), atol=1e-4)
    place: Any = {"origin": (0, 0), "shape": sides}
    proba = open_segmenter(model).predict_proba(image, **place)[1]
    np.testing.assert_allclose(1 / (1 + np.exp(-found[0])), proba, atol=1e-4)


def test_automatic_is_both_and_stays_so_when_continued(make_model: Make) -> None:
    unet = make_model("unet")
    first = taught(unet)
    assert isinstance(first.spec, PixelSpec)
    assert first.spec.features == "both"
    image, strokes, _ = scene(2)
    options, lessons = TrainOptions(validation=0), [TrainingPair(image, strokes)]
    spec = LogisticSpec(sigmas="1, 2")
    second = train(spec, lessons, options, name="on", start=first).model
    assert second.features_from is not None
    assert second.features_from.fingerprint == unet.fingerprint
    assert second.spec == first.spec
    assert second.parent == first.fingerprint
    with pytest.raises(InputError, match="uses the UNet"):
        train(
            spec,
            lessons,
            options,
            name="on",
            start=first,
            features_from=make_model("unet", seed=9),
        )
    bank = train(spec, lessons, options, name="bank").model
    assert bank.features_from is None
    with pytest.raises(InputError, match="no UNet's features"):
        train(spec, lessons, options, name="on", start=bank, features_from=unet)


def test_the_network_learns_nothing(make_model: Make) -> None:
    unet = make_model("unet")
    kept = {name: array.copy() for name, array in unet.state.items()}
    model = taught(unet)
    assert model.features_from is not None
    for name, array in kept.items():
        np.testing.assert_array_equal(model.features_from.state[name], array)
        np.testing.assert_array_equal(unet.state[name], array)


def test_the_fingerprint_is_of_both(make_model: Make) -> None:
    model = taught(make_model("unet"))
    other = replace(model, features_from=make_model("unet", seed=5))
    assert other.fingerprint != model.fingerprint


@pytest.mark.parametrize("features", ["network", "both"])
def test_live_says_what_a_training_says(
    make_model: Make, monkeypatch: pytest.MonkeyPatch, features: Any
) -> None:
    monkeypatch.setattr(live_module, "SIDE", 64)
    image, strokes, _ = scene()
    unet = make_model("unet", normalisation=MEAN_STD)
    spec = LogisticSpec(sigmas="1, 2", features=features)
    model = taught(unet, spec)
    live = LivePixels(image, spec, features_from=unet)
    box = (slice(0, 128), slice(0, 128))
    _, classes = live.update({(): strokes}, (), box)
    assert (classes == predict(model, image).asarray()).mean() > 0.999
    computed: list[int] = []
    monkeypatch.setattr(live, "_computed", lambda *a: computed.append(1))
    strokes[3, 3:60] = 1
    live.update({(): strokes}, (), box)
    assert not computed  # the features are kept: a stroke costs a fit


def test_a_trained_network_sees_more_than_a_mixed_up_one() -> None:
    """From the same strokes, on an unseen image; the control has its weights in any order."""
    lessons = [
        TrainingPair(image, mask.astype(np.uint8))
        for image, _, mask in (scene(seed, 192) for seed in range(10, 16))
    ]
    options = TrainOptions(until="epochs", epochs=6, steps=20, patch=96, validation=0)
    spec = UNetSpec(width=8, depth=2, convolutions=1, resolution="full")
    unet = train(spec, lessons, options, name="eyes", labels_are="mask").model
    rng = np.random.default_rng(0)
    state = {
        name: rng.permutation(array.ravel()).reshape(array.shape)
        for name, array in unet.state.items()
    }
    image, strokes, _ = scene(1, 192)
    unseen, _, truth = scene(7, 192)
    found = {}
    for name, eyes in (("trained", unet), ("mixed up", replace(unet, state=state))):
        model = train(
            LogisticSpec(features="network"),
            [TrainingPair(image, strokes)],
            TrainOptions(validation=0),
            name=name,
            features_from=eyes,
        ).model
        found[name] = dice(predict(model, unseen).asarray() == 2, truth)
    assert found["trained"] > 0.65
    assert found["mixed up"] < 0.45


# What does not go together


def test_what_does_not_go_together_gets_a_sentence(make_model: Make) -> None:
    unet = make_model("unet")
    with pytest.raises(InputError, match=r"2 channel\(s\), but the images have 1"):
        taught(make_model("unet", n_channels=2))
    with pytest.raises(InputError, match="trained on stacks, but planes"):
        taught(make_model("unet", 3))
    with pytest.raises(InputError, match="only a UNet has features"):
        taught(make_model("cnn"))
    with pytest.raises(InputError, match="does not use it"):
        taught(unet, LogisticSpec(features="bank"))
    with pytest.raises(InputError, match="none is given"):
        train(
            LogisticSpec(features="both"),
            [TrainingPair(*scene()[:2])],
            TrainOptions(),
            name="blind",
        )
    with pytest.raises(InputError, match="its own features"):
        taught(unet, UNetSpec())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="another normalisation"):
        taught(unet, scaling=MEAN_STD)
    with pytest.raises(InputError, match="trained on stacks"):
        LivePixels(scene()[0], LogisticSpec(), features_from=make_model("unet", 3))
    with pytest.raises(InputError, match="none is given"):
        LivePixels(scene()[0], LogisticSpec(features="network"))


def test_what_makes_no_model_is_refused(make_model: Make) -> None:
    model, unet = taught(make_model("unet")), make_model("unet")
    with pytest.raises(InputError, match="normalised otherwise"):
        replace(model, normalisation=MEAN_STD)
    with pytest.raises(InputError, match="none is given"):
        replace(model, features_from=None)
    with pytest.raises(InputError, match="network or both"):
        replace(model, spec=LogisticSpec(sigmas="1, 2"))
    with pytest.raises(InputError, match="sees the image itself"):
        replace(unet, features_from=make_model("unet"))
    broken = replace(unet, state={**unet.state, "head.0.bias": np.zeros(99, np.float32)})
    blind = replace(model, features_from=broken)
    with pytest.raises(InputError, match="do not fit"):
        check_weights(blind)
    fewer = replace(model, spec=LogisticSpec(sigmas="1, 2", features="network"))
    with pytest.raises(InputError, match="do not fit"):
        check_weights(fewer)


def test_a_surface_converts_to_the_bank_alone() -> None:
    plane = Polynomial.from_pixels(Terms.parse("plane"), (1, 9, 9), [100, 1, 2])
    unit = LinearUnit.from_background(plane, -300.0)
    with pytest.raises(InputError, match="none is given"):
        from_linear_unit(unit, SAME, spec=LogisticSpec(features="network"))


def test_statistics_are_of_the_whole_image(make_model: Make) -> None:
    """Eyes and bank are shown the image as the UNet was: by its normalisation, once."""
    unet = make_model("unet", normalisation=MEAN_STD)
    model, (image, _, _) = taught(unet), scene(3)
    scaled = fit_normalisation(image, MEAN_STD).apply(image.asarray()[None])
    frozen = frozen_of(unet, 1, 2)
    sides = scaled.shape[1:]
    direct = frozen(scaled, origin=(0, 0), shape=sides)
    inputs: Any = open_segmenter(model)
    np.testing.assert_array_equal(
        inputs.inputs(scaled, origin=(0, 0), shape=sides).whole()[-len(direct) :], direct
    )
