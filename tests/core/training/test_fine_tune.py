"""Training on corrections: ink teaches, the rest hardly does, and what is unlearnt is told."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import AnnotatedImage, Annotation, TrainingPair
from napari_unetseg.core.annotation.class_balance import class_weights
from napari_unetseg.core.annotation.holdout import split
from napari_unetseg.core.annotation.pixel_table import PixelTable
from napari_unetseg.core.annotation.shrinking import shrunken_annotation
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import Reading
from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.nn.training.patches import Drawer, Reader, Shape
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import Cancelled, StopEarly
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.corrected_labels import (
    RIM,
    compute_review_weights,
    convert_labels,
    make_corrected_pair,
)
from napari_unetseg.core.training.fine_tune import FineTuneOptions, fine_tune
from napari_unetseg.core.training.forgetting import (
    Check,
    Counts,
    _compared,
    check_forgetting,
)
from napari_unetseg.core.training.train import train

QUICK = TrainOptions(until="epochs", epochs=2, steps=8, patch=32, batch=2, averaging=0.0)
BANK = LogisticSpec(sigmas="1, 2")


def ink_of(mask):
    ink = PixelSet(mask.shape)
    ink.add(tuple(slice(0, n) for n in mask.shape), mask)
    return ink


def lesson(image, labels, ink, model, labels_are, **more):
    said = {"ink_weight": 5.0, "unreviewed": 0.1} | more
    return make_corrected_pair(image, labels, ink_of(ink), model, labels_are=labels_are, **said)


def taught(labels_are="mask", spec=BANK, options=QUICK, **more):
    """Return a sample and a model that learnt it."""
    sample = samples.nuclei((96, 112), seed=3)
    labels = sample.objects if labels_are == "objects" else sample.mask.astype(np.uint8)
    if labels_are == "scribbles":
        labels = labels + np.uint8(1)
    lessons = [TrainingPair(sample.as_image(), labels)]
    model = train(spec, lessons, options, name="old", labels_are=labels_are, **more).model
    return sample, lessons, model


@pytest.fixture(scope="module")
def mask_model():
    return taught()


def inverted(sample):
    """Return an image on which all that was learnt from `sample` is wrong."""
    image = sample.as_image()
    return Image.of(np.max(image.data) - np.asarray(image.data), image.axes)


# What counts how much


def test_a_pixel_without_weight_and_one_that_is_not_there_are_the_same():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (32, 32)).astype(np.uint8)
    there = rng.random(labels.shape) < 0.5
    image = Image.of(rng.random(labels.shape).astype(np.float32))
    reading = Reading("mask")
    weighed = reading.images([TrainingPair(image, labels, weights=there.astype(np.float16))])
    counted = reading.images([TrainingPair(image, labels, counted=there)])
    assert np.array_equal(weighed[0].annotation.targets, counted[0].annotation.targets)
    assert np.allclose(
        class_weights([weighed[0].annotation]), class_weights([counted[0].annotation])
    )


def test_what_is_not_certain_is_learnt_and_never_judged_by():
    rng = np.random.default_rng(0)
    labels = (np.arange(64) // 8 % 2).astype(np.uint8) + np.zeros((64, 1), np.uint8)
    weights = np.where(rng.random((64, 64)) < 0.3, 5, 0.1).astype(np.float16)
    annotation = replace(Annotation.of(labels, "mask"), weights=weights)
    learnt, held = split([annotation], 0.3)
    assert held[0].counted.any()
    assert (weights[held[0].counted] >= 1).all()
    assert learnt[0].counted[weights < 1].all()
    assert not (learnt[0].counted & held[0].counted).any()


def test_a_box_takes_the_class_that_counts_most_in_it():
    labels = np.array([[1, 2], [2, 2], [1, 1], [1, 2]], np.uint8)
    weights = np.array([[5, 0.1], [0.1, 0.1], [1, 1], [0.1, 2]], np.float16)
    annotation = replace(Annotation.of(labels), weights=weights)
    small = shrunken_annotation(annotation, (2, 2))
    assert small.targets.ravel().tolist() == [0, 0]
    assert np.allclose(small.weights.ravel(), [5, 2.1 / 3], atol=1e-3)
    plain = shrunken_annotation(replace(annotation, weights=None), (2, 2))
    assert plain.targets.ravel().tolist() == [1, 0]


def test_patches_lie_where_it_counts_and_carry_the_weights():
    labels = np.ones((256, 256), np.uint8)
    labels[:, 128:] = 2
    weights = np.full(labels.shape, 0.01, np.float16)
    weights[100:110, 100:110] = weights[100:110, 150:160] = 50
    image = np.zeros((1, 256, 256), np.float32)
    example = AnnotatedImage(image, replace(Annotation.of(labels), weights=weights))
    shape = Shape((32, 32), (32, 32), (0, 0))
    spec = spec_of("cnn", {})
    drawer = Drawer(
        [example],
        Reader(spec, shape),
        shape,
        by_class=False,
        class_weights=np.ones(2, np.float32),
        rng=np.random.default_rng(0),
    )
    batch = drawer.draw(40)
    with_ink = (batch.weight == 1).flatten(1).any(1)
    assert with_ink.float().mean() > 0.9
    # Ink is met more often; it does not count more than once in a patch.
    assert set(np.unique(batch.weight)) == {np.float32(np.float16(0.01)), np.float32(1)}


def test_rows_of_the_table_stand_for_as_many_pixels_as_they_weigh():
    rng = np.random.default_rng(0)
    inputs = rng.random((3, 10, 10)).astype(np.float32)
    targets = (rng.random((10, 10)) < 0.5).astype(np.uint8)
    weights = rng.random((10, 10)) + 0.1
    table = PixelTable.gather(inputs, targets, 2, weights=weights)
    assert np.allclose(table.of_classes(), [weights[targets == k].sum() for k in (0, 1)])


def test_an_object_of_the_hand_counts_whole_with_its_rim():
    labels = np.zeros((2, 40, 40), np.int32)
    labels[0, 5:15, 5:15], labels[0, 15:25, 5:15], labels[1, 5:15, 5:15] = 1, 2, 3
    ink = np.zeros(labels.shape, bool)
    ink[0, 7, 7] = True  # a pixel of object 1
    ink[0, 30:33, 30:33] = True  # erased
    known = {"ndim": 2, "ink_weight": 5, "unreviewed": 0.25}
    weights = compute_review_weights(labels, ink_of(ink), objects=True, **known)
    certain = weights >= 1
    assert certain[0][labels[0] == 1].all()
    assert not certain[0][labels[0] == 2].any()
    assert (weights[0][labels[0] == 2] > 0).all()
    assert certain[0, 5 - RIM, 10]
    assert not certain[0, 5 - RIM - 1, 10]
    assert certain[0, 30:33, 30:33].all()
    assert not weights[1].any(), "nobody looked at this plane"
    classes = compute_review_weights(labels, ink_of(ink), objects=False, **known)
    assert np.array_equal(classes >= 1, ink)
    stack = compute_review_weights(labels, ink_of(ink), objects=True, **known | {"ndim": 3})
    assert ((stack[1] > 0) & (stack[1] < 1)).all()


# The words of the model


def test_objects_become_the_classes_of_a_model_of_two(mask_model, make_model):
    ids = np.array([[0, 3], [9, 0]], np.int32)
    assert convert_labels(mask_model[2], ids, "objects").tolist() == [[0, 1], [1, 0]]
    strokes = make_model("logistic", values=(1, 2))
    assert convert_labels(strokes, ids, "objects").tolist() == [[1, 2], [2, 1]]
    assert convert_labels(strokes, ids, "objects", 2).tolist() == [[2, 1], [1, 2]]


def test_labels_that_say_too_little_are_refused(make_model):
    model = make_model("unet", values=(0, 1), labels_are="objects", decoder=DecoderSpec())
    with pytest.raises(InputError, match="Predict objects"):
        convert_labels(model, np.zeros((4, 4), int), "mask")
    with pytest.raises(InputError, match="Predict classes"):
        convert_labels(make_model("softmax"), np.zeros((4, 4), int), "objects")


def test_without_ink_there_is_nothing_to_learn(mask_model):
    sample, _, model = mask_model
    nothing = np.zeros(sample.mask.shape, bool)
    with pytest.raises(InputError, match="no correction"):
        lesson(sample.as_image(), sample.mask.astype(np.uint8), nothing, model, "mask")


# Training on


def test_ink_teaches_and_the_same_ink_without_weight_teaches_less(mask_model):
    """On an image that the model gets all wrong a few corrected rows turn it round."""
    sample, _, model = mask_model
    image = inverted(sample)
    predicted = predict(model, image).asarray()
    assert dice(predicted, sample.mask) < 0.4
    ink = np.zeros(predicted.shape, bool)
    ink[10::24] = True
    labels = np.where(ink, sample.mask, predicted).astype(np.uint8)
    found = {}
    for weight in (1.0, 20.0):
        # Labels that are not ink count half, and nearly all of them are wrong.
        taught = lesson(image, labels, ink, model, "mask", ink_weight=weight, unreviewed=0.5)
        result = fine_tune(model, [taught], training=QUICK, name="new")
        found[weight] = dice(predict(result.model, image).asarray(), sample.mask)
    assert found[20.0] > 0.8
    assert found[1.0] < 0.5
    assert result.model.parent == model.fingerprint
    assert result.model.name == "new"


def test_what_was_learnt_before_guards_against_forgetting(mask_model):
    sample, earlier, model = mask_model
    image = inverted(sample)
    ink = np.ones(sample.mask.shape, bool)
    taught = lesson(image, sample.mask.astype(np.uint8), ink, model, "mask")
    alone = fine_tune(model, [taught], FineTuneOptions(earlier=0), earlier=earlier, name="new")
    both = fine_tune(model, [taught], FineTuneOptions(earlier=0.5), earlier=earlier, name="new")
    assert alone.check.forgotten > 0.5
    assert alone.alarm.startswith("It forgot")
    assert "'old' had right" in alone.alarm
    assert both.check.forgotten < alone.check.forgotten
    quiet = fine_tune(model, earlier, FineTuneOptions(), name="same")
    assert quiet.check.forgotten < 0.05
    assert quiet.alarm == ""
    assert "'same'" in quiet.message
    assert "earlier labels included" in both.message
    assert "earlier labels" not in quiet.message


@pytest.mark.parametrize("how", ["continue", "from scratch"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_network_of_objects_learns_on(how, ndim):
    spec = spec_of("unet", {"width": 4, "depth": 1, "resolution": "full"})
    if ndim == 2:
        sample, earlier, model = taught("objects", spec)
        image, labels = sample.as_image(), sample.objects
    else:
        sample = samples.nuclei((10, 40, 44), seed=1)
        image, labels = sample.as_image(), sample.objects
        earlier = [TrainingPair(image, labels)]
        model = train(spec, earlier, QUICK, name="old", labels_are="objects", ndim=3).model
    ink = labels == labels[labels > 0][0]
    taught_now = lesson(image, labels, ink, model, "objects")
    options = FineTuneOptions(how=how, learning_rate=0.01)
    result = fine_tune(model, [taught_now], options, earlier=earlier, training=QUICK, name="new")
    new = result.model
    assert (new.ndim, new.labels_are, new.values) == (ndim, "objects", model.values)
    assert new.decoder.decoding == model.decoder.decoding
    assert new.parent == model.fingerprint
    assert new.fingerprint != model.fingerprint
    assert result.check.objects.total > 0
    assert result.check.pixels.total > ink.sum()
    assert new.provenance["trained_on"]["how"] == how


def test_strokes_keep_the_classes_that_nobody_corrected():
    sample = samples.nuclei((64, 64), seed=1)
    image = sample.as_image()
    labels = np.zeros(sample.mask.shape, np.uint8)
    labels[::8] = np.where(sample.mask[::8], 2, 1)
    labels[4, :20] = 3
    model = train(
        spec_of("softmax", {"sigmas": "1"}), [TrainingPair(image, labels)], QUICK, name="o"
    ).model
    predicted = predict(model, image).asarray()
    ink = np.zeros(labels.shape, bool)
    ink[20:24] = True
    corrected = np.where(sample.mask, 2, 1).astype(predicted.dtype)
    taught_now = lesson(image, corrected, ink, model, "scribbles", unreviewed=0.0)
    new = fine_tune(model, [taught_now], name="n").model
    assert new.values == model.values == (1, 2, 3)
    assert new.classes == model.classes


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_a_class_that_is_new_in_the_corrections_is_learnt(kind):
    sample = samples.nuclei((64, 64), seed=1)
    image = sample.as_image()
    labels = np.where(sample.mask, 3, 1).astype(np.uint8)
    options = {"mlp": {"sigmas": "1", "layers": 1, "width": 4}, "cnn": {"width": 3, "layers": 2}}
    dense = QUICK.model_copy(update={"climbing": "off"})
    lessons = [TrainingPair(image, labels)]
    names = ("rest", "nucleus")
    spec = spec_of(kind, options[kind])
    model = train(spec, lessons, dense, name="o", class_names=names).model
    ink = np.zeros(labels.shape, bool)
    ink[20:30] = True
    corrected = np.where(ink, 2, labels).astype(np.uint8)
    taught_now = lesson(image, corrected, ink, model, "scribbles")
    new = fine_tune(model, [taught_now], training=dense, name="n").model
    assert new.values == (1, 2, 3)
    assert new.classes == ("rest", "class 2", "nucleus")
    assert new.parent == model.fingerprint


def test_a_cancelled_training_gives_nothing_and_a_stopped_one_a_model():
    spec = spec_of("cnn", {"width": 3, "layers": 2})
    sample, _, model = taught("mask", spec)
    state = {name: array.copy() for name, array in model.state.items()}
    ink = np.ones(sample.mask.shape, bool)
    taught_now = lesson(sample.as_image(), sample.mask.astype(np.uint8), ink, model, "mask")

    def ends(how):
        def progress(fraction, message=""):
            if fraction > 0.3:
                raise how

        return progress

    with pytest.raises(Cancelled):
        fine_tune(model, [taught_now], training=QUICK, progress=ends(Cancelled))
    assert all(np.array_equal(state[name], model.state[name]) for name in state)
    stopped = fine_tune(model, [taught_now], training=QUICK, progress=ends(StopEarly))
    assert 0 < len(stopped.model.history) < 16
    assert stopped.check.pixels.total == ink.size


# The check


SIDE = 320


def uneven(rng, share, smooth=0):
    """Return booleans of which a share is true, as grain or in blobs."""
    noise = rng.standard_normal((SIDE, SIDE))
    if smooth:
        noise = gaussian_filter(noise, smooth)
    return noise < np.quantile(noise, share)


def check_of(truth, *models):
    """Check the second model against the first, given where each is right."""
    annotation = Annotation.of(truth, "mask", values=(0, 1, 2), names=("cell", "debris"))
    labels = [np.where(right, truth, (truth + 1) % 3) for right in models]
    return _compared(annotation, *((one, None) for one in labels))


def three_classes(rng):
    """Return labels of three classes, of which one is 4 % of the pixels, in blobs."""
    truth = np.zeros((SIDE, SIDE), np.uint8)
    truth[:, SIDE // 2 :] = 1
    truth[uneven(rng, 0.04, 6)] = 2
    return truth


def test_a_better_model_raises_no_alarm_though_its_errors_are_others():
    rng = np.random.default_rng(0)
    for smooth in (0, 2):
        old, new = uneven(rng, 0.85, smooth), uneven(rng, 0.92, smooth)
        found = check_of(three_classes(rng), old, new)
        assert found.pixels.forgotten > 0.05 * found.pixels.before
        assert found.alarm("old", "new", 0.05) == ""
        assert found.forgotten < 0.05


def test_a_small_class_that_is_lost_is_named_with_its_loss():
    rng = np.random.default_rng(0)
    truth, old = three_classes(rng), uneven(rng, 0.95)
    found = check_of(truth, old, old & (truth != 2))
    assert found.pixels.forgotten < 0.05 * found.pixels.before
    alarm = found.alarm("old", "new", 0.05)
    assert alarm.startswith("It forgot 'debris'")
    assert "'new' has 0, a loss of 100.0 %, interval 100.0 to 100.0 %" in alarm
    half = check_of(truth, old, old & ~((truth == 2) & uneven(rng, 0.5)))
    loss = next(one.loss for one in half.losses() if one.name == "debris")
    assert abs(loss.share - 0.5) < loss.margin < 0.1


@pytest.mark.parametrize("width", [32, 160])
def test_places_that_are_exchanged_for_as_many_others_raise_an_alarm(width):
    rng = np.random.default_rng(0)
    old, new = uneven(rng, 0.95), uneven(rng, 0.95)
    old[:width], new[width : 2 * width] = False, False
    found = check_of(three_classes(rng), old, new)
    assert abs(found.pixels.before - found.pixels.after) < 0.01 * found.pixels.total
    alarm = found.alarm("old", "new", 0.05)
    assert "It forgot some places" in alarm
    assert "pixels that 'old' had right" in alarm


def test_noise_of_equally_good_models_rarely_raises_an_alarm():
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth, smooth = three_classes(rng), 2 * (seed % 2)
        found = check_of(truth, uneven(rng, 0.9, smooth), uneven(rng, 0.9, smooth))
        alarms += found.alarm("old", "new", 0.05) != ""
    assert alarms <= 1


def test_a_loss_in_one_place_or_of_little_is_not_measured():
    truth = np.zeros((64, 64), np.uint8)
    right = np.ones(truth.shape, bool)
    truth[2:4, 2:20] = 2
    lost = check_of(truth, right, right & (truth != 2))
    assert lost.alarm("old", "new", 0.05) == "", "36 pixels"
    truth[2:8, 2:20] = 2
    lost = check_of(truth, right, right & (truth != 2))
    assert "100.0 %, in 1 place, so without an interval" in lost.alarm("old", "new", 0.05)
    some = right.copy()
    some[2:4, 2:20] = False
    assert check_of(truth, right, some).alarm("old", "new", 0.05) == ""


def test_checks_of_images_add_up():
    rng = np.random.default_rng(0)
    old, new = uneven(rng, 0.9), uneven(rng, 0.8)
    one, other = check_of(three_classes(rng), old, new), check_of(three_classes(rng), old, new)
    both = one + other
    for kind in ("total", "before", "after", "forgotten"):
        assert getattr(both.pixels, kind) == 2 * getattr(one.pixels, kind)
    assert len(both.classes["cell"].parts) == 2 * len(one.classes["cell"].parts)
    assert both.pixels.forgotten == 2 * np.count_nonzero(old & ~new)
    nothing = Check()
    assert (nothing.forgotten, nothing.alarm("a", "b", 0)) == (0, "")
    assert (nothing + one).pixels.total == one.pixels.total == SIDE**2


def test_lost_objects_raise_an_alarm_from_ten_on():
    old, new = np.ones(40, bool), np.arange(40) % 2 == 0
    part, half = np.arange(40) // 4, np.arange(40) % 2
    found = Check({}, Counts.of(old, new, part, half, 10))
    assert "It forgot objects: of 40 objects, 'a' had 40 right and 'b' has 20" in found.alarm(
        "a", "b", 0.05
    )
    assert "of 40 objects 40 and 20" in found.describe("a", "b")
    few = Check({}, Counts.of(old[:8], new[:8], part[:8], half[:8], 2))
    assert few.alarm("a", "b", 0.05) == "", "eight objects tell nothing"


def test_a_model_forgets_nothing_against_itself(mask_model):
    sample, lessons, model = mask_model
    examples = Reading("mask").images(lessons)
    found = check_forgetting(model, model, examples).pixels
    assert (found.total, found.forgotten) == (sample.mask.size, 0)
    assert found.before == found.after > 0.9 * found.total
