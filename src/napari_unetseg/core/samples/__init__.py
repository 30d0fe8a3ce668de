"""Synthetic micrographs with exact truth: what every test, demo and first try can lean on.

Four scenes, each drawn from a seed: `neurons` in phase contrast, fluorescent `nuclei` in two or
three dimensions, a tissue of cells with bright `membranes`, and a `tissue` of two textures. Each
gives a `Sample`: the image a camera would record, the classes and the objects that were drawn,
and the background that was under them.

`micrograph` draws any of many kinds, shapes and looks independent of each other, for what a network
is to learn of micrographs in general.

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
from napari_unetseg.core.samples.phase_neurons import neurons
from napari_unetseg.core.samples.scene import Sample
from napari_unetseg.core.samples.stained_tissue import tissue

__all__ = ["Sample", "membranes", "micrograph", "neurons", "nuclei", "tissue"]
