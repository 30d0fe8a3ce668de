"""napari's sample data: layers that napari can show, from an installed package and no network."""

import socket
import subprocess
import sys

import numpy as np
import pytest

from napari_unetseg.core.errors import InputError
from napari_unetseg.gui.workbench import sample_data

SYNTHETIC = [
    sample_data.neurons_layers,
    sample_data.nuclei_layers,
    sample_data.nuclei_3d_layers,
    sample_data.moving_nuclei_layers,
    sample_data.membranes_layers,
    sample_data.membranes_3d_layers,
    sample_data.tissue_layers,
    sample_data.tissue_two_stains_layers,
]
REAL = [
    sample_data.cell_layers,
    sample_data.coins_layers,
    sample_data.ihc_layers,
    sample_data.microaneurysms_layers,
]


@pytest.mark.parametrize("open_sample", SYNTHETIC, ids=lambda f: f.__name__)
def test_a_synthetic_sample_shows_the_image_and_hides_the_truth(open_sample):
    from napari.components import ViewerModel
    from napari.layers import Layer

    viewer = ViewerModel()
    for data in open_sample():
        viewer.add_layer(Layer.create(*data))
    image = viewer.layers[-1]
    assert [layer.visible for layer in viewer.layers] == [False, False, False, True]
    assert viewer.layers.selection.active is image, "the tools act on the image"
    assert [type(layer).__name__ for layer in viewer.layers] == [
        "Image",
        "Labels",
        "Labels",
        "Image",
    ]
    assert [layer.metadata.get("truth", False) for layer in viewer.layers] == [True] * 3 + [False]
    for layer in viewer.layers:
        assert f"{layer.units[-1]}" == "micrometer"
        assert np.allclose(layer.scale, image.scale[-layer.ndim :])
        assert np.allclose(layer.extent.world[:, -2:], image.extent.world[:, -2:])


@pytest.mark.parametrize(
    "open_sample", [sample_data.cells_layers, sample_data.cells_3d_layers], ids=lambda f: f.__name__
)
def test_a_sample_of_two_channels_has_a_layer_for_each(open_sample):
    from napari.components import ViewerModel
    from napari.layers import Layer

    viewer = ViewerModel()
    for data in open_sample():
        viewer.add_layer(Layer.create(*data))
    assert [layer.name for layer in viewer.layers] == [
        "true cells",
        "true nuclei",
        "cytoplasm",
        "nuclei",
    ]
    assert [layer.visible for layer in viewer.layers] == [False, False, True, True]
    assert len({layer.data.shape for layer in viewer.layers}) == 1
    assert len({tuple(layer.scale) for layer in viewer.layers}) == 1


def test_another_seed_is_another_picture():
    assert not np.array_equal(
        sample_data.nuclei_layers()[-1][0], sample_data.nuclei_layers(seed=1)[-1][0]
    )


@pytest.mark.parametrize("open_sample", REAL, ids=lambda f: f.__name__)
def test_a_real_sample_needs_no_network(open_sample, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a sample went to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    ((data, look, kind),) = open_sample()
    assert kind == "image"
    assert data.dtype == np.uint8
    assert data.ndim == (3 if look["rgb"] else 2)
    assert np.ptp(data) > 50


def test_a_missing_file_is_said_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(sample_data.resources, "files", lambda _package: tmp_path)
    with pytest.raises(InputError, match=r"no data/coins\.png"):
        sample_data.coins_layers()


def test_sample_data_imports_neither_napari_nor_qt():
    code = (
        "import sys, napari_unetseg.gui.workbench.sample_data\n"
        "heavy = {'napari', 'qtpy', 'PyQt6', 'PySide6', 'torch', 'numba', 'dask'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
