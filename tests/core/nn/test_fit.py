"""The training loop: it learns what is there, nothing that is not, and leaves all else be."""

import copy
import itertools
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import AnnotatedImage, Annotation
from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import TrainingSet
from napari_unetseg.core.annotation.training_step import Callbacks, TrainingStep
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.network_specs import CnnSpec, ModelSpec, Stem, UNetSpec, Upsampling
from napari_unetseg.core.nn.inference import runtime
from napari_unetseg.core.nn.inference.familiarity import familiarity
from napari_unetseg.core.nn.inference.network_segmenter import NetworkSegmenter
from napari_unetseg.core.nn.inference.runtime import choose_device, computes_bfloat16, threads
from napari_unetseg.core.nn.networks.build_network import build_network
from napari_unetseg.core.nn.training import fit_network as fit_module
from napari_unetseg.core.nn.training import schedule
from napari_unetseg.core.nn.training.fit_network import (
    FittedNetwork,
    WarmStart,
    fit_network,
    predict_middle,
)
from napari_unetseg.core.nn.training.patches import Judge, Reader, Shape, Tally
from napari_unetseg.core.nn.training.prepare import patch_shape, prepare_training
from napari_unetseg.core.nn.training.schedule import learning_rate
from napari_unetseg.core.nn.training.transfer import (
    Average,
    CopiedEnds,
    restate_averages,
    set_frozen,
    transfer_weights,
)
from napari_unetseg.core.normalisation import Normalisation, NormalisationSpec
from napari_unetseg.core.progress import Cancelled, StopEarly

TINY = UNetSpec(depth=1, width=6, convolutions=1)
QUICK = TrainOptions(
    until="epochs", epochs=3, steps=25, patch=32, learning_rate=0.02, averaging=0.8
)
STEPS = QUICK.model_copy(update={"epochs": 2, "steps": 2, "batch": 2})


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks so small are faster alone, much so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def discs(
    shape: tuple[int, ...] = (64, 64), *, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return a noisy image (1, *shape) of bright discs or balls, and where they are."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    centres = rng.uniform(0, shape, (8, len(shape)))
    inside = (((places[..., None, :] - centres) ** 2).sum(-1) < 49).any(-1)
    return (inside + 0.3 * rng.standard_normal(shape)).astype(np.float32)[None], inside


def example(
    shape: tuple[int, ...] = (64, 64), *, kind: AnnotationKind = "mask", seed: int = 0
) -> AnnotatedImage:
    image, inside = discs(shape, seed=seed)
    labels = inside.astype(np.uint8)
    if kind == "scribbles":
        labels = np.where(np.arange(shape[-1]) % 9 < 2, labels + 1, 0).astype(np.uint8)
    return AnnotatedImage(image, Annotation.of(labels, kind))


def fitted_on(
    spec: ModelSpec, images: list[AnnotatedImage], options: TrainOptions, **how: Any
) -> FittedNetwork:
    """Train a network on images, part of them held out as the options say."""
    return fit_network(spec, TrainingSet.of_images(images, options), options, **how)


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def trained() -> FittedNetwork:
    """A network trained on discs."""
    return fitted_on(TINY, [example()], QUICK)


def test_it_learns_and_says_how(trained: FittedNetwork) -> None:
    assert trained.judgement is not None
    assert trained.judgement.dice > 0.85
    assert [record.step for record in trained.history] == list(range(1, 76))
    assert [record.epoch for record in trained.history] == [1] * 25 + [2] * 25 + [3] * 25
    assert [r.step for r in trained.history if r.dice is not None] == [25, 50, 75]
    assert np.mean([r.loss for r in trained.history[-5:]]) < 0.6 * trained.history[0].loss
    assert trained.history_table()[0]["step"] == 1
    assert trained.classes == ("background", "class 1")
    assert trained.values == (0, 1)
    assert "CPU" in trained.message


def test_it_predicts_an_image_it_has_not_seen(trained: FittedNetwork) -> None:
    unseen = example(seed=9)
    block = unseen.scale().apply(unseen.image)
    proba = trained.segmenter().predict_proba(block, origin=(0, 0), shape=(64, 64))
    tally = Tally(2, (1,))
    tally.add(proba[None], unseen.annotation.targets[None])
    assert tally.judgement().dice > 0.85


def test_shuffled_labels_do_not_train() -> None:
    image, inside = discs()
    shuffled = np.random.default_rng(0).permutation(inside.ravel()).reshape(inside.shape)
    fitted = fitted_on(TINY, [AnnotatedImage(image, Annotation.of(shuffled, "mask"))], QUICK)
    chance = 2 * inside.mean() / (1 + inside.mean())  # of a mask that is full
    assert fitted.judgement is not None
    assert fitted.judgement.dice < chance + 0.1


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (CnnSpec(layers=2, width=4), (48, 40)),
        (CnnSpec(layers=2, width=4, position="polynomial"), (48, 40)),
        (UNetSpec(depth=1, width=4, convolutions=1, padding="valid", stem="plain"), (48, 40)),
        (UNetSpec(depth=1, width=4, convolutions=1, normalisation="group"), (20, 50)),
        (UNetSpec(depth=2, width=2, convolutions=1, flat_levels=1), (6, 24, 24)),
    ],
)
@pytest.mark.parametrize("kind", ["mask", "scribbles"])
def test_every_kind_of_network_and_annotation_trains(
    spec: ModelSpec, shape: tuple[int, ...], kind: AnnotationKind
) -> None:
    fitted = fitted_on(spec, [example(shape, kind=kind)], STEPS)
    assert len(fitted.history) == 4
    assert math.isfinite(fitted.history[-1].loss)
    assert fitted.segmenter().ndim == len(shape)


@pytest.mark.parametrize("stem", ["plain", "space-to-depth"])
@pytest.mark.parametrize(
    "upsampling", ["transposed-2", "transposed-3", "transposed-4", "linear", "nearest"]
)
def test_without_padding_what_is_learnt_is_the_middle_of_what_is_seen(
    upsampling: Upsampling, stem: Stem
) -> None:
    spec = UNetSpec(
        depth=1, width=2, convolutions=1, padding="valid", stem=stem, upsampling=upsampling
    )
    network = build_network(spec, 1, 2, 2, seed=0).eval()
    shape = patch_shape(spec, [example((96, 96))], TrainOptions(patch=32), network)
    for patch, result, offset in zip(shape.patch, shape.result, shape.offset, strict=True):
        assert patch - result == 2 * offset
        assert offset >= max(network.offset)  # type: ignore[arg-type]
        assert result >= 8
    # What it says of the middle is what it says of the same place in a whole image.
    image = torch.rand(1, 1, *(2 * side for side in shape.patch))
    with torch.no_grad():
        whole = network(image)
        part = predict_middle(network, image[..., : shape.patch[0], : shape.patch[1]], shape.result)
    start = [rim - first for rim, first in zip(shape.offset, network.offset, strict=True)]  # type: ignore[arg-type]
    inside = (..., *(slice(s, s + n) for s, n in zip(start, shape.result, strict=True)))
    torch.testing.assert_close(part, whole[inside], rtol=1e-4, atol=1e-5)


def test_images_smaller_than_a_patch_and_of_different_sides() -> None:
    options = STEPS.model_copy(update={"patch": 256})
    fitted = fitted_on(TINY, [example((20, 33)), example((50, 18), seed=1)], options)
    assert math.isfinite(fitted.history[-1].loss)


def test_of_masks_every_image_is_drawn_as_often_and_strokes_by_their_length() -> None:
    much, little = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    much[4:60, 4:60], little[30:36, 30:36] = 1, 1

    def share_of_the_second(kind: AnnotationKind, first: int) -> float:
        as_is = Normalisation((0.0,), (1.0,))
        data = [
            AnnotatedImage(
                np.full((1, 64, 64), k, np.float32), Annotation.of(mask + first, kind), as_is
            )
            for k, mask in enumerate((much, little))
        ]
        shape = patch_shape(TINY, data, QUICK, build_network(TINY, 1, 2, 2))
        options = QUICK.model_copy(
            update={"validation": 0.0, "balance": "patches", "intensity": 0.0}
        )
        drawer, _ = prepare_training(TINY, TrainingSet.of_images(data, options), options, shape)
        return float(drawer.draw(400).image.mean())

    assert share_of_the_second("mask", 0) == pytest.approx(0.5, abs=0.08)
    assert share_of_the_second("scribbles", 1) == pytest.approx(0.4, abs=0.08)


def test_the_seed_decides() -> None:
    options = STEPS.model_copy(update={"elastic": 2.0, "noise": 0.1})
    spec = TINY.model_copy(update={"dropout": 0.2})
    drawn = torch.random.get_rng_state()
    first, again = (fitted_on(spec, [example()], options) for _ in range(2))
    other = fitted_on(spec, [example()], options.model_copy(update={"seed": 1}))
    assert same(first.network, again.network)
    assert not same(first.network, other.network)
    assert [r.loss for r in first.history] == [r.loss for r in again.history]
    assert torch.equal(drawn, torch.random.get_rng_state())


def test_a_budget_ends_the_training() -> None:
    options = STEPS.model_copy(update={"until": "time", "budget": 0.005})
    fitted = fitted_on(TINY, [example()], options)
    assert fitted.history
    assert fitted.judgement is not None
    assert fitted.history[-1].fraction < 1


def test_a_training_on_time_ends_with_a_falling_rate_and_averaged_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = itertools.count(step=0.05)
    monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    timed = QUICK.model_copy(update={"until": "time", "budget": 0.15})
    fitted = fitted_on(TINY, [example()], timed)
    assert fitted.history[-1].rate < 0.1 * max(r.rate for r in fitted.history)
    assert fitted.judgement is not None
    assert fitted.judgement.dice > 0.8


def test_stopping_keeps_the_best_and_cancelling_leaves_all(trained: FittedNetwork) -> None:
    start, before = trained.network, copy.deepcopy(trained.network)
    calls = []

    def listen(after: int, answer: type[Exception]) -> object:
        calls.clear()

        def progress(fraction: float, message: str = "", /) -> None:
            calls.append(fraction)
            if len(calls) > after:
                raise answer

        return progress

    stopped = fitted_on(TINY, [example()], QUICK, callbacks=Callbacks(listen(30, StopEarly)))  # type: ignore[arg-type]
    assert len(stopped.history) == 30
    assert stopped.judgement is not None
    ranks = [r.dice for r in stopped.history if r.dice is not None]
    assert stopped.judgement.dice == max(ranks)
    with pytest.raises(Cancelled):
        fitted_on(
            TINY,
            [example()],
            QUICK,
            start=WarmStart(start),
            callbacks=Callbacks(listen(2, Cancelled)),
        )  # type: ignore[arg-type]
    assert same(start, before)
    assert calls == sorted(calls)


def test_continuing_starts_from_the_network_and_never_ends_below_it(trained: FittedNetwork) -> None:
    before = copy.deepcopy(trained.network)
    awful = STEPS.model_copy(update={"learning_rate": 1.0, "schedule": "constant"})
    further = fitted_on(TINY, [example()], awful, start=WarmStart(trained.network))
    assert trained.judgement is not None
    assert further.judgement is not None
    assert further.judgement.rank >= trained.judgement.rank
    assert further.unchanged == same(further.network, before)
    assert not trained.unchanged
    assert same(trained.network, before)


def test_a_frozen_encoder_stays_and_heads_are_replaced(trained: FittedNetwork) -> None:
    image, inside = discs()
    three = inside.astype(np.uint8)
    three[:, :20] *= 2
    options = STEPS.model_copy(update={"freeze": 2, "averaging": 0.0, "validation": 0.0})
    fitted = fitted_on(
        TINY,
        [AnnotatedImage(image, Annotation.of(three, "mask"))],
        options,
        start=WarmStart(trained.network),
    )
    old, new = trained.network.state_dict(), fitted.network.state_dict()
    frozen = [name for name in old if ".encode." in name and old[name].ndim > 1]
    assert frozen
    assert all(torch.equal(old[name], new[name]) for name in frozen)
    first, x = (cast("Any", one.network) for one in (trained, fitted)), torch.rand(1, 1, 16, 16)
    before, after = (network.body.encode(network.stem(x)) for network in first)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    assert any(not torch.equal(old[n], new[n]) for n in old if ".decode." in n)
    assert len(fitted.classes) == 3
    assert fitted.judgement is None


def test_transfer_names_what_does_not_fit(trained: FittedNetwork) -> None:
    with pytest.raises(InputError, match="other options"):
        fitted_on(
            UNetSpec(depth=2, width=6, convolutions=1),
            [example()],
            STEPS,
            start=WarmStart(trained.network),
        )
    other = copy.deepcopy(trained.network)
    assert transfer_weights(other, trained.network) == CopiedEnds(first=True, head=True)
    assert same(other, trained.network)


@pytest.mark.parametrize("spec", [TINY, CnnSpec(layers=2, width=4)])
def test_for_other_channels_and_classes_the_ends_are_new(spec: ModelSpec) -> None:
    known, other = build_network(spec, 1, 2, 2, seed=0), build_network(spec, 3, 4, 2, seed=1)
    fresh = copy.deepcopy(other.state_dict())
    taken = transfer_weights(other, known)
    assert taken == CopiedEnds(first=False, head=False)
    assert "first and last layers are new" in taken.in_words
    old, new = known.state_dict(), other.state_dict()
    kept = [name for name in old if old[name].shape == new[name].shape]
    assert len(kept) > len(old) / 2
    assert all(torch.equal(old[name], new[name]) for name in kept if "head" not in name)
    ends = [name for name in new if old[name].shape != new[name].shape]
    assert len([name for name in ends if "head" not in name]) == 1
    assert all(torch.equal(fresh[name], new[name]) for name in ends)


@pytest.mark.parametrize("spec", [TINY, TINY.model_copy(update={"head": "learnt"})])
def test_the_classes_of_a_model_of_objects_go_on_as_a_mask(spec: ModelSpec) -> None:
    # One output for the foreground and two maps; one output for each class.
    objects, mask = build_network(spec, 1, 3, 2, seed=0), build_network(spec, 1, 2, 2, seed=1)
    taken = transfer_weights(mask, objects, head=False, classes=(True, False))
    assert taken == CopiedEnds(first=True, head=False, classes=True)
    assert "apart from those that separate objects" in taken.in_words
    x = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        front = objects.eval()(x)[:, 0]
        torch.testing.assert_close(mask.eval()(x), torch.stack([0 * front, front], 1))
        again = build_network(spec, 1, 3, 2, seed=2).eval()
        transfer_weights(again, mask, head=False, classes=(False, True))
        torch.testing.assert_close(again(x)[:, 0], front)


def test_a_learnt_head_goes_on_as_a_linear_one_with_the_mean_of_its_pixels() -> None:
    learnt = build_network(TINY.model_copy(update={"head": "learnt"}), 1, 2, 2, seed=0).eval()
    linear: Any = build_network(TINY, 1, 2, 2, seed=1).eval()
    assert transfer_weights(linear, learnt) == CopiedEnds(first=True, head=True)
    x = torch.rand(1, 1, 16, 16)
    with torch.inference_mode():
        boxes = torch.nn.functional.avg_pool2d(learnt(x), 2)
        torch.testing.assert_close(linear.head[0](linear.features(x)), boxes)


def test_a_network_learns_from_its_teacher_what_labels_do_not_show(trained: FittedNetwork) -> None:
    teacher, before = trained.network, copy.deepcopy(trained.network)
    one, other = example(seed=4), example(seed=5)
    mislabelled = AnnotatedImage(one.image, other.annotation)
    options = QUICK.model_copy(update={"validation": 0.0, "seed": 3})

    def strayed(**how: Any) -> float:
        """Return the mean distance of the foreground from that of the teacher, elsewhere."""
        pupil = fitted_on(TINY, [mislabelled], options, **how).segmenter()
        block = other.scale().apply(other.image)
        both = [
            segmenter.predict_proba(block, origin=(0, 0), shape=(64, 64))[1]
            for segmenter in (pupil, trained.segmenter())
        ]
        return float(np.abs(both[0] - both[1]).mean())

    assert strayed(teacher=teacher) < 0.75 * strayed()
    assert same(teacher, before)


@pytest.mark.parametrize("normalisation", ["batch", "group"])
def test_what_is_continued_normalises_by_the_averages_it_has(
    normalisation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_module, "restate_averages", lambda network, blocks: None)
    spec = TINY.model_copy(update={"normalisation": normalisation})
    begun = build_network(spec, 1, 2, 2, seed=0)
    averages = {n: w.clone() for n, w in begun.state_dict().items() if "running" in n}
    assert averages
    alone = STEPS.model_copy(update={"validation": 0.0, "averaging": 0.0})
    for keep, channels, same_after in ((True, 1, True), (False, 1, False), (True, 2, False)):
        one = example()
        image = np.repeat(one.image, channels, 0)
        given = AnnotatedImage(image, one.annotation)
        fitted = fitted_on(spec, [given], alone, start=WarmStart(begun, keep_statistics=keep))
        after = fitted.network.state_dict()
        assert all(torch.equal(after[n], w) for n, w in averages.items()) == same_after
        assert any(
            not torch.equal(after[n], w) for n, w in begun.state_dict().items() if "head" in n
        )


@pytest.mark.parametrize("normalisation", ["batch", "group"])
def test_averages_are_restated_without_changing_the_network(normalisation: str) -> None:
    network = build_network(
        TINY.model_copy(update={"normalisation": normalisation}), 1, 2, 2, seed=0
    )
    for module in network.modules():
        if isinstance(getattr(module, "running_var", None), torch.Tensor):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    blocks = list(3 + 2 * torch.randn(2, 3, 1, 16, 16))
    with torch.no_grad():
        before = network.eval()(blocks[0])
        restate_averages(network, blocks)
        torch.testing.assert_close(network(blocks[0]), before, rtol=1e-3, atol=1e-4)
    first: Any = network.body.encode[0]
    entering = first[0](network.stem(torch.cat(blocks))).movedim(1, 0).flatten(1)
    torch.testing.assert_close(first[1].running_mean, entering.mean(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        first[1].running_var, entering.var(1, correction=0), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("resolution", ["full", "half"])
def test_images_of_a_continued_training_are_familiar_to_it(resolution: str) -> None:
    spec = TINY.model_copy(update={"resolution": resolution})
    dark, bright = example(), example()
    bright = AnnotatedImage(
        np.random.default_rng(5).normal(4, 3, dark.image.shape).astype(np.float32),
        dark.annotation,
    )
    options = STEPS.model_copy(update={"validation": 0.0})
    known = fitted_on(spec, [dark], QUICK).network
    after = fitted_on(spec, [bright], options, start=WarmStart(known)).network
    block = torch.from_numpy(bright.scale().apply(bright.image))[None]
    inside = torch.from_numpy((bright.annotation.targets == 1).astype(np.float32))
    assert familiarity(known, block, inside) < 0.7
    assert familiarity(after, block, inside) > 0.9


def test_a_short_training_on_one_kind_does_not_begin_by_forgetting() -> None:
    """A network of bright, dark and noisy discs goes on with bright ones alone."""

    def kind(light: float, noise: float, seed: int) -> AnnotatedImage:
        image, inside = discs(seed=seed)
        image = light * image + noise * np.random.default_rng(seed).standard_normal(image.shape)
        return AnnotatedImage(
            image.astype(np.float32), Annotation.of(inside.astype(np.uint8), "mask")
        )

    looks = [(1.0, 0.0), (-1.0, 0.0), (0.15, 1.0)]
    known = fitted_on(TINY, [kind(*look, seed) for seed in range(4) for look in looks], QUICK)
    unseen = kind(1.0, 0.0, 99)
    block = unseen.scale().apply(unseen.image)
    short = QUICK.model_copy(update={"epochs": 1, "steps": 8, "validation": 0.0})

    def dice_after(*, keep: bool) -> float:
        lesson = [kind(1.0, 0.0, 8)]
        fitted = fitted_on(
            TINY, lesson, short, start=WarmStart(known.network, keep_statistics=keep)
        )
        proba = fitted.segmenter().predict_proba(block, origin=(0, 0), shape=(64, 64))
        tally = Tally(2, (1,))
        tally.add(proba[None], unseen.annotation.targets[None])
        return tally.judgement().dice

    kept = dice_after(keep=True)
    assert kept > 0.8
    assert dice_after(keep=False) < kept - 0.1


def test_freezing_is_of_the_encoder_and_undone() -> None:
    other = build_network(TINY, 1, 2, 2, seed=0)
    set_frozen(other, True)
    assert any(w.requires_grad for w in other.parameters())
    assert not all(w.requires_grad for w in other.parameters())
    set_frozen(other, False)
    assert all(w.requires_grad for w in other.parameters())


def test_watch_and_preview_see_the_training_and_do_not_touch_it() -> None:
    seen: list[TrainingStep] = []
    shown: list[NetworkSegmenter] = []
    options = STEPS.model_copy(update={"steps": 8})
    fitted = fitted_on(
        TINY, [example()], options, callbacks=Callbacks(watch=seen.append, preview=shown.append)
    )
    assert tuple(seen) == fitted.history
    quiet = fitted_on(TINY, [example()], options)
    assert same(fitted.network, quiet.network)


def test_patience_ends_early() -> None:
    options = STEPS.model_copy(
        update={"epochs": 50, "steps": 1, "patience": 2, "learning_rate": 1e-9}
    )
    assert len(fitted_on(TINY, [example()], options).history) < 30


def test_a_loss_that_is_no_number_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> torch.Tensor:
        return torch.tensor(math.nan, requires_grad=True)

    monkeypatch.setattr("napari_unetseg.core.nn.training.fit_network.segmentation_loss", broken)
    with pytest.raises(InputError, match="lower the learning rate"):
        fitted_on(TINY, [example()], STEPS)


def test_images_that_differ_in_kind() -> None:
    image, inside = discs()
    two = AnnotatedImage(np.concatenate([image, image]), Annotation.of(inside, "mask"))
    with pytest.raises(InputError, match="numbers of channels"):
        fitted_on(TINY, [example(), two], STEPS)
    with pytest.raises(InputError, match="Only one class"):
        fitted_on(TINY, [AnnotatedImage(image, Annotation.of(np.ones((64, 64), int)))], STEPS)


def test_windows_hold_every_held_out_pixel_once() -> None:
    source = example((70, 45)).normalised(NormalisationSpec())
    shape = Shape((32, 32), (32, 32), (0, 0))
    judge = Judge([source], Reader(TINY, shape), shape)
    counted = sum(int((some.target != 255).sum()) for some in judge.batches(3))
    assert counted == 70 * 45


def test_tally_by_hand() -> None:
    tally = Tally(2, (1,))
    proba = np.array([[0.9, 0.2, 0.4, 0.5], [0.1, 0.8, 0.6, 0.5]], np.float32)[None]
    tally.add(proba, np.array([[0, 1, 0, 255]], np.uint8))
    result = tally.judgement()
    assert result.dice == pytest.approx(2 / 3)
    assert result.per_class == pytest.approx((2 / 3, 2 / 3))
    want = ((-math.log(0.9) - math.log(0.4)) / 2 - math.log(0.8)) / 2
    assert result.loss == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_the_learning_rate_rises_then_falls(schedule: str) -> None:
    options = TrainOptions.checked(schedule=schedule, learning_rate=0.1)
    rates = [learning_rate(k / 100, options) for k in range(101)]
    peak = int(np.argmax(rates))
    assert rates[peak] == pytest.approx(0.1, rel=0.02)
    assert rates[0] == pytest.approx(0.004)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_an_average_of_nothing_but_one_network_is_that_network() -> None:
    network = torch.nn.Linear(2, 2)
    average = Average(network, copy.deepcopy(network), 0.9)
    with torch.no_grad():
        network.weight.add_(1)
    for _ in range(200):
        average.update()
    torch.testing.assert_close(average.network.weight, network.weight)


def test_a_missing_device_is_said_aloud() -> None:
    assert not choose_device("cpu").fallback
    missing = "mps" if torch.cuda.is_available() else "cuda"
    choice = choose_device(missing)  # type: ignore[arg-type]
    assert choice.fallback
    assert choice.device.type == "cpu"
    assert "much slower" in choice.message


def test_threads_are_put_back() -> None:
    before = torch.get_num_threads()
    with threads(spare_core=True) as number:
        assert 1 <= number <= before
        assert torch.get_num_threads() == number
    assert torch.get_num_threads() == before


def test_bfloat16_is_for_processors_that_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cpu")
    for capability, instructions in (("AVX512", False), ("AVX2", True), ("DEFAULT", True)):
        with monkeypatch.context() as patch:
            patch.setattr("torch.backends.cpu.get_cpu_capability", lambda name=capability: name)
            patch.setattr("torch.cpu._is_avx512_bf16_supported", lambda has=instructions: has)
            assert not computes_bfloat16(device)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
    monkeypatch.delattr("torch.cpu._is_avx512_bf16_supported", raising=False)
    assert not computes_bfloat16(device)  # an older torch
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: True, raising=False)
    assert computes_bfloat16(device) == torch.backends.mkldnn.is_available()
    assert not computes_bfloat16(torch.device("mps"))
    for generation, native in (((7, 5), False), ((8, 0), True)):
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda _, found=generation: found)
        assert computes_bfloat16(torch.device("cuda")) == native


def test_the_precision_of_a_training_is_a_choice_and_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fit_module, "computes_bfloat16", lambda device: True)
    monkeypatch.setattr(runtime, "computes_bfloat16", lambda device: True)
    plain = fitted_on(TINY, [example()], STEPS.model_copy(update={"precision": "float32"}))
    assert (plain.precision, "bfloat16" in plain.message) == ("float32", False)
    first, again = (fitted_on(TINY, [example()], STEPS) for _ in range(2))
    assert (first.precision, "bfloat16" in first.message) == ("bfloat16", True)
    assert same(first.network, again.network)
    assert not same(first.network, plain.network)
    # What is kept and predicts is float32.
    assert {weight.dtype for weight in first.network.parameters()} == {torch.float32}
