"""Networks that learn objects: what they are shown, what they say, and what becomes of it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import AnnotatedImage, Annotation, TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import TrainingSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.object_size import median_diameter
from napari_unetseg.core.inference.open_segmenter import open_segmenter
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.predict_tiles import predict_maps_image
from napari_unetseg.core.inference.prediction import (
    decode_maps,
    predict,
    predict_maps,
    prepare_prediction,
    run_prediction,
)
from napari_unetseg.core.model.network_specs import CnnSpec, ModelSpec, UNetSpec
from napari_unetseg.core.nn.training.augment import TrainingBatch, augment
from napari_unetseg.core.nn.training.fit_network import fit_network
from napari_unetseg.core.nn.training.losses import maps_loss
from napari_unetseg.core.nn.training.patches import Drawer, Reader, Shape
from napari_unetseg.core.nn.training.prepare import build_target_maps
from napari_unetseg.core.nn.training.validate_objects import validate_objects
from napari_unetseg.core.normalisation import Normalisation
from napari_unetseg.core.objects.decode import LEARNT, DecodeOptions, decode
from napari_unetseg.core.objects.decoders import DECODERS, DecoderSpec
from napari_unetseg.core.progress import Cancelled, StopEarly
from napari_unetseg.core.scoring.object_scores import match
from napari_unetseg.core.scoring.overlap import overlap_of
from napari_unetseg.core.training.train import Outcome, train

TINY = UNetSpec(depth=2, width=8, resolution="full")
QUICK = TrainOptions(until="epochs", epochs=4, steps=30, patch=96, batch=2, averaging=0.9)
STEPS = QUICK.model_copy(update={"epochs": 1, "steps": 3, "patch": 32})
DISTANCE = DecoderSpec()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks so small are faster alone, much so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def lesson(shape: tuple[int, ...] = (192, 192), *, seed: int = 1) -> TrainingPair:
    sample = samples.nuclei(shape, seed=seed, touching=0.7, density=1.5, noise=0.5, unevenness=0.2)
    return TrainingPair(sample.as_image(), sample.objects)


def example(shape: tuple[int, ...], **options: object) -> AnnotatedImage:
    made = lesson(shape)
    annotation = Annotation.of(made.labels, "objects")
    return AnnotatedImage(np.asarray(made.image.data)[None], annotation, **options)  # type: ignore[arg-type]


def batch_of(ids: np.ndarray, decoding: str) -> TrainingBatch:
    """Return a batch of one patch whose image is its own ids."""
    maps = np.concatenate([DECODERS[decoding].targets(ids), np.ones((1, *ids.shape))])
    image = torch.from_numpy(ids.astype(np.float32))[None, None]
    target = torch.from_numpy((ids > 0).astype(np.int64))[None]
    counts = torch.from_numpy(maps.astype(np.float32))[None]
    return TrainingBatch(image, target, torch.ones(1, *ids.shape), 1, counts)


@pytest.mark.parametrize("decoding", DECODERS)
@pytest.mark.parametrize("shape", [(64, 64), (8, 48, 48)])
def test_mirrored_and_turned_maps_are_those_of_mirrored_ids(
    decoding: str, shape: tuple[int, ...]
) -> None:
    ids = lesson(shape).labels
    options = TrainOptions(intensity=0)
    for seed in range(4):
        moved = augment(batch_of(ids, decoding), options, torch.Generator().manual_seed(seed))
        again = DECODERS[decoding].targets(moved.image[0, 0].numpy().astype(np.int32))
        assert moved.maps is not None
        np.testing.assert_allclose(moved.maps[0, :-1].numpy(), again, atol=1e-5)


@pytest.mark.parametrize("bend", [{"rotation": 40.0}, {"scale": 0.3}, {"elastic": 4.0}])
def test_bent_maps_are_about_those_of_bent_ids(bend: dict[str, float]) -> None:
    ids = lesson((128, 128)).labels
    options = TrainOptions(intensity=0, flips=False, quarter_turns=False, **bend)  # type: ignore[arg-type]
    before = batch_of(ids, "distance")
    # Ids must not be mixed: they are read as the targets are, without interpolation.
    as_target = replace(before, target=torch.from_numpy(ids.astype(np.int64))[None])
    after = augment(as_target, options, torch.Generator().manual_seed(1))
    bent = np.where(after.weight[0] > 0, after.target[0], 0).astype(np.int32)
    again = DECODERS["distance"].targets(bent)[0]
    assert after.maps is not None
    found, counts = after.maps[0, 0].numpy(), after.maps[0, -1].numpy() > 0
    assert counts.mean() < 1 or "elastic" in bend or "scale" in bend
    # The border of the patch cuts objects whose middle lies beyond: their shares differ.
    whole = counts & np.isin(bent, np.unique(bent[1:-1, 1:-1]))
    inner = np.zeros_like(whole)
    inner[24:-24, 24:-24] = True
    assert np.abs(found - again)[whole & inner & (bent > 0)].mean() < 0.08
    assert np.corrcoef(found[inner & counts], again[inner & counts])[0, 1] > 0.95


def tissue(seed: int) -> TrainingPair:
    """Return cells that fill the image, with walls between them that are bright."""
    rng = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid(*[np.arange(-12, 192, 24)] * 2, indexing="ij"), -1)
    middles = (corners + rng.uniform(-6, 6, corners.shape)).reshape(-1, 2)
    near, ids = cKDTree(middles).query(np.indices((160, 160)).reshape(2, -1).T, k=2)
    walls = np.exp(-(((near[:, 1] - near[:, 0]) / 2) ** 2)) + rng.normal(0, 0.2, len(near))
    return TrainingPair(Image.of(walls.reshape(160, 160)), ids[:, 0].reshape(160, 160) + 1)


def test_cells_that_fill_the_image_are_told_apart() -> None:
    model = train(TINY, [tissue(1)], QUICK, name="tissue", labels_are="objects").model
    seen = tissue(2)
    found = predict(model, seen.image, PredictOptions(what="objects")).asarray()
    assert (found > 0).mean() > 0.99
    assert match(overlap_of(found, seen.labels)).f1 > 0.8
    by_shape = predict(
        model, seen.image, PredictOptions(what="objects"), decoding=DecodeOptions(split="shape")
    )
    assert match(overlap_of(by_shape.asarray(), seen.labels)).f1 < 0.2


def test_patches_at_the_border_show_the_maps_of_whole_objects() -> None:
    made = example((60, 70))
    maps = build_target_maps(made, DISTANCE, (1, 1))
    assert maps is not None
    source = AnnotatedImage(made.image, made.annotation, Normalisation((0.0,), (1.0,)), maps=maps)
    reader = Reader(TINY, Shape((32, 32), (32, 32), (0, 0)))
    found = reader.maps(source, (28, 0))
    np.testing.assert_array_equal(found, maps[:, 28:60, 0:32].astype(np.float32))


def test_maps_of_a_lower_resolution_are_the_mean_of_those_of_the_full_one() -> None:
    made = example((60, 70))
    full, half = (
        build_target_maps(made, DISTANCE, (1, 1)),
        build_target_maps(made, DISTANCE, (2, 2)),
    )
    assert full is not None
    assert half is not None
    want = full.astype(np.float32).reshape(1, 30, 2, 35, 2).mean((2, 4))
    np.testing.assert_allclose(half, want, atol=2e-3)


def test_the_spacing_of_a_stack_reaches_the_maps() -> None:
    near = build_target_maps(example((10, 40, 40)), DISTANCE, (1, 1, 1))
    far = build_target_maps(example((10, 40, 40), spacing=(4.0, 1.0, 1.0)), DISTANCE, (1, 1, 1))
    assert near is not None
    assert far is not None
    assert np.abs(near - far).max() > 0.1


def test_the_loss_is_nought_for_the_truth_and_blind_where_nothing_counts() -> None:
    truth = torch.rand(2, 1, 8, 8) * 0.98 + 0.01
    counts = torch.ones(2, 1, 8, 8)
    counts[:, :, :4] = 0
    maps = torch.cat([truth, counts], 1)
    evidence = torch.logit(truth)
    assert float(maps_loss(evidence, maps)) == pytest.approx(0, abs=1e-5)
    elsewhere = evidence.clone()
    elsewhere[:, :, :4] = 5
    assert float(maps_loss(elsewhere, maps)) == pytest.approx(0, abs=1e-5)
    assert float(maps_loss(evidence + 1, maps)) > 0.02
    assert float(maps_loss(evidence, torch.cat([truth, 0 * counts], 1))) == 0


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (CnnSpec(layers=2, width=4), (48, 40)),
        (UNetSpec(depth=1, width=4, convolutions=1, padding="valid", stem="plain"), (48, 40)),
        (UNetSpec(depth=1, width=4, resolution="half", position="polynomial"), (48, 40)),
        (UNetSpec(depth=1, width=2, convolutions=1, flat_levels=1), (6, 24, 24)),
    ],
)
def test_every_network_learns_objects(spec: ModelSpec, shape: tuple[int, ...]) -> None:
    fitted = fit_network(spec, TrainingSet.of_images([example(shape)], STEPS), STEPS)
    assert fitted.decoder == DISTANCE
    assert fitted.judgement is not None
    assert 0 < fitted.judgement.maps_error < 1
    options = STEPS.model_copy(update={"objects": "none"})
    alone = fit_network(spec, TrainingSet.of_images([example(shape)], options), options)
    assert alone.decoder is None


@pytest.fixture(scope="module", params=["distance", "boundary"])
def outcome(request: pytest.FixtureRequest) -> Outcome:
    options = QUICK.model_copy(update={"objects": request.param})
    lessons = [lesson(seed=1), lesson(seed=2)]
    return train(TINY, lessons, options, name="cells", labels_are="objects")


def test_touching_nuclei_become_objects_and_components_do_not(outcome: Outcome) -> None:
    unseen = lesson(seed=7)
    maps = predict_maps(outcome.model, unseen.image)
    assert maps.channel_names[-1] in ("distance", "boundary")
    options = DecodeOptions(split_depth=0.15, min_size=20)
    found = decode_maps(outcome.model, maps, options)
    control = decode_maps(outcome.model, maps, options.model_copy(update={"split": "none"}))
    good, joined = (match(overlap_of(o.data, unseen.labels)) for o in (found, control))
    assert good.f1 > 0.6
    assert joined.f1 < good.f1 - 0.1
    # What is told of its size is that of what it learnt from.
    sizes = [median_diameter([lesson(seed=seed).labels]) for seed in (1, 2)]
    assert min(sizes) <= outcome.model.diameter <= max(sizes)
    assert joined.n_predicted < good.n_predicted


def test_what_was_held_out_is_examined(outcome: Outcome) -> None:
    amount = {"held_out", "held_out_pixels", "held_out_least", "chosen_from", "chosen_apart"}
    assert set(outcome.model.scores) == {"dice", "ap50", "f1"} | amount
    assert "AP@0.5" in outcome.message
    assert 0.3 < outcome.model.scores["f1"] <= 1


def test_how_objects_are_made_is_chosen_on_what_is_held_out(outcome: Outcome) -> None:
    lessons = [lesson(seed=seed) for seed in (1, 2, 8, 9)]
    examples = [
        AnnotatedImage(np.asarray(one.image.data)[None], Annotation.of(one.labels, "objects"))
        for one in lessons
    ]
    options = QUICK.model_copy(update={"validation": 0.6})
    segmenter = open_segmenter(outcome.model)
    exam = validate_objects(segmenter, TrainingSet.of_images(examples, options))
    assert exam is not None
    assert exam.searched
    assert set(LEARNT) - {"split"} == exam.options.model_fields_set
    assert exam.after.ap50 + exam.after.ap75 >= exam.before.ap50 + exam.before.ap75
    own = DecodeOptions(split_depth=0.33)
    few = validate_objects(segmenter, TrainingSet.of_images(examples[:1], QUICK), own)
    assert few is not None
    assert (few.searched, few.options) == (False, own)
    nothing = QUICK.model_copy(update={"validation": 0.0})
    assert validate_objects(segmenter, TrainingSet.of_images(examples, nothing)) is None


def test_objects_are_made_as_the_model_keeps_it(outcome: Outcome) -> None:
    image, objects = lesson(seed=1).image, PredictOptions(what="objects")
    bare = replace(outcome.model, decoding=DecodeOptions())
    everything = predict(bare, image, objects).asarray()
    half = int(np.median(np.bincount(everything.ravel())[1:]))
    kept = DecodeOptions(split_depth=0.33, foreground=0.4, min_size=half, min_score=0.3)
    learnt = replace(outcome.model, decoding=kept)
    given = predict(learnt, image, objects).asarray()
    np.testing.assert_array_equal(given, predict(bare, image, objects, decoding=kept).data)
    assert 0 < given.max() < everything.max()
    # The user's choice comes first.
    all_of_them = predict(learnt, image, objects, decoding=DecodeOptions(min_size=1, min_score=0))
    assert all_of_them.asarray().max() > given.max()


def test_a_learnt_smallest_size_is_scaled_with_the_image(outcome: Outcome) -> None:
    image = lesson(seed=1).image
    bare = replace(outcome.model, decoding=DecodeOptions())
    twice = PredictOptions(what="objects", diameter=outcome.model.diameter / 2)
    everything = predict(bare, image, twice).asarray()
    half = int(np.median(np.bincount(everything.ravel())[1:]))
    learnt = replace(outcome.model, decoding=DecodeOptions(min_size=4 * half))
    as_trained = predict(learnt, image, twice).asarray()
    in_pixels = [DecodeOptions(min_size=size) for size in (half, 4 * half)]
    same, fewer = (predict(bare, image, twice, decoding=one).asarray() for one in in_pixels)
    np.testing.assert_array_equal(as_trained, same)
    assert fewer.max() < as_trained.max() < everything.max()
    kept = run_prediction(prepare_prediction(learnt, image, twice), keep_maps=True)
    assert kept.labels is not None
    np.testing.assert_array_equal(kept.labels.asarray(), as_trained)


def test_tiled_objects_equal_whole_ones(outcome: Outcome) -> None:
    image = lesson((150, 170), seed=5).image
    whole = predict_maps(outcome.model, image, PredictOptions(tile=1000))
    tiled = predict_maps(outcome.model, image, PredictOptions(tile=32))
    np.testing.assert_allclose(tiled.data, whole.data, atol=1e-4)
    np.testing.assert_allclose(whole.data[:2].sum(0), 1, atol=1e-5)
    proba = predict(outcome.model, image, PredictOptions(what="probabilities", tile=32))
    np.testing.assert_array_equal(proba.data, tiled.data[:2])
    objects = [
        predict(outcome.model, image, PredictOptions(what="objects", tile=side))
        for side in (32, 1000)
    ]
    assert match(overlap_of(objects[0].data, objects[1].data), 0.95).ap == 1


def test_mirroring_the_image_averages_the_maps_too(outcome: Outcome) -> None:
    image = lesson((48, 64), seed=5).image
    flipped = Image.of(np.ascontiguousarray(np.asarray(image.data)[::-1]))
    one = predict_maps(outcome.model, image, PredictOptions(flips=True, tile=1000)).data
    other = predict_maps(outcome.model, flipped, PredictOptions(flips=True, tile=1000)).data
    np.testing.assert_allclose(one, other[:, ::-1], atol=1e-4)


def test_training_goes_on_from_classes_and_from_another_decoding(outcome: Outcome) -> None:
    more = train(
        TINY, [lesson()], STEPS, name="more", labels_are="objects", start=outcome.model
    ).model
    assert more.decoder is not None
    assert more.decoder.decoding == "distance"
    waist = DecodeOptions(split_depth=0.33)
    deep = replace(outcome.model, decoder=DecoderSpec(), decoding=waist)
    awful = STEPS.model_copy(update={"learning_rate": 1.0, "schedule": "constant"})
    kept = train(TINY, [lesson()], awful, name="kept", labels_are="objects", start=deep)
    assert "as it was" in kept.message
    assert kept.model.decoder == deep.decoder
    assert kept.model.decoding.split_depth == 0.33
    mask = [TrainingPair(lesson().image, (lesson().labels > 0).astype(np.uint8))]
    classes = train(TINY, mask, STEPS, name="mask", labels_are="mask").model
    assert classes.decoder is None
    # Both have two outputs, but of another meaning: the evidence of the foreground is kept.
    still = STEPS.model_copy(update={"learning_rate": 1e-9, "averaging": 0.0, "validation": 0.0})
    onward = train(TINY, [lesson()], still, name="on", labels_are="objects", start=classes).model
    body = [name for name in classes.state if name.endswith("weight") and "head" not in name]
    np.testing.assert_allclose(onward.state[body[0]], classes.state[body[0]], atol=1e-5)
    image = lesson(seed=4).image
    proba = predict_maps(classes, image).asarray()[1]
    np.testing.assert_allclose(predict_maps(onward, image).asarray()[1], proba, atol=1e-3)
    back = train(TINY, mask, still, name="back", labels_are="mask", start=onward).model
    np.testing.assert_allclose(predict_maps(back, image).asarray()[1], proba, atol=1e-3)


def test_unfinished_regions_are_not_learnt_from() -> None:
    made = lesson((96, 96))
    region = np.zeros((96, 96), bool)
    region[:48] = True
    partly = np.where(region, made.labels, 0)
    of_region = Annotation.of(partly, "objects", region=region)
    assert not of_region.counted[60:].any()
    assert of_region.counted[:48].all()
    known = TrainingPair(made.image, partly, region)
    options = QUICK.model_copy(update={"epochs": 3, "patch": 48})
    model, control = (
        train(TINY, [one], options, name="p", labels_are="objects").model
        for one in (known, TrainingPair(made.image, partly))
    )
    # Taken for background, the unmarked half drags the probability down there.
    below = made.labels[52:] > 0
    said = [
        predict(m, made.image, PredictOptions(what="probabilities")).data[1][52:][below].mean()
        for m in (model, control)
    ]
    assert said[0] > said[1] + 0.1


def test_ids_are_needed() -> None:
    made = example((32, 32))
    blind = replace(made, annotation=replace(made.annotation, objects=None))
    with pytest.raises(InputError, match="id of its own"):
        fit_network(TINY, TrainingSet.of_images([made, blind], STEPS), STEPS)
    with pytest.raises(InputError, match="same image"):
        train(
            TINY,
            [TrainingPair(lesson((32, 32)).image, made.annotation.objects, np.ones((3, 3)))],
            STEPS,
            name="r",
            labels_are="objects",
        )


def test_the_rungs_below_learn_foreground_and_split_by_shape() -> None:
    from napari_unetseg.core.model.pixel_specs import LogisticSpec

    made = lesson((128, 128))
    model = train(LogisticSpec(), [made], QUICK, name="l", labels_are="objects").model
    assert model.decoder is None
    maps = predict_maps(model, made.image)
    assert maps.data.shape[0] == 2
    by_shape = predict(model, made.image, PredictOptions(what="objects")).data
    expected, n = decode(maps.data[1])
    np.testing.assert_array_equal(by_shape, expected)
    assert n > decode_maps(model, maps, DecodeOptions(split="none")).data.max()


def test_a_large_image_is_examined_in_a_piece(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = example((192, 192))
    seen: list[tuple[int, ...]] = []

    def watched(image: Image, *rest: object, **more: object) -> Image:
        seen.append(image.spatial_shape)
        return predict_maps_image(image, *rest, **more)  # type: ignore[arg-type]

    exam_module = "napari_unetseg.core.nn.training.validate_objects"
    monkeypatch.setattr(f"{exam_module}.predict_maps_image", watched)
    monkeypatch.setattr(f"{exam_module}.VALIDATION_PIXELS", 1000)
    exam = validate_objects(open_segmenter(outcome.model), TrainingSet.of_images([made], QUICK))
    assert exam is not None
    assert len(seen) == 1
    assert np.prod(seen[0]) <= 1000


def test_stopping_early_keeps_the_exam_and_cancelling_does_not() -> None:
    def stops(fraction: float, message: str = "") -> None:
        if fraction > 0.3:
            raise StopEarly

    options = STEPS.model_copy(update={"steps": 8})
    kept = train(TINY, [lesson()], options, name="s", labels_are="objects", progress=stops)
    assert "ap50" in kept.model.scores

    def cancels(fraction: float, message: str = "") -> None:
        if message == "validating":
            raise Cancelled

    with pytest.raises(Cancelled):
        train(TINY, [lesson()], STEPS, name="c", labels_are="objects", progress=cancels)


def test_a_stack_becomes_objects_that_go_through_it_tiled_as_whole() -> None:
    spec = UNetSpec(depth=1, width=4, convolutions=1, flat_levels=1, resolution="full")
    stack = lesson((8, 48, 48))
    options = QUICK.model_copy(update={"epochs": 2, "steps": 15, "patch_depth": 8})
    model = train(spec, [stack], options, name="3d", labels_are="objects", ndim=3).model
    assert model.decoder is not None
    whole, tiled = (
        predict_maps(model, stack.image, PredictOptions(tile=side)).data for side in (1000, 16)
    )
    np.testing.assert_allclose(tiled, whole, atol=1e-4)
    objects = predict(
        model, stack.image, PredictOptions(what="objects"), decoding=DecodeOptions(min_size=20)
    )
    assert objects.axes == "ZYX"
    through = [np.ptp(np.nonzero(objects.data == k)[0]) for k in range(1, objects.data.max() + 1)]
    assert max(through) >= 2


def test_images_are_drawn_by_their_objects_and_not_by_how_large_they_are() -> None:
    small, large = np.zeros((64, 64), int), np.zeros((64, 64), int)
    small[4:60:16, 4:60:16] = np.arange(1, 17).reshape(4, 4)
    large[4:60, 4:60] = 1
    sources = [
        AnnotatedImage(
            np.full((1, 64, 64), k), Annotation.of(ids, "objects"), Normalisation((0.0,), (1.0,))
        )
        for k, ids in enumerate((small, large))
    ]

    def share(shares: list[float] | None) -> float:
        drawer = Drawer(
            sources,
            Reader(TINY, Shape((16, 16), (16, 16), (0, 0))),
            Shape((16, 16), (16, 16), (0, 0)),
            by_class=True,
            class_weights=np.ones(2, np.float32),
            rng=np.random.default_rng(0),
            shares=shares,
        )
        return 1 - float(drawer.draw(400).image.mean())

    assert 0.8 < share([float(source.annotation.n_objects) for source in sources]) < 0.95
    assert share(None) < 0.5
