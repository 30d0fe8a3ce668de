"""Layers say which steps led to them: docks, commands, a call and a recipe give the same pixels."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers._source import layer_source

from napari_unetseg.cli import main
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.background import BackgroundOptions, fit_background
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.io import read_image, read_labels, write_image
from napari_unetseg.core.io.table_files import table_rows
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.models_io.native import load
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.recipe import ThresholdStep, run_recipe, write_recipe
from napari_unetseg.core.samples import nuclei
from napari_unetseg.core.training.train import train
from napari_unetseg.gui.background.background_dock import BackgroundWidget
from napari_unetseg.gui.measure.measure_dock import MeasureWidget
from napari_unetseg.gui.predict.predict_dock import PredictWidget
from napari_unetseg.gui.shared.layer_provenance import draft_of, has_steps
from napari_unetseg.gui.shared.layers import image_of, show_image
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.threshold.threshold_dock import ThresholdWidget


@pytest.fixture(scope="module")
def sample():
    return nuclei((112, 120), seed=4)


@pytest.fixture
def viewer(sample):
    made = ViewerModel()
    image = sample.as_image()
    made.layers.selection.active = made.add_image(
        image.data, name="cells", scale=image.spacing, units=(image.unit,) * 2
    )
    return made


@pytest.fixture
def use(qtbot, viewer):
    """Run a tool on a layer, with some options."""
    tools = []

    def run(kind, layer=None, prepare=lambda tool: None, **options):
        tool = kind(viewer)
        qtbot.addWidget(tool)
        tools.append(tool)
        if layer is not None:
            tool.pick.pick(viewer.layers[layer])
        tool.form.set(**options)
        prepare(tool)
        tool.run()
        qtbot.waitUntil(lambda: not tool.running, timeout=60000)
        return tool

    yield run
    for tool in tools:
        tool.close_tool()


def draft(viewer, name):
    return draft_of(viewer.layers[name], Session.of(viewer))


def cli(*words):
    assert main([str(word) for word in words]) == 0


def table_of(path):
    with table_rows(path) as rows:
        return list(rows)


def test_background_threshold_and_measure_are_the_same_everywhere(
    viewer, use, sample, tmp_path, capsys
):
    use(BackgroundWidget, "cells", terms="quadratic", mode="divide")
    said = {"method": "li", "result": "objects", "min_size": 12, "split": True}
    use(ThresholdWidget, "cells flattened", **said)
    measuring = use(MeasureWidget, "cells flattened objects, threshold", hull=True)
    name = "cells flattened objects, threshold"
    dock = np.asarray(viewer.layers[name].data)
    assert dock.max() > 1

    recipe = draft(viewer, name).recipe(tmp_path)
    assert recipe.background == BackgroundOptions(terms="quadratic", mode="divide")
    assert recipe.threshold == ThresholdStep(**said)
    assert recipe.measurement.hull
    assert recipe.measurement.intensities == "image"
    write_recipe(tmp_path / "recipe.yaml", recipe)
    write_image(tmp_path / "in" / "cells.tif", sample.as_image())
    source = tmp_path / "in" / "cells.tif"

    call = run_recipe(recipe, read_image(source))
    cli("run", tmp_path / "recipe.yaml", source, "-o", tmp_path / "run")
    words = ("--terms", "quadratic", "--mode", "divide")
    cli("background", source, "-o", tmp_path / "flat.tif", *words)
    words = ("--method", "li", "--as", "objects", "--min-size", 12, "--split")
    cli("threshold", tmp_path / "flat.tif", "-o", tmp_path / "labels.tif", *words)
    cli("measure", tmp_path / "labels.tif", source, "-o", tmp_path / "table.csv", "--hull")

    flat = viewer.layers["cells flattened"].data
    np.testing.assert_array_equal(flat, call.flattened.data)
    np.testing.assert_array_equal(flat, read_image(tmp_path / "flat.tif").data)
    for other in (
        call.labels.data,
        read_labels(tmp_path / "run" / "labels" / "cells.tif").data,
        read_labels(tmp_path / "labels.tif").data,
    ):
        np.testing.assert_array_equal(dock, other)
    table = table_of(tmp_path / "run" / "tables" / "cells.csv")
    assert table == table_of(tmp_path / "table.csv")
    assert list(measuring.found) == table[0]
    np.testing.assert_array_equal(measuring.found["sum"], [float(r[-1]) for r in table[1:]])


@pytest.fixture(scope="module")
def model(sample):
    strokes = np.zeros(sample.classes.shape, np.uint8)
    strokes[4::8] = np.where(sample.mask[4::8], 2, 1)
    lesson = TrainingPair(sample.as_image(), strokes)
    return train(LogisticSpec(), [lesson], TrainOptions(), name="my nuclei").model


@pytest.mark.parametrize("what", ["objects", "classes"])
def test_a_prediction_is_the_same_everywhere(viewer, use, model, sample, tmp_path, what, capsys):
    Session.of(viewer).add_model(model)
    use(BackgroundWidget, "cells", terms="plane")

    def prepare(tool):
        tool.decoding.set(min_size=20, fill_holes=True)

    use(PredictWidget, "cells flattened", prepare, what=what)
    name = f"cells flattened {what}, my nuclei"
    dock = np.asarray(viewer.layers[name].data)
    recipe = draft(viewer, name).recipe(tmp_path)
    assert recipe.model.what == what
    assert recipe.background == BackgroundOptions(terms="plane")
    assert load(tmp_path / recipe.model.file).fingerprint == model.fingerprint
    write_recipe(tmp_path / "recipe.yaml", recipe)
    source = tmp_path / "cells.tif"
    write_image(source, sample.as_image())

    flat = fit_background(read_image(source), recipe.background).flatten(read_image(source))
    decoding = None
    if what == "objects":
        decoding = DecodeOptions(
            min_size=20, fill_holes=True, split_depth=model.decoding.split_depth
        )
        assert recipe.decoding(model) == decoding
    call = predict(model, flat, PredictOptions(what=what), decoding=decoding)
    cli("run", tmp_path / "recipe.yaml", source, "-o", tmp_path / "run")
    write_image(tmp_path / "flat.tif", flat)
    words = ("--min-size", 20, "--fill-holes") if what == "objects" else ("--what", what)
    packed = tmp_path / recipe.model.file
    cli("predict", packed, tmp_path / "flat.tif", "-o", tmp_path / "labels.tif", *words)
    assert len(np.unique(dock)) > 1
    for other in (
        call.asarray(),
        read_labels(tmp_path / "run" / "labels" / "cells.tif").data,
        read_labels(tmp_path / "labels.tif").data,
    ):
        np.testing.assert_array_equal(dock, other)


def test_dragged_levels_are_part_of_the_recipe(viewer, use):
    def drag(tool):
        tool._on_dragged((80.0, 200.0))

    use(ThresholdWidget, "cells", drag, method="multiotsu", classes=3, result="classes")
    step = draft(viewer, "cells mask, threshold").threshold
    assert step == ThresholdStep(
        method="multiotsu", classes=3, result="classes", values=(80.0, 200.0)
    )
    dock = viewer.layers["cells mask, threshold"].data
    made = run_recipe(
        draft(viewer, "cells mask, threshold").recipe("."), image_of(viewer.layers["cells"])
    )
    np.testing.assert_array_equal(made.labels.data, dock)


def test_it_is_known_when_the_image_is_gone(viewer, use):
    use(BackgroundWidget, "cells", terms="plane")
    use(ThresholdWidget, "cells flattened", result="objects")
    for name in ("cells flattened", "cells"):
        viewer.layers.remove(name)
    found = draft(viewer, "cells flattened objects, threshold")
    assert found.background == BackgroundOptions(terms="plane")


def test_what_cannot_be_repeated_is_said(viewer, use, sample):
    viewer.add_labels(sample.objects, name="cells by hand")

    def leave_out(tool):
        tool.exclude.pick(viewer.layers["cells by hand"])

    use(BackgroundWidget, "cells", leave_out, terms="plane")
    assert "'cells by hand'" in draft(viewer, "cells flattened").remarks[0]
    use(ThresholdWidget, "cells flattened", result="objects")
    layer = viewer.layers["cells flattened objects, threshold"]
    Session.of(viewer).locks(layer)
    layer.paint((50, 50), 3)
    first, second = draft(viewer, layer.name).remarks
    assert "'cells by hand'" in first
    assert "corrections belong to this image only" in second


def test_one_of_several_channels_is_to_be_named(viewer, use, sample, tmp_path):
    viewer.layers.clear()
    with layer_source(path=str(tmp_path / "both.tif")):
        for name in ("DAPI", "GFP"):
            viewer.add_image(sample.image, name=name)
    use(ThresholdWidget, "GFP")
    session = Session.of(viewer)
    (said,) = draft_of(viewer.layers["GFP mask, threshold"], session, viewer.layers).remarks
    assert "'GFP' is one of 2 layers of both.tif" in said
    viewer.layers.remove("DAPI")
    assert not draft_of(viewer.layers["GFP mask, threshold"], session, viewer.layers).remarks


def test_layers_without_steps_are_refused(viewer, use, model, sample):
    cells = viewer.layers["cells"]
    assert not has_steps(cells)
    with pytest.raises(InputError, match="was not made by"):
        draft(viewer, "cells")
    report = show_image(
        viewer.layers, cells, "probabilities of x", sample.image, name="p", options={}
    )
    use(ThresholdWidget, report.name)
    with pytest.raises(InputError, match="is a result itself"):
        draft(viewer, "p mask, threshold")
    Session.of(viewer).add_model(model)
    use(PredictWidget, "cells")
    Session.of(viewer).models.clear()
    with pytest.raises(InputError, match=r"'my nuclei'.* is no longer in this window"):
        draft(viewer, "cells classes, my nuclei")
