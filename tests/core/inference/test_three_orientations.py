"""A model of planes on a stack: three orientations averaged, tile by tile as at once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_unetseg.core import samples
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.open_segmenter import open_segmenter
from napari_unetseg.core.inference.predict_options import PredictOptions, sees_stacks
from napari_unetseg.core.inference.predict_tiles import predict_maps_image
from napari_unetseg.core.inference.prediction import (
    decode_maps,
    predict,
    predict_maps,
    prepare_prediction,
    run_prediction,
)
from napari_unetseg.core.inference.three_orientations import ThreeOrientations
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.shipped_models import open_shipped
from napari_unetseg.core.normalisation import Normalisation
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.recipe import ModelStep, Recipe
from napari_unetseg.core.scoring.object_scores import match
from napari_unetseg.core.scoring.overlap import overlap_of
from napari_unetseg.core.streaming import stream

pytest.importorskip("torch", reason="the networks need PyTorch")

Make = Callable[..., TrainedModel]
OBJECTS: dict[str, Any] = {"values": (0, 1), "labels_are": "objects", "decoder": DecoderSpec()}
SAME = Normalisation((0.0,), (1.0,))


def noise(shape: tuple[int, ...], spacing: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Image:
    pixels = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    axes = "TZYX"[-len(shape) :]
    return Image.of(pixels, axes, spacing=spacing[-min(len(shape), 3) :], unit="µm")


@pytest.mark.parametrize(("zoom", "deep"), [((), 1.0), ((), 2.5), ((0.7, 0.7), 1.0)])
def test_tiles_are_as_the_whole(make_model: Make, zoom: tuple[float, ...], deep: float) -> None:
    image = noise((18, 25, 21), (deep, 1.0, 1.0))
    seen = ThreeOrientations.of(open_segmenter(make_model("unet", **OBJECTS)), zoom, image.spacing)
    whole = predict_maps_image(image, seen, SAME, tile=500).asarray()
    tiled = predict_maps_image(image, seen, SAME, tile=13).asarray()
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-4)
    assert whole.shape == (3, 18, 25, 21)
    assert whole.std() > 1e-3


def test_it_is_the_mean_of_the_planes_along_each_axis(make_model: Make) -> None:
    image = noise((16, 16, 16))
    flat = open_segmenter(make_model("unet", **OBJECTS))
    found = predict_maps_image(image, ThreeOrientations.of(flat, (), image.spacing), SAME)
    total = np.zeros(found.shape, np.float32)
    for axis in range(3):
        turned = Image.of(np.moveaxis(image.asarray(), axis, 0), "ZYX")
        planes = predict_maps_image(turned, flat, SAME).asarray()
        total += np.moveaxis(np.moveaxis(planes, 1, 0), 1, 1 + axis)
    np.testing.assert_allclose(found.asarray(), total / 3, atol=1e-5)


def test_planes_along_z_are_shown_with_square_pixels_but_never_endless(make_model: Make) -> None:
    flat = open_segmenter(make_model("unet", **OBJECTS))

    def zooms(spacing: tuple[float, ...]) -> list[tuple[float, ...]]:
        seen = ThreeOrientations.of(flat, (), spacing)
        return [getattr(one, "zoom", ()) for one in seen.planes]

    assert zooms((3.0, 0.5, 1.5)) == [(), (2.0, 1.0), (6.0, 1.0)]
    assert zooms((1000.0, 1.0, 1.0)) == [(), (10.0, 1.0), (10.0, 1.0)]
    assert zooms((0.001, 1.0, 1.0)) == [(), (0.1, 1.0), (0.1, 1.0)]
    assert zooms(()) == [(), (), ()]


def test_it_is_for_models_of_objects_on_stacks(make_model: Make) -> None:
    stack, plane, movie = noise((4, 20, 20)), noise((20, 20)), Image.of(np.zeros((4, 9, 9)), "TYX")
    objects, classes, deep = (
        make_model("unet", **OBJECTS),
        make_model("unet"),
        make_model("unet", 3),
    )
    auto, one, three = (PredictOptions(orientations=w) for w in ("auto", "one", "three"))
    assert sees_stacks(auto, objects, stack)
    assert not sees_stacks(auto, classes, stack)
    assert sees_stacks(three, classes, stack)
    assert not sees_stacks(one, objects, stack)
    assert sees_stacks(one, deep, stack)
    assert not any(sees_stacks(three, objects, image) for image in (plane, movie))


def test_maps_decode_to_the_same_and_blocks_and_times_too(make_model: Make, tmp_path: Any) -> None:
    model = make_model("unet", **OBJECTS)
    image = noise((2, 12, 20, 18))
    options = PredictOptions(what="objects")
    ids = predict(model, image, options).asarray()
    np.testing.assert_array_equal(decode_maps(model, predict_maps(model, image)).asarray(), ids)
    kept = run_prediction(prepare_prediction(model, image, options), keep_maps=True)
    np.testing.assert_array_equal(kept.result.asarray(), ids)
    assert kept.on_stack == ", planes in three orientations combined"
    step = ModelStep(file="a", sha256="0" * 64, what="objects")
    made = stream(Recipe(model=step), image, tmp_path / "ids.zarr", model=model)
    np.testing.assert_array_equal(made.image.asarray(), ids)
    one = replace(kept, options=PredictOptions(what="objects", orientations="one"))
    assert one.on_stack == ", linked through 12 planes"


def test_cancelling_changes_nothing(make_model: Make) -> None:
    image, out = noise((8, 20, 20)), np.full((8, 20, 20), 7, np.int32)

    def cancel(fraction: float, message: str = "") -> None:
        if message == "predicting":
            raise Cancelled

    with pytest.raises(Cancelled):
        run_prediction(
            prepare_prediction(
                make_model("unet", **OBJECTS), image, PredictOptions(what="objects")
            ),
            out=out,
            progress=cancel,
        )
    assert (out == 7).all()


def test_objects_above_each_other_are_separated_as_linking_cannot() -> None:
    drawn = samples.nuclei((24, 80, 80), seed=3, touching=0.8, density=2.0)
    image = Image.of(drawn.image, "ZYX", spacing=drawn.spacing, unit="µm")
    model, found = open_shipped("nuclei"), {}
    for way in ("one", "three"):
        ids = predict(
            model, image, PredictOptions(orientations=way), decoding=DecodeOptions()
        ).asarray()
        found[way] = match(overlap_of(ids, drawn.objects), 0.5).f1
    assert found["three"] > 0.85
    assert found["three"] > found["one"] + 0.03
