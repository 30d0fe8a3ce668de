"""The pixel rungs: fitted well, the same each time, and the same tile by tile."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import IGNORED, AnnotatedImage, Annotation
from napari_unetseg.core.annotation.pixel_table import PixelTable
from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.background.linear_unit import LinearUnit
from napari_unetseg.core.background.polynomial import Polynomial, Terms
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import predict_proba_image
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.model.pixel_specs import LogisticSpec, MlpSpec, PixelSpec, SoftmaxSpec
from napari_unetseg.core.nn.inference.pixel_segmenter import (
    PixelNetwork,
    PixelSegmenter,
    from_linear_unit,
)
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.nn.training.fit_pixels import Standard, fit_pixels, fit_table
from napari_unetseg.core.normalisation import Normalisation, NormalisationSpec, fit_normalisation
from napari_unetseg.core.progress import Cancelled, StopEarly
from napari_unetseg.core.samples import neurons, tissue
from napari_unetseg.core.scoring.pixel_scores import dice

pytestmark = pytest.mark.usefixtures("one_thread")

RUNGS: list[PixelSpec] = [
    LogisticSpec(features="bank"),
    SoftmaxSpec(features="bank"),
    MlpSpec(features="bank"),
]


def scribbled(
    seed: int = 0, *, n: int = 200, kind: str = "neurons"
) -> tuple[AnnotatedImage, AnnotatedImage]:
    """Return an image with `n` labelled pixels a class in short rows, and one with all of them."""
    draw = {"neurons": neurons, "tissue": tissue}[kind]
    examples = []
    for number in range(2):
        sample = draw((192, 192), seed=2 * seed + number)
        annotation = Annotation.of(sample.classes, "mask")
        examples.append(AnnotatedImage(sample.image[None], annotation))
    rng = np.random.default_rng(seed)
    truth = examples[0].annotation
    targets = np.full(truth.shape, IGNORED, np.uint8)
    for k in range(truth.n_classes):
        places = rng.permutation(np.argwhere(truth.targets == k))
        for y, x in places:
            if (targets == k).sum() >= n:
                break
            row = truth.targets[y, x : x + 12]
            targets[y, x : x + 12][row == k] = k
    return replace(examples[0], annotation=replace(truth, targets=targets)), examples[1]


def proba_of(segmenter: PixelSegmenter, example: AnnotatedImage) -> NDArray[np.float32]:
    image = Image(example.image, "CYX")
    normalisation = fit_normalisation(image, NormalisationSpec())
    return predict_proba_image(image, segmenter, normalisation).asarray()


def mean_dice(segmenter: PixelSegmenter, example: AnnotatedImage) -> float:
    found = proba_of(segmenter, example).argmax(0)
    classes = range(1, example.annotation.n_classes)
    return float(np.mean([dice(found == k, example.annotation.targets == k) for k in classes]))


def shuffled(example: AnnotatedImage, seed: int = 0) -> AnnotatedImage:
    targets = example.annotation.targets.copy()
    known = targets != IGNORED
    targets[known] = np.random.default_rng(seed).permutation(targets[known])
    return replace(example, annotation=replace(example.annotation, targets=targets))


def shuffled_dice(spec: PixelSpec, strokes: AnnotatedImage, unseen: AnnotatedImage) -> float:
    """Return what is reached without any signal, mean of three draws."""
    fits = [fit_pixels(spec, [shuffled(strokes, seed)]) for seed in range(3)]
    return float(np.mean([mean_dice(fit, unseen) for fit in fits]))


@pytest.mark.parametrize("spec", RUNGS, ids=lambda spec: spec.kind)
def test_strokes_train_and_shuffled_strokes_do_not(spec: PixelSpec) -> None:
    strokes, unseen = scribbled()
    segmenter = fit_pixels(spec, [strokes])
    assert isinstance(segmenter, Segmenter)
    assert mean_dice(segmenter, unseen) > 0.6
    assert shuffled_dice(spec, strokes, unseen) < 0.35


@pytest.mark.parametrize("spec", RUNGS[1:], ids=lambda spec: spec.kind)
def test_three_classes(spec: PixelSpec) -> None:
    strokes, unseen = scribbled(kind="tissue")
    segmenter = fit_pixels(spec, [strokes])
    assert segmenter.classes == strokes.annotation.names
    assert segmenter.values == (0, 1, 2)
    assert mean_dice(segmenter, unseen) > 0.7
    assert shuffled_dice(spec, strokes, unseen) < 0.5


def test_hidden_layers_tell_apart_what_no_line_does() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.uniform(-1, 1, (400, 2)).astype(np.float32)
    targets = (inputs[:, 0] * inputs[:, 1] > 0).astype(np.uint8)
    table = PixelTable(inputs, targets, np.ones(400), 2)

    def accuracy(spec: PixelSpec) -> float:
        evidence = fit_table(spec, table)(torch.from_numpy(inputs.T)[None])[0]
        found = evidence.argmax(0) if len(evidence) > 1 else evidence[0] > 0
        return float((found.numpy() == targets).mean())

    assert accuracy(LogisticSpec(features="bank")) < 0.65
    assert accuracy(MlpSpec(features="bank", regularisation=0.01)) > 0.97


def test_logistic_is_softmax_of_two_classes() -> None:
    strokes, unseen = scribbled()
    one = proba_of(fit_pixels(LogisticSpec(features="bank"), [strokes]), unseen)
    # Evidence split among two units has half the squared weights.
    two = proba_of(fit_pixels(SoftmaxSpec(features="bank", regularisation=2.0), [strokes]), unseen)
    np.testing.assert_allclose(one, two, atol=1e-3)


@pytest.mark.parametrize("spec", RUNGS, ids=lambda spec: spec.kind)
def test_the_same_seed_in_any_order_gives_the_same(spec: PixelSpec) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(90, 6)).astype(np.float32)
    targets = (inputs[:, 0] + rng.normal(size=90) > 0).astype(np.uint8)
    order = rng.permutation(90)
    one = fit_table(spec, PixelTable(inputs, targets, np.ones(90), 2), seed=3).state_dict()
    mixed = PixelTable(inputs[order], targets[order], np.ones(90), 2)
    other = fit_table(spec, mixed, seed=3).state_dict()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_another_seed_gives_another_perceptron() -> None:
    strokes, _ = scribbled()
    spec = MlpSpec(features="bank", sigmas="1", iterations=3)
    weights = [fit_pixels(spec, [strokes], seed=seed).network.dense[0].weight for seed in (0, 1)]
    assert not torch.equal(*weights)


@pytest.mark.parametrize("spec", RUNGS, ids=lambda spec: spec.kind)
def test_starting_from_a_model_leaves_it_alone(spec: PixelSpec) -> None:
    strokes, _ = scribbled()
    first = fit_pixels(spec, [strokes])
    kept = copy.deepcopy(first.network.state_dict())
    second = fit_pixels(spec, [shuffled(strokes)], start=first)
    assert second.network is not first.network
    for name, weights in first.network.state_dict().items():
        assert torch.equal(weights, kept[name])
        assert not torch.equal(weights, second.network.state_dict()[name])


def test_a_start_saves_steps_and_changes_nothing_else() -> None:
    strokes, unseen = scribbled()
    steps: list[str] = []

    def count(fraction: float, message: str = "", /) -> None:
        steps.append(message)

    first = fit_pixels(LogisticSpec(features="bank"), [strokes], progress=count)
    cold = steps.count("fitting")
    steps.clear()
    second = fit_pixels(LogisticSpec(features="bank"), [strokes], start=first, progress=count)
    assert steps.count("fitting") < cold
    np.testing.assert_allclose(proba_of(first, unseen), proba_of(second, unseen), atol=1e-4)


@pytest.mark.parametrize("spec", RUNGS, ids=lambda spec: spec.kind)
def test_can_be_cancelled_and_stopped(spec: PixelSpec) -> None:
    strokes, _ = scribbled()

    def cancel(fraction: float, message: str = "", /) -> None:
        if message == "fitting":
            raise Cancelled

    def stop(fraction: float, message: str = "", /) -> None:
        if message == "fitting" and fraction < 1:
            raise StopEarly

    with pytest.raises(Cancelled):
        fit_pixels(spec, [strokes], progress=cancel)
    assert fit_pixels(spec, [strokes], progress=stop).network.sizes[0] == spec.n_inputs(1, 2)


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4)])
@pytest.mark.parametrize("n_outputs", [1, 2, 3])
def test_compiled_layers_do_as_torch_does(hidden: tuple[int, ...], n_outputs: int) -> None:
    rng = np.random.default_rng(0)
    network = PixelNetwork(7, n_outputs, hidden)
    with torch.no_grad():
        for weights in network.parameters():
            weights.copy_(torch.from_numpy(rng.normal(size=tuple(weights.shape))))
    segmenter = PixelSegmenter(network, LogisticSpec(features="bank"), ("a", "b"), 1, 2)
    inputs = rng.normal(size=(7, 31, 35)).astype(np.float32)
    expected = network(torch.from_numpy(inputs)[None])[0]
    np.testing.assert_allclose(segmenter.evidence(inputs), expected.detach(), atol=1e-4)
    proba = segmenter.proba_of(inputs)
    activate = torch.sigmoid if n_outputs == 1 else lambda x: torch.softmax(x, 0)
    np.testing.assert_allclose(proba[-n_outputs:], activate(expected).detach(), atol=1e-5)
    np.testing.assert_allclose(proba.sum(0), 1, atol=1e-5)


def test_extreme_evidence_overflows_nowhere() -> None:
    network = PixelNetwork(1, 1)
    with torch.no_grad():
        network.dense[0].weight.fill_(1e6)
    segmenter = PixelSegmenter(network, LogisticSpec(features="bank"), ("a", "b"), 1, 2)
    proba = segmenter.proba_of(np.array([[[-1, 0, 1]]], np.float32))
    assert proba.tolist() == [[[1, 0.5, 0]], [[0, 0.5, 1]]]


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_tiles_equal_the_whole(data: st.DataObject) -> None:
    ndim = data.draw(st.sampled_from([2, 3]))
    rung = data.draw(st.sampled_from([LogisticSpec, SoftmaxSpec, MlpSpec]))
    spec = rung(
        sigmas=data.draw(st.sampled_from(["1", "1, 2"] if ndim == 2 else ["1"])),
        position=data.draw(st.sampled_from(["none", "polynomial", "sinusoidal"])),
        structure=data.draw(st.booleans()),
    )
    spacing = data.draw(st.sampled_from([(), (3.0, 1.0, 1.0)[-ndim:]]))
    network = build_network(spec, 1, 2, ndim)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    with torch.no_grad():
        for weights in network.parameters():
            weights.copy_(torch.from_numpy(rng.normal(size=tuple(weights.shape)) * 0.5))
    segmenter = PixelSegmenter(network, spec, ("a", "b"), 1, ndim, (), spacing)
    lengths = st.integers(1, 60 if ndim == 2 else 24)
    shape = tuple(data.draw(st.lists(lengths, min_size=ndim, max_size=ndim)))
    image = Image(rng.random(shape, dtype=np.float32), "ZYX"[-ndim:])
    same = Normalisation((0.0,), (1.0,))
    whole = predict_proba_image(image, segmenter, same, tile=1000).asarray()
    tiled = predict_proba_image(image, segmenter, same, tile=data.draw(st.integers(5, 40)))
    np.testing.assert_allclose(tiled.asarray(), whole, rtol=0, atol=1e-4)


def test_mean_and_spread_are_folded_into_the_weights() -> None:
    rng = np.random.default_rng(0)
    inputs = (rng.normal(size=(80, 3)) * [1, 100, 1e-3] + [5, -300, 0.1]).astype(np.float32)
    inputs = np.column_stack([inputs, np.full(80, 7, np.float32)])
    standard = Standard.of(inputs, np.full(80, 1 / 80))
    network = PixelNetwork(4, 2, (3,))
    with torch.no_grad():
        for weights in network.parameters():
            weights.copy_(torch.from_numpy(rng.normal(size=tuple(weights.shape))))
    scaled = standard.apply(inputs)
    np.testing.assert_allclose(scaled[:, :3].std(0), 1)
    before = network(torch.from_numpy(scaled.T.astype(np.float32))[None])
    standard.fold(network)
    after = network(torch.from_numpy(inputs.T.copy())[None])
    np.testing.assert_allclose(after.detach(), before.detach(), atol=2e-3)
    standard.unfold(network)
    again = network(torch.from_numpy(scaled.T.astype(np.float32))[None])
    np.testing.assert_allclose(again.detach(), before.detach(), atol=2e-3)


def test_saved_weights_are_all_there_is() -> None:
    strokes, unseen = scribbled()
    segmenter = fit_pixels(MlpSpec(features="bank"), [strokes])
    fresh = build_network(segmenter.spec, 1, 2, 2)
    fresh.load_state_dict(segmenter.network.state_dict())
    other = replace(segmenter, network=fresh)
    np.testing.assert_array_equal(proba_of(segmenter, unseen), proba_of(other, unseen))


def test_units_of_the_image_do_not_matter() -> None:
    strokes, unseen = scribbled()
    large = replace(strokes, image=strokes.image * np.float32(1000) + np.float32(5))
    one = proba_of(fit_pixels(LogisticSpec(features="bank"), [strokes]), unseen)
    other = proba_of(fit_pixels(LogisticSpec(features="bank"), [large]), unseen)
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_a_mask_is_thinned_evenly_over_images() -> None:
    pair = [replace(scribbled(seed)[1], normalisation=None) for seed in (0, 1)]
    spec = LogisticSpec(features="bank", sigmas="1, 2, 4", max_pixels=500)
    assert mean_dice(fit_pixels(spec, pair), scribbled(2)[1]) > 0.6


@pytest.mark.parametrize("mode", ["subtract", "divide"])
@pytest.mark.parametrize("bright", [True, False])
def test_starts_exactly_as_background_and_threshold(mode: str, bright: bool) -> None:
    sample = neurons((90, 110), seed=1)
    image = sample.as_image()
    background = fit_background(image, BackgroundOptions(terms="cubic"))
    (surface,) = (one.polynomial for one in background.surfaces)
    value = surface.mean() - 300 if mode == "divide" else -300.0
    unit = LinearUnit.from_background(surface, value, mode=mode, bright=bright, gain=0.01)
    normalisation = fit_normalisation(image, NormalisationSpec())
    segmenter = from_linear_unit(
        unit, normalisation, spec=LogisticSpec(features="bank", sigmas="1")
    )
    found = predict_proba_image(image, segmenter, normalisation).asarray()[1]
    expected = unit.probability(sample.image)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    differs = (found > 0.5) != unit.mask(sample.image)
    assert (np.abs(expected[differs] - 0.5) < 1e-4).all()


def test_a_linear_unit_can_go_on_learning() -> None:
    strokes, unseen = scribbled()
    polynomial = Polynomial.from_pixels(Terms.parse("plane"), (1, 192, 192), [100, 1, 2])
    unit = LinearUnit.from_background(polynomial, -300.0, bright=False)
    normalisation = fit_normalisation(Image(strokes.image, "CYX"), NormalisationSpec())
    start = from_linear_unit(unit, normalisation)
    assert start.spec.position == "polynomial"
    fitted = fit_pixels(start.spec, [strokes], start=start)
    assert mean_dice(fitted, unseen) > max(0.6, mean_dice(start, unseen))


def test_a_surface_the_model_cannot_hold_gets_a_sentence() -> None:
    same = Normalisation((0.0,), (1.0,))
    steep = Polynomial.from_pixels(Terms(((7, 0, 0),)), (1, 9, 9), [1])
    with pytest.raises(InputError, match="degree 7"):
        from_linear_unit(LinearUnit.from_background(steep, 0), same)
    deep = Polynomial.from_pixels(Terms(((0, 0, 1),)), (5, 9, 9), [1])
    with pytest.raises(InputError, match="plane to plane"):
        from_linear_unit(LinearUnit.from_background(deep, 0), same)
    assert from_linear_unit(LinearUnit.from_background(deep, 0), same, ndim=3).ndim == 3


def test_what_cannot_be_learnt_gets_a_sentence() -> None:
    strokes, _ = scribbled()
    annotation = strokes.annotation
    nothing = replace(strokes, annotation=annotation.only(np.zeros(annotation.shape, bool)))
    with pytest.raises(InputError, match="Nothing is annotated"):
        fit_pixels(LogisticSpec(features="bank"), [nothing])
    with pytest.raises(InputError, match="Nothing is annotated"):
        fit_pixels(LogisticSpec(features="bank"), [])
    single = replace(strokes, annotation=annotation.only(annotation.targets == 0))
    with pytest.raises(InputError, match="Only one class"):
        fit_pixels(LogisticSpec(features="bank"), [single])
    with pytest.raises(InputError, match="Choose softmax or mlp"):
        fit_pixels(LogisticSpec(features="bank"), [scribbled(kind="tissue")[0]])
    colour = replace(strokes, image=np.repeat(strokes.image, 3, 0))
    with pytest.raises(InputError, match="same channels"):
        fit_pixels(LogisticSpec(features="bank"), [strokes, colour])
    start = fit_pixels(LogisticSpec(features="bank", sigmas="1"), [strokes])
    with pytest.raises(InputError, match="start from"):
        fit_pixels(LogisticSpec(features="bank", sigmas="2, 4"), [strokes], start=start)
