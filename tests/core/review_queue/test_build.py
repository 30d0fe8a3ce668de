"""Queues of real predictions: the wrong come first, what a hand approved does not come."""

import dask.array
import numpy as np
import pytest

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.review_queue import QueueOptions, Sources, make_queue
from napari_unetseg.core.training.train import train

SHAPE = (160, 192)


@pytest.fixture(scope="module")
def scene():
    sample = samples.nuclei(SHAPE, seed=2)
    image = sample.as_image()
    lesson = TrainingPair(image, sample.mask.astype(np.uint8))
    spec, options = LogisticSpec(), TrainOptions()
    model = train(spec, [lesson], options, name="nuclei", labels_are="mask").model
    return sample, image, model


def spoilt(objects):
    """Merge two neighbours, invent one, halve one and leave one out; which ids are wrong."""
    labels = objects.astype(np.int32)
    ids = [int(number) for number in np.unique(labels)[1:]]
    sizes = {number: np.count_nonzero(labels == number) for number in ids}
    large = sorted(ids, key=sizes.get)[::-1]
    halved, missing, first, second = large[:4]
    rows = np.nonzero(labels == halved)[0]
    labels[(labels == halved) & (np.arange(len(labels))[:, None] < np.median(rows))] = 0
    labels[labels == missing] = 0
    labels[labels == second] = first
    empty = np.argwhere((labels == 0) & (objects == 0))
    free = (at for at in empty if at[0] < 150 and at[1] < 180)
    y, x = next((y, x) for y, x in free if not objects[y : y + 9, x : x + 9].any())
    labels[y : y + 9, x : x + 9] = 999
    return labels, {halved, first, 999}, missing


@pytest.mark.parametrize("lazy", [False, True])
def test_what_is_wrong_comes_first(scene, lazy):
    sample, image, model = scene
    labels, wrong, missing = spoilt(sample.objects)
    if lazy:
        image = image.with_data(dask.array.from_array(image.data, chunks=64))
    made = make_queue(Image.of(labels, "YX"), Sources(image, model), QueueOptions(diversity=0))
    queue = made.queue
    objects = [item.number for item in queue.items if item.kind == "object"]
    assert sorted(objects) == np.unique(labels)[1:].tolist()
    assert wrong <= set(objects[: len(objects) // 2])
    places = [item for item in queue.items if item.kind == "place"]
    assert len(places) <= 2
    assert any((sample.objects[place.box] == missing).any() for place in places)
    assert all(0 <= item.score <= 1 and item.why for item in queue.items)
    scores = [item.score for item in queue.items if item.kind == "object"]
    assert np.mean(scores[:5]) > 2 * np.mean(scores[-5:])
    assert made.uncertainty.shape == SHAPE
    assert made.uncertainty.dtype == np.float32
    assert 0 <= made.uncertainty.min() <= made.uncertainty.max() <= 1


def test_without_signal_the_wrong_are_not_found(scene):
    """The negative control: the model is asked about an image of nothing."""
    sample, image, model = scene
    labels, wrong, _ = spoilt(sample.objects)
    rng = np.random.default_rng(0)
    noise = image.with_data(rng.permutation(image.asarray().ravel()).reshape(SHAPE))
    options = QueueOptions(by="views", diversity=0)
    queue = make_queue(Image.of(labels, "YX"), Sources(noise, model), options).queue
    objects = [item.number for item in queue.items if item.kind == "object"]
    assert not wrong <= set(objects[: len(objects) // 2])


@pytest.mark.parametrize("by", ["entropy", "margin", "views"])
def test_a_model_is_needed_for_what_it_says(scene, by):
    sample, image, model = scene
    labels = Image.of(sample.objects.astype(np.int32), "YX")
    with pytest.raises(InputError, match="needs a model"):
        make_queue(labels, Sources(image), QueueOptions(by=by))
    assert len(make_queue(labels, Sources(image, model), QueueOptions(by=by)).queue)


def test_other_labels_tell_what_they_have_otherwise(scene):
    sample, image, _ = scene
    labels, wrong, missing = spoilt(sample.objects)
    sources = Sources(image, other=sample.objects)
    options = QueueOptions(by="other labels", diversity=0)
    made = make_queue(Image.of(labels, "YX"), sources, options)
    first = made.queue.items[:5]
    assert {item.number for item in first if item.kind == "object"} == wrong
    places = [item for item in first if item.kind == "place"]
    assert any((sample.objects[place.box] == missing).any() for place in places)
    assert np.array_equal(made.uncertainty > 0, (labels != 0) != (sample.objects != 0))
    with pytest.raises(InputError, match="Choose the other labels"):
        make_queue(Image.of(labels, "YX"), Sources(image), options)
    with pytest.raises(InputError, match="belong to different images"):
        make_queue(Image.of(labels[:99], "YX"), sources, options)


def test_shape_alone_finds_the_odd_one():
    labels = np.zeros((100, 100), np.int32)
    for k in range(16):
        y, x = divmod(k, 4)
        side = 20 if k == 9 else 8
        labels[25 * y + 2 : 25 * y + 2 + side, 25 * x + 2 : 25 * x + 2 + side] = k + 1
    made = make_queue(Image.of(labels, "YX"), Sources(), QueueOptions())
    assert made.queue.item.number == 10
    assert made.uncertainty[labels == 10].min() > made.uncertainty[labels != 10].max()


def test_what_a_hand_approved_does_not_come(scene):
    sample, image, model = scene
    labels, _, missing = spoilt(sample.objects)
    ink = PixelSet(SHAPE)
    whole = tuple(slice(0, n) for n in SHAPE)
    ink.add(whole, (labels == 999) | ((sample.objects == missing) & (labels == 0)))
    queue = make_queue(
        Image.of(labels, "YX"), Sources(image, model), QueueOptions(), locked=ink
    ).queue
    assert 999 not in {item.number for item in queue.items}
    places = [item for item in queue.items if item.kind == "place"]
    assert not any((sample.objects[place.box] == missing).any() for place in places)
    drawn = make_queue(
        Image.of(labels, "YX"), Sources(), QueueOptions(order="random sample"), locked=ink
    ).queue
    assert drawn.certain == 1
    assert drawn.population == len(np.unique(labels)) - 2


@pytest.mark.parametrize("per", ["plane", "stack"])
def test_stacks_and_their_planes(per):
    labels = np.zeros((6, 40, 50), np.int32)
    labels[0:4, 5:15, 5:15], labels[2:6, 20:30, 30:45] = 1, 2
    options = QueueOptions(per=per, order="random sample", n=500)
    made = make_queue(Image.of(labels, "ZYX", spacing=(4, 1, 1)), Sources(), options).queue
    objects = [item for item in made.items if item.kind == "object"]
    windows = [item for item in made.items if item.kind == "window"]
    assert len(objects) == made.population == (8 if per == "plane" else 2)
    assert len(windows) == made.windows
    deep = max(item.high[0] - item.low[0] for item in windows)
    assert (deep == 1) == (per == "plane")
    if per == "stack":
        sides = np.median([np.subtract(item.high, item.low) for item in windows], axis=0)
        assert sides[0] < sides[1]
    for item in objects:
        assert (labels[item.box] == item.number).any()
    unsure = make_queue(Image.of(labels, "ZYX"), Sources(), QueueOptions(per=per)).queue
    assert len(unsure) == made.population


def test_a_stack_is_asked_plane_by_plane(scene):
    sample, image, model = scene
    labels, _, _ = spoilt(sample.objects)
    stack = Image.of(np.stack([image.asarray()] * 2), "ZYX")
    ids = np.stack([sample.objects, labels]).astype(np.int32)
    options = QueueOptions(per="plane", diversity=0, n=12)
    made = make_queue(Image.of(ids, "ZYX"), Sources(stack, model), options)
    assert made.uncertainty.shape == ids.shape
    assert np.mean([item.low[0] for item in made.queue.items[:6]]) > 0.5


def test_classes_are_looked_at_in_windows(scene):
    sample, image, model = scene
    labels = Image.of(sample.mask.astype(np.uint8), "YX")
    options = QueueOptions(labels_are="classes", n=1000, diversity=0)
    made = make_queue(labels, Sources(image, model), options)
    assert {item.kind for item in made.queue.items} == {"window"}
    scores = [item.score for item in made.queue.items]
    assert scores == sorted(scores, reverse=True)
    first = made.queue.item
    assert made.uncertainty[first.box].mean() == pytest.approx(first.score, abs=1e-3)
    with pytest.raises(InputError, match="a model and the image, or other labels"):
        make_queue(labels, Sources(image), options)
    with pytest.raises(InputError, match="Only objects can be counted"):
        make_queue(labels, Sources(), options.model_copy(update={"order": "random sample"}))


def test_nothing_to_look_at():
    empty = Image.of(np.zeros((60, 60), np.int32), "YX")
    made = make_queue(empty, Sources(), QueueOptions())
    assert len(made.queue) == 0
    assert made.queue.item is None
    drawn = make_queue(empty, Sources(), QueueOptions(order="random sample")).queue
    assert drawn.population == 0
    assert {item.kind for item in drawn.items} == {"window"}


def test_the_number_of_items_and_the_seed(scene):
    sample, *_ = scene
    labels = Image.of(sample.objects.astype(np.int32), "YX")
    assert len(make_queue(labels, Sources(), QueueOptions(n=7)).queue) == 7
    one, same, other = (
        make_queue(labels, Sources(), QueueOptions(n=20, order="random sample", seed=seed)).queue
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_cancel(scene):
    sample, image, model = scene

    def stop(fraction, message="", /):
        raise Cancelled

    labels = Image.of(sample.objects.astype(np.int32), "YX")
    with pytest.raises(Cancelled):
        make_queue(labels, Sources(image, model), QueueOptions(), progress=stop)
