"""Which of the shipped models fits an image: one does, none does, and what is tried of it."""

from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import pytest

import napari_unetseg as seg
from napari_unetseg.cli import main
from napari_unetseg.core import samples
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.object_size import median_diameter
from napari_unetseg.core.inference.plausibility import (
    agreement_of_maps,
    plausible_zoom,
    stable_share,
    try_model,
)
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.io import read_labels, write_image
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io import compare_shipped as module
from napari_unetseg.core.models_io import shipped_models as shipped
from napari_unetseg.core.models_io.compare_shipped import (
    choose_shipped,
    compare_shipped,
)
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.progress import Cancelled
from napari_unetseg.core.samples.mixed_micrographs import micrograph
from napari_unetseg.core.scoring.object_scores import object_scores
from napari_unetseg.core.scoring.overlap import overlap_of

Make = Callable[..., TrainedModel]
NUCLEI = samples.nuclei((160, 176), seed=1)
TWO = ("nuclei", "phase_cells")


def noise(*shape: int) -> Image:
    return Image.of(np.random.default_rng(0).normal(size=shape).astype(np.float32))


# Of the models that ship


def test_drawn_nuclei_are_for_the_model_of_nuclei() -> None:
    compared = compare_shipped(NUCLEI.as_image())
    assert compared.best is not None
    assert compared.best.model.name == "nuclei"
    scores = [one.plausibility for one in compared.trials]
    assert scores == sorted(scores, reverse=True)
    assert compared.reason.startswith("nuclei fits best: plausibility 0.")
    assert seg.evaluate(compared.best.labels, NUCLEI.objects).f1 > 0.8
    for trial in compared.trials:
        assert 0 <= trial.agreement <= 1
        assert 0 <= trial.familiarity <= 1


def test_the_general_model_comes_first_only_where_no_other_fits() -> None:
    hollow = micrograph((192, 192), seed=200_001, shape="blobs", look="hollow")
    small = hollow.image[::2, ::2]
    for image, truth in [(hollow.image, hollow.objects), (small, hollow.objects[::2, ::2])]:
        compared = compare_shipped(Image.of(image))
        assert compared.best is not None
        assert compared.best.model is shipped.open_shipped("general")
        assert compared.best.labels.shape == image.shape
        assert object_scores(overlap_of(compared.best.labels, truth)).ap50 > 0.5
        assert compared.reason.startswith("general, the model of many kinds, fits: plausibility 0.")
        assert "no model of one kind" in compared.reason
    nuclei = compare_shipped(NUCLEI.as_image())
    names = [one.model.name for one in nuclei.trials]
    general = nuclei.trials[names.index("general")]
    assert all(not one.fits for one in nuclei.trials[names.index("general") + 1 :])
    assert general.fits, "it knows nuclei, too"


def test_the_scale_of_a_model_of_one_diameter_is_found_unless_another_is_set() -> None:
    larger = np.kron(NUCLEI.image, np.ones((3, 3), NUCLEI.image.dtype))
    truth = np.kron(NUCLEI.objects, np.ones((3, 3), np.int32))
    by_itself = seg.predict(larger, "general")
    assert seg.evaluate(by_itself, truth).f1 > 0.8
    as_it_is = seg.predict(larger, "general", auto_diameter=False)
    assert seg.evaluate(as_it_is, truth).f1 < 0.5
    assert np.array_equal(by_itself, seg.predict(larger, "general", auto_diameter=True))


@pytest.mark.parametrize(
    "image",
    [noise(96, 96), Image.of(np.zeros((40, 50), np.uint8)), noise(3, 5)],
    ids=["noise", "flat", "tiny"],
)
def test_where_nothing_fits_it_says_what_to_do(image: Image) -> None:
    compared = compare_shipped(image)
    assert compared.best is None
    assert "strokes" in compared.reason
    with pytest.raises(InputError, match="Train"):
        choose_shipped(image)


@pytest.mark.parametrize("kind", ["stack", "series", "lazy", "colours"])
def test_a_plane_is_tried_of_every_kind_of_image(kind: str) -> None:
    plane = NUCLEI.image
    image = {
        "stack": Image.of(np.stack([plane] * 3), "ZYX"),
        "series": Image.of(np.stack([plane] * 3), "TYX"),
        "lazy": Image.of(da.from_array(np.stack([plane] * 3), chunks=(1, 80, 80)), "ZYX"),
        "colours": Image.of(np.stack([plane] * 3, -1), "YXC", rgb=True),
    }[kind]
    compared = compare_shipped(image, shipped=["nuclei"])
    assert compared.best is not None
    assert compared.best.labels.shape == plane.shape
    assert compared.part.rgb == (kind == "colours")


def test_a_zoomed_model_is_judged_on_what_it_sees() -> None:
    twice = Image.of(np.kron(NUCLEI.image, np.ones((2, 2), NUCLEI.image.dtype)))
    model = shipped.open_shipped("nuclei")
    as_it_is = try_model(model, NUCLEI.as_image())
    zoomed = try_model(model.zoomed((0.5, 0.5)), twice)
    assert zoomed.familiarity == pytest.approx(as_it_is.familiarity, abs=0.1)
    assert zoomed.fits


def test_the_scale_at_which_objects_are_as_learnt_is_found() -> None:
    model = shipped.open_shipped("nuclei")
    usual = median_diameter([NUCLEI.objects.astype(np.int32)])
    zoom = plausible_zoom(model, Image.of(np.kron(NUCLEI.image, np.ones((2, 2), np.uint16))))
    assert zoom[0] == pytest.approx(model.diameter / (2 * usual), rel=0.25)


def test_an_image_that_is_plausible_as_it_is_is_not_enlarged() -> None:
    model = shipped.open_shipped("nuclei")
    assert median_diameter([NUCLEI.objects.astype(np.int32)]) < 0.9 * model.diameter
    assert plausible_zoom(model, NUCLEI.as_image()) == ()


def test_larger_objects_are_found_at_the_smallest_change_that_is_enough() -> None:
    larger = np.kron(NUCLEI.image, np.ones((6, 6), NUCLEI.image.dtype))
    truth = np.kron(NUCLEI.objects, np.ones((6, 6), np.int32))
    model = shipped.open_shipped("nuclei")
    zoom = plausible_zoom(model, Image.of(larger))
    assert zoom[0] == pytest.approx(0.5, rel=0.35)
    objects = PredictOptions(what="objects")
    found = predict(model.zoomed(zoom), Image.of(larger), objects).asarray()
    assert object_scores(overlap_of(found, truth)).f1 > 0.9


def test_one_object_is_less_of_a_sign_than_many_like_it() -> None:
    y, x = np.mgrid[:64, :64] - 31.5
    one = np.exp(-(((y**2 + x**2) / 14**2) ** 3)).astype(np.float32)
    model = shipped.open_shipped("nuclei")
    alone = try_model(model, Image.of(one))
    many = try_model(model, Image.of(np.tile(one, (4, 4))))
    assert (alone.found, many.found) == ("1 object", "16 objects")
    assert many.agreement > 0.9
    assert alone.agreement < 0.7


def test_a_model_of_colours_is_given_colours(make_model: Callable[..., TrainedModel]) -> None:
    model = make_model("unet", n_channels=3, rgb=True)
    colours = Image.of(np.stack([NUCLEI.image] * 3, -1), "YXC", rgb=True)
    trial = try_model(model, colours)
    assert trial.labels.shape == NUCLEI.image.shape
    with pytest.raises(InputError, match="channel"):
        try_model(model, NUCLEI.as_image())


def test_a_large_image_is_tried_in_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRIED_SIDE", 64)
    compared = compare_shipped(NUCLEI.as_image(), shipped=["nuclei"])
    assert compared.part.shape == (64, 64)
    assert np.array_equal(compared.part.asarray(), NUCLEI.image[48:112, 56:120])


def test_channels_that_no_model_takes_are_refused() -> None:
    image = Image.of(np.stack([NUCLEI.image] * 2), "CYX")
    with pytest.raises(InputError, match="2 channel"):
        compare_shipped(image, shipped=TWO)


def test_it_can_be_cancelled_between_and_within_models() -> None:
    seen: list[str] = []

    def progress(fraction: float, message: str = "", /) -> None:
        seen.append(message)
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        compare_shipped(NUCLEI.as_image(), shipped=TWO, progress=progress)
    assert "trying nuclei" in seen


# By name, where a model is asked for


def test_auto_predicts_as_the_model_that_it_chooses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    enlarged = Image.of(np.kron(NUCLEI.image[:96, :96], np.ones((2, 2))).astype(np.float32))
    write_image("cells.tif", enlarged)
    assert main(["predict", "auto", "cells.tif", "-o", "ids.tif"]) == 0
    told = capsys.readouterr()
    assert "cells.tif: nuclei fits best: plausibility 0." in told.err
    assert "the image was scaled by 0." in told.out
    found = seg.predict(enlarged, "nuclei", auto_diameter=True).asarray()
    as_it_is = seg.predict(enlarged, "nuclei").asarray()
    assert not np.array_equal(found, as_it_is)
    assert np.array_equal(read_labels("ids.tif").asarray(), found)
    assert np.array_equal(seg.predict(enlarged, "auto").asarray(), found)
    assert np.array_equal(seg.predict(enlarged, "auto", auto_diameter=False).asarray(), as_it_is)


def test_auto_writes_nothing_where_nothing_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image("noise.tif", noise(48, 48))
    assert main(["predict", "auto", "noise.tif", "-o", "ids.tif"]) == 2
    assert "strokes" in capsys.readouterr().err
    assert not Path("ids.tif").exists()


# The two signs


@pytest.mark.parametrize("decoding", ["distance", "boundary"])
def test_maps_of_the_objects_themselves_agree_and_others_do_not(decoding: str) -> None:
    decoder = DecoderSpec(decoding=decoding)  # type: ignore[arg-type]
    labels = NUCLEI.objects.astype(np.int32)
    maps = decoder.decoder.targets(labels)
    assert agreement_of_maps(maps, labels, decoder) > 0.999
    shuffled = np.random.default_rng(0).permuted(maps, axis=1)
    assert agreement_of_maps(shuffled, labels, decoder) < 0.3
    assert agreement_of_maps(maps, np.zeros_like(labels), decoder) == 0
    assert agreement_of_maps(np.ones_like(maps), labels, decoder) == 0


def test_a_foreground_is_stable_if_it_is_certain() -> None:
    certain = np.array([[0.0, 0.1, 0.9, 1.0]], np.float32)
    assert stable_share(certain) == 1
    assert stable_share(certain / 2) == 0
    assert stable_share(np.zeros((2, 2), np.float32)) == 0
