"""Pretraining on images without labels: what it learns, and that a training starts from it."""

import numpy as np
import pytest
import torch

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.pretrain_options import PretrainOptions
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.network_specs import CnnSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.nn.training.pretrain import corruption, pretrain
from napari_unetseg.core.progress import Cancelled, StopEarly
from napari_unetseg.core.training.pretraining import Pretraining
from napari_unetseg.core.training.train import train

SMALL = UNetSpec(width=6, depth=2, resolution="full")
QUICK = TrainOptions(patch=48, averaging=0.8, batch=4)


@pytest.fixture(scope="module")
def images():
    return [samples.nuclei((96, 96), seed=seed).as_image() for seed in range(3)]


def options(task="masked", steps=60, **how):
    return PretrainOptions(pretrain_task=task, pretrain_steps=steps, **how)


@pytest.mark.parametrize("task", ["masked", "denoise"])
def test_it_learns_to_restore_and_noise_teaches_nothing(images, task):
    learnt = pretrain(SMALL, images, options(task, steps=100, mask_side=4), QUICK)
    assert learnt.explained > 0.4
    grain = np.random.default_rng(0).normal(size=(96, 96)).astype(np.float32)
    nothing = pretrain(SMALL, [Image(grain, "YX")], options("masked", steps=20), QUICK)
    assert nothing.explained < 0.1
    assert f"{learnt.explained:.0%}" in learnt.message


def test_the_same_seed_learns_the_same(images):
    first, second = (pretrain(SMALL, images, options(steps=4), QUICK) for _ in range(2))
    other = pretrain(SMALL, images, options(steps=4), QUICK.model_copy(update={"seed": 1}))
    weights = [
        torch.cat([w.ravel() for w in p.network.parameters()]) for p in (first, second, other)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    "spec",
    [
        UNetSpec(width=4, depth=2, padding="valid", resolution="full"),
        UNetSpec(width=4, depth=2, resolution="half", position="polynomial"),
        CnnSpec(width=4, layers=2, resolution="full"),
    ],
)
def test_every_kind_of_network_can_be_pretrained_and_trained_on(images, spec):
    labels = samples.nuclei((96, 96), seed=0).mask.astype(np.uint8)
    plan = TrainOptions(until="epochs", epochs=1, steps=3, patch=32, validation=0)
    before = Pretraining(images, options(steps=2))
    lesson = TrainingPair(images[0], labels)
    outcome = train(spec, [lesson], plan, name="a", labels_are="mask", pretraining=before)
    assert outcome.pretrained is not None
    assert outcome.pretrained.images == 3
    assert "Pretrained on 3 images without labels" in outcome.message
    assert outcome.model.provenance["pretraining"]["pretrain_steps"] == 2


def test_a_training_begins_where_pretraining_ended_and_can_use_it_again(images):
    labels = samples.nuclei((96, 96), seed=0).mask.astype(np.uint8)
    lesson = TrainingPair(images[0], labels)
    tiny = TrainOptions(
        until="epochs", epochs=1, steps=1, patch=48, validation=0, learning_rate=1e-9, averaging=0
    )
    before = Pretraining(images, options(steps=5))
    first = train(SMALL, [lesson], tiny, name="a", labels_are="mask", pretraining=before)
    known = first.pretrained.network.state_dict()
    for name, array in first.model.state.items():
        if not name.startswith("head.") and "running" not in name and "num_b" not in name:
            np.testing.assert_allclose(array, known[name].numpy(), atol=1e-6)
    again = Pretraining(images, before.options, done=first.pretrained)
    second = train(SMALL, [lesson], tiny, name="b", labels_are="mask", pretraining=again)
    assert second.pretrained is first.pretrained
    other = Pretraining(images, options("denoise", steps=5), done=first.pretrained)
    third = train(SMALL, [lesson], tiny, name="c", labels_are="mask", pretraining=other)
    assert third.pretrained is not first.pretrained


def test_what_is_spoilt_is_what_is_judged():
    chance = torch.Generator().manual_seed(0)
    images = torch.rand(3, 2, 40, 56, generator=chance)
    shown, judged = corruption(options(mask_side=8, mask_share=0.4))(images, chance)
    seen = judged.expand_as(images) == 0
    assert torch.equal(shown[seen], images[seen])
    assert not torch.isclose(shown[~seen], images[~seen]).any()
    assert 0.2 < judged.mean() < 0.6
    noisy, everywhere = corruption(options("denoise", added_noise=0.5))(images, chance)
    assert everywhere.min() == 1
    assert abs((noisy - images).std() / images.std() - 0.5) < 0.1


def test_what_cannot_be_pretrained_is_said(images):
    labels = samples.nuclei((96, 96), seed=0).mask.astype(np.uint8)
    lesson, before = TrainingPair(images[0], labels), Pretraining(images, options(steps=2))
    how = {"name": "a", "labels_are": "mask"}
    with pytest.raises(InputError, match="no layers to pretrain"):
        train(LogisticSpec(), [lesson], QUICK, pretraining=before, **how)
    with pytest.raises(InputError, match="no image to pretrain on"):
        pretrain(SMALL, [], options(), QUICK)
    with pytest.raises(InputError, match="are no stacks"):
        pretrain(SMALL, images, options(), QUICK, ndim=3)
    colours = Image(np.zeros((3, 48, 48), np.uint8), "CYX")
    two = TrainingPair(Image(np.zeros((2, 96, 96), np.uint8), "CYX"), labels)
    with pytest.raises(InputError, match="3 channel"):
        train(SMALL, [two], QUICK, pretraining=Pretraining([colours], options(steps=2)), **how)
    plan = TrainOptions(until="epochs", epochs=1, steps=1, patch=32, validation=0)
    start = train(SMALL, [lesson], plan, **how).model
    with pytest.raises(InputError, match="is trained already"):
        train(SMALL, [lesson], plan, start=start, pretraining=before, **how)


@pytest.mark.parametrize(("raised", "seen"), [(Cancelled, Cancelled), (StopEarly, InputError)])
def test_a_pretraining_that_is_ended_leaves_nothing(images, raised, seen):
    labels = samples.nuclei((96, 96), seed=0).mask.astype(np.uint8)

    def progress(fraction, message=""):
        if message.startswith("pretraining,"):
            raise raised

    with pytest.raises(seen):
        train(
            SMALL,
            [TrainingPair(images[0], labels)],
            QUICK,
            name="a",
            labels_are="mask",
            pretraining=Pretraining(images, options()),
            progress=progress,
        )
