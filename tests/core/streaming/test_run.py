"""A recipe block by block gives what it gives at once: pixels, numbers of objects, table."""

import numpy as np
import pytest
import zarr
from scipy import ndimage

from napari_unetseg.core import samples
from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference import prediction
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.io import read_image, write_image
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.recipe import (
    ImageStep,
    MeasurementStep,
    Recipe,
    ThresholdStep,
    model_step,
    run_recipe,
)
from napari_unetseg.core.streaming import LocalRunner, RunSource, stream
from napari_unetseg.core.streaming.block_grid import chunk_of, halve_sides, sides_for
from napari_unetseg.core.streaming.run_folder import RunFolder

LITTLE = 1e-6  # gigabytes: the smallest blocks there are


def noise(shape, seed, sigma):
    """Return smooth random numbers with rings and nets among them, and a slope."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    slope = np.linspace(0, 0.5, shape[-1])
    return (3000 + 300 * (smooth / smooth.std() + slope)).astype(np.uint16)


@pytest.fixture
def written(tmp_path):
    def write(image):
        write_image(tmp_path / "image.zarr", image)
        return read_image(tmp_path / "image.zarr")

    return write


def compare(recipe, image, tmp_path, **how):
    """Stream, and compare with what is made at once; return what was streamed."""
    whole = run_recipe(recipe, image.with_data(image.asarray()), model=how.get("model"))
    found = stream(recipe, RunSource(str(tmp_path / "image.zarr")), tmp_path / "o.zarr", **how)
    expected = whole.labels or whole.probabilities or whole.flattened
    got, axes = found.image, "".join(a for a in "TCZYX" if a in expected.axes)
    assert (got.axes, got.unit) == (axes, expected.unit)
    np.testing.assert_allclose(got.spacing, expected.spacing)
    order = [expected.axes.index(axis) for axis in axes]
    np.testing.assert_allclose(got.asarray(), expected.asarray().transpose(order), atol=1e-5)
    if whole.table is not None:
        assert list(found.table) == list(whole.table)
        for name, column in whole.table.items():
            np.testing.assert_allclose(found.table[name], column, rtol=1e-9, err_msg=name)
    assert not RunFolder.beside(tmp_path / "o.zarr").path.exists()
    return found


HIGH = {"value": 3300.0, "high": 3450.0}
THRESHOLDS = [
    ("yx", {"result": "objects", "split": True, "sigma": 1.5, "fill_holes": True, "min_size": 9}),
    ("yx", {"result": "objects", "method": "hysteresis", "clear_border": True, **HIGH}),
    ("yx", {"result": "objects", "method": "manual", "value": 2900.0, "objects": "dark"}),
    ("yx", {"result": "objects", "fill_holes": True, "clear_border": True, "min_size": 30}),
    ("yx", {"split": True}),
    ("yx", {"method": "multiotsu", "fill_holes": True}),
    ("yx", {"method": "gaussian", "offset": 50.0}),
    ("yx", {"method": "sauvola", "k": -0.2, "sigma": 1.0}),
    ("zyx", {"result": "objects", "per": "stack", "split": True, "min_size": 5}),
    ("zyx", {"result": "objects", "per": "plane"}),
    ("tyx", {"result": "objects", "link": "time", "link_by": "overlap", "link_iou": 0.05}),
    ("tyx", {"result": "objects", "link": "time"}),
    ("zyx", {"result": "objects", "per": "plane", "link": "planes"}),
]
SHAPES = {"yx": (150, 203), "zyx": (11, 70, 83), "tyx": (3, 100, 90)}


@pytest.mark.parametrize(("axes", "options"), THRESHOLDS)
def test_thresholds(axes, options, written, tmp_path) -> None:
    if options.get("link") == "time" and "link_by" not in options:
        pytest.importorskip("laptrack")
    sigma = [{"t": 0.3, "z": 1.0}.get(axis, 3.0) for axis in axes]
    data = noise(SHAPES[axes], 3, sigma)
    image = written(Image.of(data, axes, spacing=(0.5,) * axes.count("z") + (0.25, 0.25)))
    step = ThresholdStep(**options)
    measurement = None
    if step.result == "objects":
        measurement = MeasurementStep(hull=axes != "zyx", median=True)
    recipe = Recipe(threshold=step, measurement=measurement)
    found = compare(recipe, image, tmp_path, memory=LITTLE)
    assert found.image.data.numblocks[-1] > 1
    if step.result == "objects":
        assert found.n_objects == len(np.unique(found.image.asarray())) - 1 > 2


def test_a_background_is_taken_out_on_the_way(written, tmp_path) -> None:
    image = written(samples.nuclei((300, 333), seed=2).as_image())
    recipe = Recipe(
        background=BackgroundOptions(terms="quadratic", mode="divide"),
        threshold=ThresholdStep(result="objects", split=True, sigma=1.0),
        measurement=MeasurementStep(intensities="flattened", skeleton=True),
    )
    found = compare(recipe, image, tmp_path, memory=LITTLE)
    group = zarr.open_group(tmp_path / "o.zarr", mode="r")
    np.testing.assert_array_equal(group["s1"][:], found.image.asarray()[::2, ::2])
    assert "image-label" in group.attrs
    compare(Recipe(background=BackgroundOptions(terms="plane")), image, tmp_path, memory=LITTLE)


def test_one_channel_is_segmented_and_all_are_measured(written, tmp_path) -> None:
    both = np.stack([noise((120, 130), seed, 3.0) for seed in (0, 1)])
    image = written(Image.of(both, "CYX", channel_names=("a", "b")))
    recipe = Recipe(
        image=ImageStep(channel="b"),
        threshold=ThresholdStep(result="objects"),
        measurement=MeasurementStep(),
    )
    found = compare(recipe, image, tmp_path, memory=LITTLE)
    assert {"mean_a", "mean_b"} <= set(found.table)
    everything = recipe.model_copy(update={"image": ImageStep()})
    with pytest.raises(InputError, match="Name the channel"):
        compare(everything, image, tmp_path)


@pytest.mark.parametrize(
    ("what", "size"),
    [("objects", {"diameter": 6.0}), ("objects", {}), ("classes", {}), ("probabilities", {})],
)
def test_models(what, size, make_model, written, tmp_path) -> None:
    objects = {"values": (0, 1), "labels_are": "objects", "decoder": DecoderSpec()}
    model = make_model("unet", diameter=9.0, **objects)
    save(model, tmp_path / "m.zip")
    image = written(Image.of(noise((180, 150), 5, 3.0)))
    step = model_step(tmp_path / "m.zip", tmp_path, PredictOptions(what=what, **size))
    measurement = MeasurementStep() if what == "objects" else None
    recipe = Recipe(
        background=BackgroundOptions(terms="plane"), model=step, measurement=measurement
    )
    compare(recipe, image, tmp_path, model=model, memory=LITTLE)


@pytest.mark.parametrize("size", [{"diameter": 14.0}, {"auto_diameter": True}])
def test_models_that_see_another_size(size, make_model, written, tmp_path, monkeypatch) -> None:
    # No scale is the most plausible to a random model.
    monkeypatch.setattr(prediction, "plausible_zoom", lambda *_, **__: (0.7, 0.7))
    known = {"labels_are": "objects", "decoder": DecoderSpec(), "diameter": 20.0}
    model = make_model("unet", values=(0, 1), **known)
    save(model, tmp_path / "m.zip")
    image = written(Image.of(noise((180, 150), 5, 3.0)))
    step = model_step(tmp_path / "m.zip", tmp_path, PredictOptions(what="objects", **size))
    found = compare(Recipe(model=step), image, tmp_path, model=model, memory=LITTLE)
    as_it_is = predict(model, image, PredictOptions(what="objects")).asarray()
    assert not np.array_equal(found.image.asarray(), as_it_is)


def test_nothing_found_is_a_table_without_rows(written, tmp_path) -> None:
    image = written(Image.of(noise((100, 90), 5, 3.0)))
    step = ThresholdStep(result="objects", values=(60000.0,))
    recipe = Recipe(threshold=step, measurement=MeasurementStep(median=True))
    found = compare(recipe, image, tmp_path, memory=LITTLE)
    assert found.n_objects == len(found.table["label"]) == 0


def test_an_open_image_and_a_coarser_level(written, tmp_path) -> None:
    image = written(Image.of(noise((600, 560), 5, 6.0)))
    recipe = Recipe(threshold=ThresholdStep(result="objects"))
    coarse = RunSource(str(tmp_path / "image.zarr"), level=1)
    found = stream(recipe, coarse, tmp_path / "o.zarr", memory=LITTLE)
    assert found.image.shape == (300, 280)
    held = image.with_data(image.asarray())
    again = stream(recipe, held, tmp_path / "b.zarr", memory=LITTLE)
    assert again.image.shape == (600, 560)


class Short(LocalRunner):
    """Has no memory for large blocks, or ends after so many."""

    def __init__(self, largest=10**9, ends_after=10**9):
        super().__init__()
        self.largest, self.ends_after, self.tasks = largest, ends_after, []

    def run(self, work, stage, tasks):
        for number, given in tasks:
            if np.prod(work.sides) > self.largest and stage == "objects":
                raise MemoryError
            if len(self.tasks) == self.ends_after:
                raise Cancelled
            self.tasks.append((stage, number))
            yield number, work.do(stage, number, given)


def test_blocks_are_halved_where_memory_runs_out(written, tmp_path) -> None:
    image = written(Image.of(noise((300, 280), 5, 4.0)))
    recipe = Recipe(threshold=ThresholdStep(result="objects"), measurement=MeasurementStep())
    runner = Short(largest=64 * 64)
    compare(recipe, image, tmp_path, memory=0.01, runner=runner)
    assert len({number for stage, number in runner.tasks if stage == "objects"}) == 25
    with pytest.raises(InputError, match="Even a block of 64 x 64"):
        stream(recipe, image, tmp_path / "o.zarr", runner=Short(largest=1))


RECIPE = Recipe(
    background=BackgroundOptions(terms="plane"),
    threshold=ThresholdStep(result="objects", split=True, fill_holes=True),
    measurement=MeasurementStep(),
)


def test_after_any_end_the_run_goes_on_where_it_was(written, tmp_path) -> None:
    written(Image.of(noise((140, 150), 5, 3.0)))
    source = RunSource(str(tmp_path / "image.zarr"))
    everything = Short()
    whole = stream(RECIPE, source, tmp_path / "a.zarr", memory=LITTLE, runner=everything)
    total = len(everything.tasks)
    for ends_after in (5, total // 2, total - 1):
        first, second = Short(ends_after=ends_after), Short()
        with pytest.raises(Cancelled):
            stream(RECIPE, source, tmp_path / "b.zarr", memory=LITTLE, runner=first)
        found = stream(RECIPE, source, tmp_path / "b.zarr", resume=True, runner=second)
        assert not set(first.tasks) & set(second.tasks)
        assert len(first.tasks) + len(second.tasks) == total
        np.testing.assert_array_equal(found.image.asarray(), whole.image.asarray())
        for name, column in whole.table.items():
            np.testing.assert_array_equal(found.table[name], column)


def test_another_run_is_not_gone_on_with(written, tmp_path) -> None:
    image = written(Image.of(noise((140, 150), 5, 3.0)))
    source, out = RunSource(str(tmp_path / "image.zarr")), tmp_path / "b.zarr"
    with pytest.raises(Cancelled):
        stream(RECIPE, source, out, memory=LITTLE, runner=Short(ends_after=3))
    other = RECIPE.model_copy(update={"background": None})
    with pytest.raises(InputError, match=r"used another recipe. Run without resume"):
        stream(other, source, out, resume=True)
    write_image(tmp_path / "image.zarr", image.with_data(image.asarray() + 1))
    with pytest.raises(InputError, match=r"used another image. Run without resume"):
        stream(RECIPE, source, out, resume=True)
    stream(RECIPE, source, out)  # begins again
    assert not RunFolder.beside(out).path.exists()


def test_what_cannot_be_done_is_said_first(written, tmp_path) -> None:
    image = written(Image.of(noise((90, 90), 5, 3.0)))
    with pytest.raises(InputError, match=r"ends in \.zarr"):
        stream(RECIPE, image, tmp_path / "a.tif")
    classes = Recipe(threshold=ThresholdStep(), measurement=MeasurementStep())
    with pytest.raises(InputError, match="Only objects can be measured block by block"):
        stream(classes, image, tmp_path / "a.zarr")


@pytest.mark.parametrize("memory", [1e3, 1e7, 1e8, 1e9, 1e12])
@pytest.mark.parametrize(
    ("shape", "multiple"),
    [((20000, 20000), (1, 1)), ((100, 30000), (16, 16)), ((300, 900, 900), (1, 8, 8))],
)
def test_blocks_fit_the_memory_and_are_made_of_whole_chunks(memory, shape, multiple) -> None:
    sides = sides_for(shape, memory, 150.0, multiple)
    while sides is not None:
        chunks = chunk_of(sides)
        assert all(side % chunk == 0 for side, chunk in zip(sides, chunks, strict=True))
        assert all(side % by == 0 for side, by in zip(sides, multiple, strict=True))
        smallest = halve_sides(sides, multiple) is None
        assert smallest or memory < 1e7 or np.prod(sides) * 150 <= memory
        sides = halve_sides(sides, multiple)
