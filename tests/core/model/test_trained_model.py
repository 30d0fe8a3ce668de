"""A trained model: plain data that predicts, of every rung."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_unetseg.core.annotation.annotation import (
    AnnotatedImage,
    Annotation,
    TrainingPair,
    examples_of,
)
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import TrainingSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.open_segmenter import check_weights, open_segmenter
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.predict_tiles import predict_proba_image
from napari_unetseg.core.inference.prediction import (
    predict,
)
from napari_unetseg.core.inference.segmenter import Segmenter
from napari_unetseg.core.model.registry import RUNGS, spec_of
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.nn.restore import segmenter_of
from napari_unetseg.core.nn.training.fit_network import fit_network
from napari_unetseg.core.nn.training.fit_pixels import fit_pixels
from napari_unetseg.core.normalisation import NormalisationSpec, fit_normalisation
from napari_unetseg.core.progress import StopEarly

Make = Callable[..., TrainedModel]


def picture(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 4000, shape).astype(np.uint16)


def painted(side: int = 48) -> tuple[Image, Any]:
    """Bright discs on a dark ground, and strokes of both."""
    y, x = np.mgrid[:side, :side]
    disc = ((y % 24) - 12) ** 2 + ((x % 24) - 12) ** 2 < 49
    noise = np.random.default_rng(0).normal(0, 5, (side, side))
    image = Image.of((40 + 100 * disc + noise).astype(np.float32), spacing=(0.5, 0.5), unit="µm")
    labels = np.zeros((side, side), np.uint8)
    labels[10:14, 10:14], labels[0:3, 0:20], labels[34:38, 34:38] = 3, 1, 3
    labels[23:26, 25:45] = 1
    return image, labels


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("kind", RUNGS)
def test_every_rung_is_a_segmenter(make_model: Make, kind: str, ndim: int) -> None:
    model = make_model(kind, ndim)
    segmenter = open_segmenter(model)
    assert isinstance(segmenter, Segmenter)
    assert segmenter.classes == model.classes
    assert segmenter.halo == model.halo


@pytest.mark.parametrize("kind", ["logistic", "unet"])
def test_predicts_what_its_segmenter_does(make_model: Make, kind: str) -> None:
    model, image = make_model(kind), Image.of(picture(40, 50))
    scaling = fit_normalisation(image, model.normalisation)
    direct = predict_proba_image(image, segmenter_of(model), scaling).asarray()
    proba = predict(model, image, PredictOptions(what="probabilities"))
    np.testing.assert_array_equal(proba.asarray(), direct)
    assert (proba.axes, proba.channel_names) == ("CYX", model.classes)
    np.testing.assert_array_equal(predict(model, image).asarray(), direct.argmax(0))


@pytest.mark.parametrize("values", [(1, 2), (0, 1, 2), (1, 3), (2, 5, 300)])
def test_writes_the_values_it_was_trained_on(make_model: Make, values: tuple[int, ...]) -> None:
    model = make_model("cnn", values=values)
    image = Image.of(picture(2, 20, 20), "TYX")
    best = predict(model, image, PredictOptions(what="probabilities")).asarray().argmax(1)
    found = predict(model, image, PredictOptions(tile=8))
    np.testing.assert_array_equal(found.asarray(), np.array(values)[best])
    assert found.dtype == (np.uint16 if max(values) > 255 else np.uint8)
    out = np.zeros((2, 20, 20), np.int32)
    assert predict(model, image, out=out).axes == "TYX"
    np.testing.assert_array_equal(out, found.asarray())


def test_what_is_not_finished_stays_zero(make_model: Make) -> None:
    def stop(fraction: float, message: str = "", /) -> None:
        if fraction > 0.5:
            raise StopEarly

    model = make_model("cnn", values=(1, 3))
    found = predict(
        model, Image.of(picture(64, 64)), PredictOptions(tile=16), progress=stop
    ).asarray()
    assert found[:16].min() > 0
    assert not found[48:].any()


def test_flips_are_the_mean_of_mirror_images(make_model: Make) -> None:
    model, image = make_model("cnn", options={"context": "none"}), Image.of(picture(24, 24))
    flipped = Image.of(image.asarray()[::-1, ::-1])
    once = predict(model, image, PredictOptions(what="probabilities", flips=True)).asarray()
    again = predict(model, flipped, PredictOptions(what="probabilities", flips=True)).asarray()
    np.testing.assert_allclose(again[:, ::-1, ::-1], once, atol=1e-5)
    assert not np.allclose(
        predict(model, image, PredictOptions(what="probabilities")).asarray(), once, atol=1e-3
    )


def test_colour_becomes_grey_for_one_channel_and_other_channels_are_refused(
    make_model: Make,
) -> None:
    colour = Image.of(np.random.default_rng(0).integers(0, 255, (20, 20, 3)).astype(np.uint8))
    assert colour.rgb
    grey = predict(make_model("softmax"), colour).asarray()
    np.testing.assert_array_equal(grey, predict(make_model("softmax"), colour.grey()).asarray())
    with pytest.raises(InputError, match="3 channel"):
        predict(make_model("cnn", n_channels=2), colour)


def test_a_model_of_stacks_refuses_a_plane(make_model: Make) -> None:
    with pytest.raises(InputError, match="no Z axis"):
        predict(make_model("cnn", 3), Image.of(picture(20, 20)))


def test_statistics_are_of_the_whole_image(make_model: Make) -> None:
    """One bright half changes what the dark half becomes: the scaling is not a tile's."""
    model = make_model("softmax")
    data = picture(32, 64).astype(np.float32)
    data[:, 32:] *= 50
    whole = predict(model, Image.of(data), PredictOptions(what="probabilities", tile=16)).asarray()
    alone = predict(model, Image.of(data[:, :20]), PredictOptions(what="probabilities")).asarray()
    assert not np.allclose(whole[:, :, :8], alone[:, :, :8], atol=1e-2)


def test_is_made_of_the_fit_of_a_network() -> None:
    image, labels = painted()
    options = TrainOptions(until="epochs", epochs=1, steps=2, patch=32, validation=0)
    fitted = fit_network(
        spec_of("cnn", {"layers": 1, "width": 2}),
        TrainingSet.of([TrainingPair(image, labels)], options),
        options,
    )
    model = TrainedModel.of(fitted, "discs", labels_are="scribbles", image=image)
    assert model.values == (1, 3)
    assert (model.spacing, model.unit) == ((0.5, 0.5), "µm")
    assert [record["step"] for record in model.history] == [1, 2]
    assert model.example is not None
    assert model.example.shape == (1, 48, 48)
    scaling = fit_normalisation(image, NormalisationSpec())
    expected = predict_proba_image(image, fitted.segmenter(), scaling).asarray()
    np.testing.assert_array_equal(
        predict(model, image, PredictOptions(what="probabilities")).asarray(), expected
    )


def test_is_made_of_the_fit_of_a_pixel_rung() -> None:
    image, labels = painted()
    fitted = fit_pixels(
        spec_of("logistic", {"sigmas": "1, 2"}), examples_of(TrainingPair(image, labels))
    )
    model = TrainedModel.of(fitted, "discs", labels_are="scribbles", image=image)
    assert (model.spacing, model.unit) == ((0.5, 0.5), "µm")
    found = predict(model, image).asarray()
    assert set(np.unique(found)) == {1, 3}
    assert (found[labels > 0] == labels[labels > 0]).mean() > 0.95


def test_keeps_the_spacing_that_the_filters_used() -> None:
    """Filters fitted as if all axes were alike must stay so, whatever the image says."""
    numbers = picture(1, 8, 24, 24).astype(np.float32)
    labels = np.zeros((8, 24, 24), np.uint8)
    labels[2, 2:9], labels[5, 12:20] = 1, 2
    image = Image.of(numbers[0], "ZYX", spacing=(2, 0.5, 0.5), unit="µm")
    examples = [AnnotatedImage(numbers, Annotation.of(labels))]
    spec = spec_of("softmax", {"sigmas": "1"})
    plain = fit_pixels(spec, examples)
    model = TrainedModel.of(plain, "stack", labels_are="scribbles", image=image)
    assert (model.spacing, model.unit) == ((1, 1, 1), "pixel")
    assert model.halo == plain.halo
    aware = fit_pixels(spec, examples, spacing=image.spacing)
    model = TrainedModel.of(aware, "stack", labels_are="scribbles", image=image)
    assert (model.spacing, model.unit) == ((2, 0.5, 0.5), "µm")
    assert model.halo == aware.halo


def test_the_fingerprint_tells_models_apart(make_model: Make) -> None:
    model = make_model("cnn")
    assert model.fingerprint == make_model("cnn").fingerprint
    assert model.fingerprint == replace(model, name="other").fingerprint
    others = [
        make_model("cnn", seed=1),
        make_model("cnn", 3),
        replace(model, values=(0, 1, 3)),
    ]
    assert len({m.fingerprint for m in [model, *others]}) == 4


def test_weights_cannot_be_changed(make_model: Make) -> None:
    weights = next(iter(make_model("cnn").state.values()))
    with pytest.raises(ValueError, match="read-only"):
        weights[...] = 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ("one",), "values": (1,)}, "two or more classes"),
        ({"values": (0, 2, 1)}, "in order"),
        ({"values": (1, 2, 3)}, "background"),
        ({"ndim": 4}, "planes"),
        ({"spacing": (1.0, -1.0)}, "spacing"),
        ({"channel_names": ("a", "b")}, "names of channels"),
        ({"state": {"w": np.array([np.nan])}}, "NaN"),
        ({"state": {"w": np.array(["x"])}}, "not numbers"),
    ],
)
def test_what_makes_no_model_is_refused(
    make_model: Make, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        replace(make_model("cnn"), **change)


@pytest.mark.parametrize("what", ["missing", "foreign", "shape", "variance"])
def test_weights_of_another_network_are_refused(make_model: Make, what: str) -> None:
    model = make_model("unet")
    state = dict(model.state)
    name = next(name for name in state if name.endswith("running_var"))
    if what == "missing":
        del state[name]
    elif what == "foreign":
        state["more"] = np.zeros(3, np.float32)
    else:
        state[name] = -state[name] if what == "variance" else np.zeros(99, np.float32)
    with pytest.raises(InputError, match="variance" if what == "variance" else "do not fit"):
        open_segmenter(replace(model, state=state))


def test_huge_options_are_refused_before_memory_is_spent(make_model: Make) -> None:
    huge = spec_of("unet", {"width": 256, "depth": 4, "growth": 2.0, "convolutions": 4})
    with pytest.raises(InputError, match="do not fit"):
        check_weights(replace(make_model("unet"), spec=huge))


def test_unknown_rungs_and_options_are_refused() -> None:
    with pytest.raises(InputError, match="no model 'forest'"):
        spec_of("forest")
    with pytest.raises(InputError, match="depth"):
        spec_of("unet", {"depth": 99})
