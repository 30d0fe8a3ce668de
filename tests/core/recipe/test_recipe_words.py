"""A recipe in other words: a script that makes the same, a paragraph that leaves nothing out."""

import shlex
import sys
from itertools import pairwise

import numpy as np
import pytest

from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict, sized
from napari_unetseg.core.io import read_image, read_labels, write_image
from napari_unetseg.core.io.table_files import table_rows
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.recipe import (
    Batch,
    ImageStep,
    MeasurementStep,
    ModelStep,
    Recipe,
    ThresholdStep,
    model_step,
    run_batch,
)
from napari_unetseg.core.recipe.methods_text import methods_paragraph
from napari_unetseg.core.recipe.script_export import python_script, shell_command
from napari_unetseg.core.samples import nuclei

HASH = "0" * 64


def run_script(monkeypatch, text, images, out):
    monkeypatch.setattr(sys, "argv", ["script.py", *map(str, images), str(out)])
    exec(compile(text, "script.py", "exec"), {"__name__": "__main__"})


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    place = tmp_path_factory.mktemp("images of cells")
    for seed in range(2):
        write_image(place / f"cells {seed}.tif", nuclei((96, 104), seed=seed).as_image())
    return tuple(sorted(place.iterdir()))


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(background=BackgroundOptions(terms="plane", mode="divide")),
        Recipe(
            image=ImageStep(axes="YX", channel="0"),
            background=BackgroundOptions(terms="1, x, y, x*y"),
            threshold=ThresholdStep(method="li", result="objects", min_size=9, split=True),
            measurement=MeasurementStep(hull=True, intensities="flattened"),
        ),
        Recipe(threshold=ThresholdStep(method="multiotsu", classes=3, values=(80.0, 200.0))),
    ],
)
def test_the_script_makes_what_the_recipe_makes(monkeypatch, tmp_path, images, recipe):
    rows = run_batch(Batch(recipe, images, tmp_path / "run"))
    assert [row.state for row in rows] == ["done", "done"]
    run_script(monkeypatch, python_script(recipe), images, tmp_path / "script")
    check_same(recipe, tmp_path, images)


@pytest.mark.parametrize(
    ("what", "size"),
    [("objects", {"diameter": 6.0}), ("objects", {}), ("classes", {}), ("probabilities", {})],
)
def test_the_script_of_a_model_too(monkeypatch, make_model, tmp_path, images, what, size):
    model = make_model("unet", values=(0, 1), labels_are="mask", diameter=9.0)
    save(model, tmp_path / "m.zip")
    how = {"what": what, "tile": 64, "device": "cpu", **size}
    step = model_step(tmp_path / "m.zip", tmp_path, PredictOptions(**how))
    said = {"objects": DecodeOptions(min_size=3)} if what == "objects" else {}
    recipe = Recipe(background=BackgroundOptions(terms="plane"), model=step, **said)
    run_batch(Batch(recipe, images, tmp_path / "run", tmp_path))
    run_script(monkeypatch, python_script(recipe, tmp_path), images, tmp_path / "script")
    check_same(recipe, tmp_path, images)


@pytest.mark.parametrize("size", [{"diameter": 20.0}, {"auto_diameter": True}])
def test_the_size_of_the_objects_is_part_of_both(monkeypatch, make_model, tmp_path, images, size):
    model = make_model("unet", values=(0, 1), labels_are="mask", diameter=10.0)
    save(model, tmp_path / "m.zip")
    step = model_step(
        tmp_path / "m.zip", tmp_path, PredictOptions(what="objects", device="cpu", **size)
    )
    recipe = Recipe(model=step)
    run_batch(Batch(recipe, images, tmp_path / "run", tmp_path))
    run_script(monkeypatch, python_script(recipe, tmp_path), images, tmp_path / "script")
    check_same(recipe, tmp_path, images)
    image = read_image(images[0])
    seen = sized(model, image, PredictOptions(**size))
    assert seen.zoom
    labels = read_labels(tmp_path / "run" / "labels" / "cells 0.tif").data
    np.testing.assert_array_equal(
        labels, predict(seen, image, PredictOptions(what="objects")).asarray()
    )
    assert not np.array_equal(
        labels, predict(model, image, PredictOptions(what="objects")).asarray()
    )


def check_same(recipe, place, images):
    (kind,) = (
        name for name in ("labels", "flattened", "probabilities") if (place / "run" / name).is_dir()
    )
    for path in images:
        mine, other = (place / p / kind / f"{path.stem}.tif" for p in ("run", "script"))
        read = read_labels if kind == "labels" else read_image
        np.testing.assert_array_equal(read(mine).data, read(other).data)
        assert np.ptp(read(mine).data) > 0
        if recipe.measurement is not None:
            mine, other = (place / p / "tables" / f"{path.stem}.csv" for p in ("run", "script"))
            assert mine.read_bytes() == other.read_bytes()
            with table_rows(mine) as rows:
                assert len(list(rows)) > 1


def test_the_command_line_keeps_spaces(images, tmp_path):
    words = shlex.split(shell_command("my recipe.yaml", images, tmp_path / "o ut", flattened=True))
    assert words[:3] == ["napari-unetseg", "run", "my recipe.yaml"]
    assert words[3:5] == [str(path) for path in images]
    assert words[5:] == ["-o", str(tmp_path / "o ut"), "--resume", "--flattened"]


THRESHOLDS = [
    *({"method": m} for m in ("otsu", "li", "triangle", "yen", "isodata", "minimum", "mean")),
    *({"method": "multiotsu", "classes": n} for n in (2, 3)),
    *({"method": "sauvola", "window": w, "k": k} for w, k in ((51, 0.2), (31, 0.2), (31, -0.2))),
    *({"method": "gaussian", "offset": o} for o in (0.0, 2.5)),
    *({"method": "manual", "value": v} for v in (0.0, 17.25)),
    *({"method": "hysteresis", "value": v, "high": h} for v, h in ((0, 0), (1, 2), (1, 3))),
    {"method": "multiotsu", "values": (11.0, 22.0)},
    {"objects": "dark"},
    {"sigma": 1.25},
    {"min_size": 33},
    {"fill_holes": True},
    {"clear_border": True},
    *({"split": True, "split_depth": d} for d in (0.1, 0.35)),
    {"result": "objects"},
    {"result": "objects", "per": "stack"},
    *({"result": "objects", "link": w} for w in ("none", "time", "both")),
    {"result": "objects", "link": "time", "link_by": "overlap", "link_iou": 0.25},
    {"result": "objects", "link": "time", "link_distance": 40.0},
    {"result": "objects", "link": "both", "link_divisions": False},
    {"result": "objects", "link": "time", "link_gap": 2},
    {"channel": "red"},
]
BACKGROUNDS = [
    *({"terms": t} for t in ("auto", "plane", "quartic", "lecture", "1,x,y,x*y")),
    *({"robust": r} for r in ("bright", "dark", "both", "none")),
    {"mode": "divide"},
    *({"per": p} for p in ("stack", "volume")),
    {"channel": "green"},
]
MODELS = [
    *({"what": w} for w in ("objects", "classes", "probabilities")),
    {"flips": True},
    {"sha256": "1" * 64},
    *({"diameter": d} for d in (12.0, 30.0)),
    {"rescale": True},
    {"auto_diameter": True},
    {"orientations": "three"},
]
OBJECTS = [
    {},
    *({"split": s} for s in ("learnt", "shape", "probability", "none")),
    {"split_depth": 0.4},
    {"seed_height": 0.3},
    {"foreground": 0.6},
    {"min_size": 12},
    {"min_score": 0.2},
    {"fill_holes": True},
    {"link": "none"},
]
MEASUREMENTS = [
    {},
    {"per": "plane"},
    {"outline": False},
    {"hull": True},
    {"skeleton": True},
    {"skeleton": True, "spurs": 2.0},
    {"median": True},
    *({"intensities": i} for i in ("flattened", "none")),
]


def recipes():
    plane = BackgroundOptions(terms="plane")
    model = ModelStep(file="a.zip", sha256=HASH)
    yield from (Recipe(threshold=ThresholdStep(**said)) for said in THRESHOLDS)
    yield from (Recipe(background=BackgroundOptions(**said)) for said in BACKGROUNDS)
    for said in MODELS:
        yield Recipe(
            model=ModelStep(**{"file": "a.zip", "sha256": HASH, "what": "classes", **said})
        )
    for said in OBJECTS:
        yield Recipe(background=plane, model=model, objects=DecodeOptions(**said))
    for said in MEASUREMENTS:
        yield Recipe(
            background=plane, threshold=ThresholdStep(), measurement=MeasurementStep(**said)
        )
    yield Recipe(image=ImageStep(channel="DAPI"), threshold=ThresholdStep())


def test_no_two_recipes_have_the_same_paragraph():
    made = sorted((methods_paragraph(recipe), repr(recipe)) for recipe in recipes())
    same = [(one, other) for one, other in pairwise(made) if one[0] == other[0]]
    assert not same


def test_the_paragraph_says_more_of_a_model_that_is_there(make_model):
    model = make_model("unet", values=(0, 1), labels_are="mask", name="my cells")
    recipe = Recipe(model=ModelStep(file="a.zip", sha256=HASH, what="objects"))
    said = methods_paragraph(recipe, model)
    assert "UNet “my cells”" in said
    assert f"{model.n_parameters:,} parameters" in said
    assert "percentiles 1 and 99.8 of each channel" in said
    assert "divided by a watershed of the distance to the background at passes deeper" in said
    assert HASH in said
