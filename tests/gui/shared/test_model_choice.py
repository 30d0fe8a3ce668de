"""The box of models offers those that fit the picked image."""

from types import SimpleNamespace

import numpy as np
from napari.layers import Image as ImageLayer

from napari_unetseg.gui.shared.layers import choose_axes
from napari_unetseg.gui.shared.model_choice import ModelChoice


def test_models_of_stacks_are_offered_for_stacks_alone(qtbot):
    box = ModelChoice()
    qtbot.addWidget(box)
    models = [SimpleNamespace(name=f"{n}D", ndim=n) for n in (2, 3)]
    box.fit_to(ImageLayer(np.zeros((5, 6))))
    box.fill(models, ships=())
    assert [box.model().item(row).isEnabled() for row in (0, 1)] == [True, False]
    assert "no Z axis" in box.model().item(1).toolTip()
    stack = ImageLayer(np.zeros((4, 5, 6)))
    box.fit_to(stack)
    assert box.model().item(1).isEnabled()
    assert box.model().item(1).toolTip() == ""
    choose_axes(stack, "TYX")
    box.fit_to(stack)
    assert not box.model().item(1).isEnabled()
