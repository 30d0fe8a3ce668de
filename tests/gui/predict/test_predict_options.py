"""Options of a prediction: declared once, the same in the dock, the commands and recipes."""

import pytest

from napari_unetseg.cli.predict_command import PredictFlags
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.objects.decode import DecodeOptions
from napari_unetseg.core.recipe import ModelStep
from napari_unetseg.gui.predict.predict_run import PredictDockOptions

SURFACES = {
    PredictDockOptions: {"extent"},
    PredictFlags: set(DecodeOptions.model_fields),
    ModelStep: {"file", "sha256"},
}


@pytest.mark.parametrize("surface", SURFACES)
def test_every_surface_has_the_same_fields_and_defaults(surface):
    own = SURFACES[surface]
    assert set(surface.model_fields) == set(PredictOptions.model_fields) | own
    assert own.isdisjoint(PredictOptions.model_fields)
    for name, field in PredictOptions.model_fields.items():
        there = surface.model_fields[name]
        assert there.default == field.default
        assert there.title == field.title
        assert there.metadata == field.metadata
        assert there.description.startswith(field.description)


def test_the_extent_does_not_change_the_output_of_the_network():
    assert PredictOptions().computes_as(PredictDockOptions(extent="visible plane", what="both"))
