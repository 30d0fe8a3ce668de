"""Synthetic micrographs with exact truth, for tests, demos and first steps.

Six scenes, each drawn from a seed: `neurons` in phase contrast, fluorescent `nuclei` in two or
three dimensions, `moving_nuclei` that divide, `cells` with nuclei and cytoplasm in two channels, a
tissue of cells with bright `membranes`, and a `tissue` of two textures. Each gives a `Sample`: the
image as recorded by a camera, the true classes and objects, and the true background.

`micrograph` draws many kinds of shapes and appearances, chosen independently, to train networks on
micrographs in general.

Examples
--------
>>> from napari_unetseg.core.samples import neurons
>>> sample = neurons((128, 160), seed=3)
>>> sample.image.shape, sample.image.dtype.name, sample.class_names
((128, 160), 'uint16', ('neuron',))
"""

from napari_unetseg.core.samples.cell_membranes import membranes
from napari_unetseg.core.samples.fluorescent_nuclei import nuclei
from napari_unetseg.core.samples.mixed_micrographs import micrograph
from napari_unetseg.core.samples.moving_nuclei import moving_nuclei
from napari_unetseg.core.samples.phase_neurons import neurons
from napari_unetseg.core.samples.scene import Sample
from napari_unetseg.core.samples.stained_tissue import tissue
from napari_unetseg.core.samples.two_channel_cells import cells

__all__ = [
    "Sample",
    "cells",
    "membranes",
    "micrograph",
    "moving_nuclei",
    "neurons",
    "nuclei",
    "tissue",
]
