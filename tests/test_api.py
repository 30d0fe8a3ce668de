"""The front door for Python: any array in, arrays out, options as keywords, sentences for slips."""

import doctest
import inspect
import re
from dataclasses import asdict
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import napari_unetseg as seg
from napari_unetseg import api
from napari_unetseg.core import image as images
from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.measure import MeasureOptions, measure
from napari_unetseg.core.model.pixel_specs import MlpSpec
from napari_unetseg.core.models_io.native import load
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.prompts.marked_objects import ClickOptions, click_objects
from napari_unetseg.core.prompts.marks import Mark
from napari_unetseg.core.recipe import Recipe, ThresholdStep, run_recipe, write_recipe
from napari_unetseg.core.scoring.pixel_scores import scores
from napari_unetseg.core.scoring.score_summary import judge_objects
from napari_unetseg.core.threshold import ThresholdOptions, threshold

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = seg.samples.nuclei((72, 80), seed=5)
DTYPES = (bool, np.uint8, np.uint16, np.float32)


@pytest.fixture(scope="module")
def model():
    """A logistic model of nuclei, fitted at once."""
    pytest.importorskip("torch", reason="training needs PyTorch")
    return seg.train(SAMPLE.image, SAMPLE.mask, labels_are="mask", name="cells")


def wrapped(array, kind, tmp_path, axes=None):
    """Return an array as one of the kinds that people have."""
    if kind == "dask":
        return da.from_array(array, chunks=32)
    if kind == "zarr":
        stored = zarr.create_array(
            tmp_path / "a.zarr", shape=array.shape, chunks=(32,) * array.ndim, dtype=array.dtype
        )
        stored[:] = array
        return stored
    return seg.Image.of(array, axes) if kind == "image" else array


KINDS = {"numpy": np.ndarray, "dask": da.Array, "zarr": da.Array, "image": seg.Image}


# The door itself


def test_every_name_is_there_and_is_offered():
    assert dir(seg) == sorted(seg.__all__)
    for name in seg.__all__:
        assert getattr(seg, name) is not None
    assert re.fullmatch(r"\d+\.\d+.*", seg.__version__)


def test_another_name_is_not():
    with pytest.raises(AttributeError, match="no attribute 'treshold'"):
        seg.treshold  # noqa: B018


@pytest.mark.parametrize("module", [seg, api, images], ids=lambda module: module.__name__)
def test_the_examples_of_the_docstrings_run(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(module)
    assert found.attempted > 3
    assert found.failed == 0


def test_the_lines_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(lines.splitlines()) < 15
    made = {}
    exec(compile(lines, "README.md", "exec"), made)
    assert {path.name for path in tmp_path.iterdir()} == {"nuclei.tif", "nuclei.csv", "model.zip"}
    assert made["seg"].evaluate(made["nuclei"], made["truth"]).f1 > 0.9
    assert capsys.readouterr().out.count("Evaluation(dice=") == 2


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (seg.threshold, ThresholdOptions),
        (seg.fit_background, BackgroundOptions),
        (seg.flatten, BackgroundOptions),
        (seg.measure, MeasureOptions),
        (seg.predict, PredictOptions),
        (seg.click, ClickOptions),
    ],
)
def test_help_lists_every_option_with_its_default(function, options):
    parameters = inspect.signature(function).parameters
    for name, field in options.model_fields.items():
        assert parameters[name].default == field.default
        # `what` of `predict` is a parameter of its own, with its own words.
        text = "" if name == "what" else field.description
        assert f"\n{name}\n    {text}" in function.__doc__
    assert not any(one.kind is one.VAR_KEYWORD for one in parameters.values())


# Arrays of every kind


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_plane_of_any_kind_of_array(kind, dtype, tmp_path):
    plane = SAMPLE.mask if dtype is bool else (SAMPLE.image // 8).astype(dtype)
    how = {"method": "li", "result": "objects", "min_size": 5}
    found = seg.threshold(wrapped(plane, kind, tmp_path), **how)
    right = threshold(seg.Image(plane, "YX"), ThresholdOptions(**how)).labels
    # Objects are only known when all is read.
    assert isinstance(found, seg.Image if kind == "image" else np.ndarray)
    np.testing.assert_array_equal(found, right)
    assert right.max() > 1


@pytest.mark.parametrize(("kind", "made"), KINDS.items())
def test_lazy_stays_lazy_and_calibration_is_kept(kind, made, tmp_path):
    given = wrapped(SAMPLE.image, kind, tmp_path)
    flat = seg.flatten(given, terms="plane", robust="bright")
    classes = seg.threshold(flat)
    assert isinstance(flat, made)
    assert isinstance(classes, made)
    image = SAMPLE.as_image()
    right = fit_background(image, BackgroundOptions(terms="plane", robust="bright")).flatten(image)
    np.testing.assert_allclose(np.asarray(flat), right.data, atol=1e-2)
    calibrated = seg.threshold(seg.flatten(image, terms="plane"))
    assert (calibrated.spacing, calibrated.unit) == (image.spacing, image.unit)


@pytest.mark.parametrize("kind", KINDS)
def test_a_colour_picture_is_one_grey_image(kind, tmp_path):
    picture = np.stack([SAMPLE.image // 16] * 3, -1).astype(np.uint8)
    found = seg.threshold(wrapped(picture, kind, tmp_path))
    assert found.shape == SAMPLE.image.shape
    np.testing.assert_array_equal(found, seg.threshold(picture[..., 0].astype(np.float32)))


@pytest.mark.parametrize("kind", KINDS)
def test_axes_say_which_they_are(kind, tmp_path):
    stack = np.stack([SAMPLE.image, SAMPLE.image[::-1]])
    given = wrapped(stack, kind, tmp_path, "TYX")
    found = seg.threshold(given, axes="TYX", result="objects", per="stack", link="none")
    right = threshold(
        seg.Image(stack, "TYX"), ThresholdOptions(result="objects", per="stack")
    ).labels
    np.testing.assert_array_equal(found, right)
    table = seg.measure(found, given, axes="TYX")
    assert set(table["t"]) == {0, 1}
    volume = seg.measure(np.asarray(found), stack, axes="ZYX", spacing=(2, 1, 1), unit="µm")
    assert "volume_um3" in volume


@settings(max_examples=25, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32, np.float32]),
        arrays.array_shapes(min_dims=2, max_dims=3, min_side=2, max_side=9),
        elements=st.integers(0, 200),
    )
)
def test_any_array_gives_what_its_image_gives_or_the_same_sentence(array):
    def outcome(call):
        try:
            return np.asarray(call())
        except InputError as error:
            return str(error)

    mine = outcome(lambda: seg.threshold(array, method="mean", result="objects"))
    options = ThresholdOptions(method="mean", result="objects")
    core = outcome(lambda: threshold(seg.Image.of(array), options).image)
    np.testing.assert_array_equal(mine, core)


def test_a_table_is_for_pandas():
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    table = seg.measure(SAMPLE.objects, SAMPLE.image, spacing=0.5, unit="µm", outline=False)
    frame = pandas.DataFrame(table)
    assert len(frame) == SAMPLE.objects.max()
    assert {"area_um2", "mean"} <= set(frame)
    assert "perimeter_um" not in frame
    several = seg.measure(SAMPLE.objects, {"a": SAMPLE.image, "b": SAMPLE.image * 2})
    np.testing.assert_allclose(several["mean_b"], 2 * several["mean_a"])
    channels = np.stack([SAMPLE.image, SAMPLE.image])
    named = seg.measure(SAMPLE.objects, channels, axes="CYX", channel_names=("dapi", "gfp"))
    assert {"mean_dapi", "mean_gfp"} <= set(named)
    image = seg.Image(SAMPLE.objects, "YX", (0.5, 0.5), "µm")
    core = measure(image, seg.Image(SAMPLE.image, "YX"), MeasureOptions(outline=False))
    for name, column in table.items():
        np.testing.assert_array_equal(column, core[name])


# Wrong ones


PLANE = np.eye(20)
IDS = np.eye(20, dtype=int)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: seg.threshold([[1, 2], [3, 4]]), "image must be an array, not a list"),
        (lambda: seg.threshold("cells.tif"), "Read the file first"),
        (lambda: seg.flatten(None), "Give a numpy, dask or zarr array"),
        (lambda: seg.threshold(np.zeros(9)), "at least two axes"),
        (lambda: seg.fit_background(np.zeros((2,) * 6)), "6 axes"),
        (lambda: seg.flatten(PLANE.astype(complex)), "complex"),
        (lambda: seg.threshold(PLANE.astype(object)), "not numbers"),
        (lambda: seg.threshold(np.zeros((0, 4))), "empty"),
        (lambda: seg.threshold(PLANE, axes="ZYX"), "name 3 axes"),
        (lambda: seg.threshold(PLANE, axes=2), "letters such as"),
        (lambda: seg.threshold(PLANE, min_siz=3), "Did you mean min_size?.*method, value"),
        (lambda: seg.threshold(PLANE, min_size=-1), "min_size = -1"),
        (lambda: seg.threshold(PLANE, "otsu"), "must be a ThresholdOptions"),
        (lambda: seg.threshold(PLANE, ThresholdOptions(), k=0.1), "Leave out one of the two"),
        (lambda: seg.fit_background(PLANE, robus="dark"), "Did you mean robust?"),
        (lambda: seg.flatten(PLANE, seg.fit_background(PLANE), terms="plane"), "fitted already"),
        (lambda: seg.flatten(IDS[:9], seg.fit_background(PLANE)), "fitted to an image of shape"),
        (lambda: seg.fit_background(PLANE).flatten(PLANE[:9]), "fitted to an image of shape"),
        (lambda: seg.measure(PLANE * 0.5), "whole numbers"),
        (lambda: seg.measure(IDS, PLANE[:9]), "do not fit"),
        (lambda: seg.measure(IDS, PLANE, spacing=(1, 2, 3)), "3 numbers"),
        (lambda: seg.measure(IDS, hul=True), "Did you mean hull?"),
        (lambda: seg.evaluate(IDS, IDS[:9]), "Labels of the shapes"),
        (lambda: seg.evaluate(IDS > 0, IDS[:9] > 0), "Masks of the shapes"),
        (lambda: seg.evaluate(PLANE * 0.5, IDS), "whole"),
        (lambda: seg.evaluate(IDS, IDS, labels_are="scribbles"), "choose one of mask, objects"),
        (lambda: seg.evaluate(IDS > 0, IDS > 0, tolerance=1), "no option tolerance"),
        (lambda: seg.evaluate(np.arange(100), np.arange(100)), "at least two axes"),
        (
            lambda: seg.evaluate(*[np.arange(100).reshape(10, 10)] * 2, labels_are="mask"),
            "look like object ids",
        ),
        (lambda: seg.click(PLANE), "no mark"),
        (lambda: seg.click(PLANE, [(1, 2, 3)]), "points of object 1 must be numbers along.*YX"),
        (lambda: seg.click(PLANE, boxes={"a": [3]}), "boxes of object 'a' must be"),
        (lambda: seg.click(PLANE, [(9, 9)], outside=[(1, 1)]), "give a dict"),
        (lambda: seg.click(PLANE, [(-9, -9)]), "no object at any of the marks"),
        (lambda: seg.click(PLANE, [(9, 9)], cary=True), "Did you mean carry?"),
        (lambda: seg.predict(PLANE, "nucleus"), "Shipped models are: nuclei"),
        (lambda: seg.predict(PLANE, 3), "The model must be"),
        (lambda: seg.write("a.csv", PLANE), "must end in"),
        (lambda: seg.write("a.tif", [1]), "data must be an array"),
        (lambda: seg.write("a.tif", {"label": [1]}), "A table is written as"),
        (lambda: seg.write("a.tif", -IDS), "range from -1"),
        (lambda: seg.read("nothing.tif"), "There is no file"),
        (lambda: seg.run_recipe("nothing.yaml", PLANE), "cannot be read"),
    ],
)
def test_a_slip_gets_a_sentence(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


@pytest.mark.parametrize(
    ("images", "labels", "how", "sentence"),
    [
        (PLANE, IDS[:9], {}, "shape"),
        (PLANE, PLANE * 0.5, {}, "whole numbers"),
        (PLANE, [[1]], {}, "labels must be an array, not a list"),
        ([PLANE, PLANE], IDS, {}, "2 images and one array of labels"),
        ([PLANE, PLANE], [IDS], {}, "2 images and 1 labels"),
        ([PLANE], [IDS], {"regions": [IDS, IDS]}, "1 images and 2 regions"),
        ([], [], {}, "no image to learn from"),
        (PLANE, IDS, {"labels_are": "ids"}, "choose one of scribbles, mask, objects"),
        (PLANE, IDS, {"model": "unets"}, "Choose one of logistic"),
        (PLANE, IDS, {"budget": 3}, "no option budget"),
        (PLANE, IDS, {"model": "unet", "bugdet": 3}, "Did you mean budget?"),
        (PLANE, IDS, {"model": "unet", "budget": -3}, "budget = -3"),
    ],
)
def test_what_cannot_be_trained_gets_a_sentence(images, labels, how, sentence):
    pytest.importorskip("torch", reason="training needs PyTorch")
    with pytest.raises(InputError, match=sentence):
        seg.train(images, labels, **{"labels_are": "mask", **how})


def test_an_options_object_does_what_keywords_do():
    how = {"method": "triangle", "fill_holes": True}
    np.testing.assert_array_equal(
        seg.threshold(SAMPLE.image, **how),
        seg.threshold(SAMPLE.image, ThresholdOptions(**how)),
    )
    levels = seg.threshold(SAMPLE.image, values=[300])
    np.testing.assert_array_equal(levels, SAMPLE.image > 300)


# Clicks


@pytest.mark.parametrize("kind", KINDS)
def test_clicks_in_any_kind_of_array_give_the_objects_of_core(kind, tmp_path):
    at = [tuple(np.argwhere(SAMPLE.objects == number).mean(0)) for number in (1, 2)]
    found = seg.click(wrapped(SAMPLE.image, kind, tmp_path), at, size=14)
    marks = [Mark(number, tuple(map(float, place))) for number, place in enumerate(at, 1)]
    right = click_objects(SAMPLE.as_image(), marks, ClickOptions(size=14)).labels
    assert isinstance(found, seg.Image if kind == "image" else np.ndarray)
    np.testing.assert_array_equal(found, right)


def test_boxes_as_corners_as_shapes_and_by_id_mean_the_same():
    rows, columns = np.nonzero(SAMPLE.objects == 1)
    y0, x0, y1, x1 = rows.min(), columns.min(), rows.max(), columns.max()
    corners = [(y0, x0), (y1, x1)]
    square = np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)], float)
    flat = seg.click(SAMPLE.image, boxes=[(y0, x0, y1, x1)])
    np.testing.assert_array_equal(seg.click(SAMPLE.image, boxes=[corners]), flat)
    np.testing.assert_array_equal(seg.click(SAMPLE.image, boxes=[square]), flat)
    np.testing.assert_array_equal(seg.click(SAMPLE.image, boxes={5: square}), flat * 5)


# Models


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_predicts_any_kind_of_array(model, kind, tmp_path):
    found = seg.predict(wrapped(SAMPLE.image, kind, tmp_path), model)
    assert isinstance(found, seg.Image if kind == "image" else np.ndarray)
    np.testing.assert_array_equal(found, predict(model, SAMPLE.as_image()))
    assert seg.evaluate(found > 0, SAMPLE.mask).dice > 0.9
    shares = seg.predict(SAMPLE.image, model, "probabilities")
    assert shares.shape == (2, *SAMPLE.image.shape)


def test_a_model_by_its_file(model, tmp_path):
    seg.write(tmp_path / "m.zip", model)
    opened = seg.open_model(tmp_path / "m.zip")
    assert opened.fingerprint == model.fingerprint == load(tmp_path / "m.zip").fingerprint
    for path in (tmp_path / "m.zip", str(tmp_path / "m.zip")):
        np.testing.assert_array_equal(
            seg.predict(SAMPLE.image, path), seg.predict(SAMPLE.image, model)
        )
    assert repr(opened).startswith("TrainedModel('cells', logistic, classes=('background', 'class")
    assert len(repr(opened)) < 100


def test_options_of_objects_and_of_size_arrive():
    pytest.importorskip("torch", reason="models need PyTorch")
    nuclei, image = seg.open_model("nuclei"), SAMPLE.as_image()
    found = seg.predict(image, "nuclei", diameter=20, min_size=30, foreground=0.4, device="cpu")
    right = predict(
        nuclei,
        image,
        PredictOptions(what="objects", diameter=20),
        decoding=DecodeOptions(min_size=30, foreground=0.4),
    )
    np.testing.assert_array_equal(found, right)
    assert found.dtype == np.int32
    for how, sentence in (
        ({"diametre": 3}, "Did you mean diameter?"),
        ({"what": "classes", "min_size": 3}, "min_size would only matter for objects"),
        ({"what": "object"}, "choose one of auto, objects, classes, probabilities"),
        ({"axes": "CY"}, "need Y and X"),
    ):
        with pytest.raises(InputError, match=re.escape(sentence)):
            seg.predict(SAMPLE.image, nuclei, **how)


def test_training_takes_lists_specs_and_a_start(model):
    pair = [SAMPLE.image, SAMPLE.as_image()], [SAMPLE.mask, da.from_array(SAMPLE.mask)]
    two = seg.train(*pair, MlpSpec(width=4), labels_are="mask", class_names=("cell",), seed=3)
    assert (two.spec.width, two.name, two.classes) == (4, "mlp", ("background", "cell"))
    assert two.provenance["images"] == 2
    on = seg.train(SAMPLE.image, SAMPLE.mask, labels_are="mask", start=model, regularisation=2)
    assert on.parent == model.fingerprint
    assert on.spec == model.spec.model_copy(update={"regularisation": 2})
    regions = np.zeros_like(SAMPLE.objects)
    regions[:40] = 1
    part = seg.train(SAMPLE.image, SAMPLE.objects, labels_are="objects", regions=regions)
    # Elsewhere 0 is unknown, and what is drawn counts.
    assert part.provenance["labelled"] == ((regions > 0) | SAMPLE.mask).sum()


# Scores, files, recipes


def test_evaluation_is_that_of_core():
    moved = np.roll(SAMPLE.objects, 2, 0)
    found = seg.evaluate(moved, SAMPLE.objects, tolerance=1)
    right = judge_objects(seg.Image(moved, "YX"), seg.Image(SAMPLE.objects, "YX"))
    assert found.keys() == right.scores.keys()
    assert found.ap50 == found["ap50"] == right.scores["ap50"]
    assert repr(found).startswith(f"Evaluation(dice={found.dice:.3g}, iou=")
    assert "ap50" in dir(found)
    with pytest.raises(AttributeError, match="no score 'ap60'"):
        found.ap60  # noqa: B018
    mask = seg.evaluate(moved > 0, SAMPLE.mask)
    assert mask == asdict(scores(moved > 0, SAMPLE.mask))
    assert seg.evaluate(SAMPLE.image // 9 % 3, SAMPLE.image // 9 % 3, labels_are="mask").dice == 1


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (SAMPLE.objects, np.uint8),
        (SAMPLE.mask, np.uint8),
        (SAMPLE.objects.astype(np.int64) * 300, np.uint16),
        (SAMPLE.image, np.uint16),
        (SAMPLE.image // 256, np.uint16),
        (SAMPLE.image.astype(np.float32), np.float32),
    ],
)
def test_written_and_read_is_the_same(array, dtype, tmp_path):
    seg.write(tmp_path / "a.tif", array, spacing=0.25, unit="µm")
    back = seg.read(tmp_path / "a.tif")
    assert (back.dtype, back.spacing, back.unit) == (dtype, (0.25, 0.25), "µm")
    np.testing.assert_array_equal(back, array)


def test_a_recipe_runs_as_in_the_window(tmp_path):
    recipe = Recipe(threshold=ThresholdStep(method="li", result="objects"))
    write_recipe(tmp_path / "r.yaml", recipe)
    right = run_recipe(recipe, SAMPLE.as_image()).labels
    for one in (recipe, tmp_path / "r.yaml"):
        np.testing.assert_array_equal(seg.run_recipe(one, SAMPLE.image).labels, right)


# What others take


def test_napari_takes_images_as_layers_and_paints_them():
    viewer = pytest.importorskip("napari.components").ViewerModel()
    labels = seg.threshold(SAMPLE.as_image(), result="objects")
    layer = viewer.add_labels(labels)
    assert layer.data is labels
    layer.paint((5, 5), 99)
    assert labels[5, 5] == 99
    assert layer.get_value((5, 5)) == 99
    shown = viewer.add_image(SAMPLE.as_image())
    assert shown.contrast_limits[1] > shown.contrast_limits[0]
    assert viewer.add_labels(seg.threshold(SAMPLE.image)).data.max() == 1


def test_matplotlib_and_scikit_image_take_them():
    from skimage.measure import regionprops

    image = seg.Image(SAMPLE.objects, "YX")
    assert len(regionprops(np.asarray(image))) == SAMPLE.objects.max()
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="needs matplotlib")
    shown = pyplot.imshow(image)
    np.testing.assert_array_equal(shown.get_array(), SAMPLE.objects)
    pyplot.close("all")


def test_labels_mean_the_same_in_every_function():
    labels = np.kron(np.array([[0, 1], [-1, 2]]), np.ones((6, 6), int))
    known = np.maximum(labels, 0)
    for truth in (labels, labels.astype(np.float32)):
        assert list(seg.measure(truth)["label"]) == [1, 2]
        assert seg.evaluate(np.where(labels < 0, 9, known), truth).f1 == 1
        assert seg.evaluate(known + (labels < 0), truth, labels_are="mask").dice == 1
    with pytest.raises(ValueError, match="class value 1099511627776"):
        seg.train(known * 1.0, np.where(known == 2, 2**40, known), labels_are="mask")
