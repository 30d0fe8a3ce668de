"""Options of a prediction: what suits a model, and which change the output of the network."""

import pytest

from napari_unetseg.core.inference.predict_options import (
    PredictOptions,
    decoding_at_scale,
    settle_decoding,
    settle_what,
)
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.objects.decoders import DecoderSpec


@pytest.mark.parametrize("learnt", [True, False])
def test_the_result_suits_the_model_unless_one_is_chosen(make_model, learnt):
    known = {"decoder": DecoderSpec(), "labels_are": "objects"} if learnt else {}
    model = make_model("unet", values=(0, 1), **{"labels_are": "mask", **known})
    suits = "objects" if learnt else "classes"
    assert settle_what(PredictOptions(), model).what == suits
    assert settle_what(PredictOptions(), model, DecodeOptions()).what == suits
    assert settle_what(PredictOptions(), model, DecodeOptions(min_size=0)).what == "objects"
    for what in ("objects", "classes", "probabilities"):
        assert settle_what(PredictOptions(what=what), model).what == what


def test_decoding_options_that_are_not_set_suit_the_model(make_model):
    known = {"decoder": DecoderSpec(decoding="boundary"), "labels_are": "objects"}
    model = make_model("unet", values=(0, 1), **known)
    assert settle_decoding(model) == model.decoding
    found = settle_decoding(model, DecodeOptions(min_size=7))
    assert (found.min_size, found.split_depth) == (7, model.decoding.split_depth)
    said = DecodeOptions(split_depth=0.7)
    assert settle_decoding(model, said).split_depth == 0.7


def test_a_smallest_size_as_trained_is_in_the_pixels_the_model_is_shown(make_model):
    known = {"decoder": DecoderSpec(), "labels_are": "objects"}
    model = make_model("unet", values=(0, 1), **known, decoding=DecodeOptions(min_size=40))
    assert settle_decoding(model).min_size == 0
    sizes = [decoding_at_scale(model.zoomed(z)).min_size for z in ((), (2.0, 2.0), (0.5, 0.5))]
    assert sizes == [40, 10, 160]
    assert decoding_at_scale(model.zoomed((2.0, 2.0)), DecodeOptions(min_size=7)).min_size == 7
    assert decoding_at_scale(model, DecodeOptions(min_size=0)).min_size == 40


def test_options_compute_the_same_whatever_is_made_of_it():
    plain = PredictOptions()
    assert plain.computes_as(PredictOptions(what="probabilities"))
    for name, value in {"flips": True, "tile": 64, "diameter": 9.0, "device": "cpu"}.items():
        assert not plain.computes_as(PredictOptions(**{name: value}))
