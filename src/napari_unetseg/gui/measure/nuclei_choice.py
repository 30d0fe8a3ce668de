"""The choice of nuclei in the Measure dock: their layer, and how their cells are found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.measure import (
    MeasureOptions,
    Table,
    copy_calibration,
    find_positions,
    is_flat,
    measure_cells,
    scale_notes,
)
from napari_unetseg.core.objects.compartments import CellOptions, Compartments, find_compartments
from napari_unetseg.core.objects.lineage import lineage_of
from napari_unetseg.core.progress import part
from napari_unetseg.gui.shared.form import Form
from napari_unetseg.gui.shared.layer_choice import LayerChoice
from napari_unetseg.gui.shared.layers import LayerList, image_of, is_input
from napari_unetseg.gui.shared.session import Session
from napari_unetseg.gui.shared.task import Reporter

PAIRED = {"cells": "paired cells", "nuclei": "paired nuclei", "cytoplasm": "cytoplasm"}
"""Roles of the layers that pairing makes, by compartment."""

_OF_CELLS = "the cells"


@dataclass(frozen=True, eq=False)
class PairedLayers:
    """The inputs of a pairing.

    Parameters
    ----------
    nuclei, cells
        The labels; without cells these are grown from the nuclei.
    image
        Channel to follow boundaries in.
    options
        How cells are found.
    """

    nuclei: Labels
    cells: Labels | None
    image: Layer | None
    options: CellOptions

    @property
    def labels(self) -> tuple[Labels, ...]:
        """The Labels layers."""
        return (self.nuclei,) if self.cells is None else (self.cells, self.nuclei)

    def measurement(
        self, images: dict[str, Image], options: MeasureOptions
    ) -> Callable[[Reporter], tuple[Compartments, Table, tuple[Any, Any, Any], tuple[str, ...]]]:
        """Return the function that pairs and measures copies of the labels, for a thread."""
        nuclei = _copied(self.nuclei)
        cells = None if self.cells is None else _copied(self.cells)
        image = None if self.image is None else image_of(self.image)

        def run(
            progress: Reporter,
        ) -> tuple[Compartments, Table, tuple[Any, Any, Any], tuple[str, ...]]:
            others = images if cells is None else images | {_OF_CELLS: cells}
            seeds = copy_calibration(nuclei, others.values())
            found = find_compartments(
                seeds, cells, self.options, image=image, progress=part(progress, 0, 0.3)
            )
            rest = part(progress, 0.3, 1)
            table = measure_cells(found, images or None, options, progress=rest)
            notes = scale_notes(found.cells, others, flat=is_flat(found.cells, options))
            return found, table, find_positions(table, found.cells), tuple(notes)

        return run

    def show(self, session: Session, layers: LayerList, found: Compartments) -> tuple[Labels, str]:
        """Write the compartments into layers; return that of the cells, and a remark."""
        shown, remarks = {}, []
        for name, role in PAIRED.items():
            there = set(layers)
            shown[name], remark = session.show_labels(
                layers,
                self.nuclei,
                role,
                np.asarray(getattr(found, name).data),
                name=f"{self.nuclei.name}: {name}",
                options=self.options.model_dump(),
                objects=True,
                lineage=lineage_of(found.cells) if name == "cells" else None,
            )
            remarks.append(remark)
            if name == "cytoplasm" and shown[name] not in there:
                shown[name].visible = False
        return shown["cells"], " ".join(filter(None, remarks))


class NucleiChoice(QWidget):
    """The options for finding the cells of nuclei, shown once a layer of nuclei is chosen.

    Parameters
    ----------
    viewer
        The napari viewer.
    accepts
        Whether a layer can be the nuclei.
    """

    def __init__(self, viewer: Any, accepts: Callable[[Layer], bool]) -> None:
        super().__init__()
        self.layer = LayerChoice(
            viewer, accepts, follow=lambda layer: False, nothing="None: labels alone", images=True
        )
        self.layer.setObjectName("nuclei")
        self.layer.setWhatsThis(
            "Labels of nuclei to pair with the cells: nucleus, cytoplasm and cell are measured, "
            "with a row for each cell."
        )
        self.image = LayerChoice(viewer, _is_image)
        self.image.setToolTip("The channel in which bright or dark boundaries are followed.")
        self.form: Form[CellOptions] = Form(CellOptions())
        self._line = QWidget()
        line = QFormLayout(self._line)
        line.setContentsMargins(0, 0, 0, 0)
        line.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        line.addRow("Boundaries in", self.image)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.form.page)
        column.addWidget(self._line)
        self.layer.picked.connect(self.arrange)
        self.form.changed.connect(self.arrange)
        self.arrange()

    def chosen(self, labels: Layer) -> PairedLayers | None:
        """Return the inputs of a pairing with the picked labels; None without nuclei.

        Raises
        ------
        InputError
            When the labels are the nuclei themselves, or there is no image to follow.
        """
        nuclei = self.layer.layer()
        if not isinstance(nuclei, Labels) or not isinstance(labels, Labels):
            return None
        options = self.form.options
        grows = options.method == "grow"
        if labels is nuclei and not grows:
            raise InputError(
                f"{nuclei.name!r} is chosen as the nuclei and as the labels of the cells. Choose "
                "other labels for the cells, or let the nuclei grow."
            )
        image = self.image.layer() if _follows(options) else None
        return PairedLayers(nuclei, None if grows else labels, image, options)

    def arrange(self, _: object = None) -> None:
        """Show what matters with the chosen nuclei and options."""
        self.setVisible(self.layer.layer() is not None)
        self._line.setVisible(_follows(self.form.options))

    def close_events(self) -> None:
        """Stop listening to the viewer."""
        self.layer.close_events()
        self.image.close_events()


def _follows(options: CellOptions) -> bool:
    return options.method == "mask" and options.boundary != "middle"


def _copied(layer: Labels) -> Image:
    labels = image_of(layer)
    return labels if labels.lazy else labels.with_data(np.array(labels.data))


def _is_image(layer: Layer) -> bool:
    return isinstance(layer, ImageLayer) and is_input(layer)


__all__ = ["PAIRED", "NucleiChoice", "PairedLayers"]
