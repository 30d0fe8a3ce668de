"""`fill`: painted planes become the objects of a stack, on the command line."""

import numpy as np
import pytest

from napari_unetseg.cli import main
from napari_unetseg.core import samples
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import read_labels, write_image, write_labels

pytest.importorskip("torch", reason="the networks need PyTorch")


def test_painted_planes_are_filled_and_wrong_planes_refused(tmp_path, capsys):
    sample = samples.nuclei((8, 64, 64), seed=2, touching=0.2, density=1.5)
    how = {"spacing": sample.spacing, "unit": "µm"}
    image, painted, out = (tmp_path / name for name in ("i.tif", "p.tif", "o.tif"))
    write_image(image, Image.of(sample.image, "ZYX", **how))
    ids = np.zeros_like(sample.objects)
    ids[[2, 5]] = sample.objects[[2, 5]]
    write_labels(painted, Image.of(ids, "ZYX", **how))
    words = ["fill", str(image), str(painted), "-o", str(out), "--minutes", "0.02"]
    assert main([*words, "--planes", "5"]) == 0
    assert "objects from 1 plane" in capsys.readouterr().out
    made = read_labels(out)
    np.testing.assert_array_equal(made.asarray()[5], ids[5])
    assert made.spacing == pytest.approx(sample.spacing)
    for planes, sentence in (("8", "There is no plane 8"), ("a", "give the numbers of planes")):
        assert main([*words, "--planes", planes]) == 2
        assert sentence in capsys.readouterr().err


def test_axes_and_the_channel_are_chosen_by_flags(tmp_path, capsys):
    sample = samples.nuclei((4, 64, 64), seed=2, touching=0.2, density=1.5)
    image, painted, out = (tmp_path / name for name in ("i.tif", "p.tif", "o.tif"))
    # One time of a stack of two channels, as other programs write it.
    both = np.stack([np.zeros_like(sample.image), sample.image], 1)[None]
    write_image(image, Image.of(both, "TZCYX", channel_names=("empty", "nuclei")))
    ids = np.zeros_like(sample.objects)
    ids[2] = sample.objects[2]
    write_labels(painted, Image.of(ids, "ZYX"))
    words = ["fill", str(image), str(painted), "-o", str(out), "--minutes", "0.01"]
    assert main([*words, "--channel", "nuclei"]) == 0, capsys.readouterr().err
    np.testing.assert_array_equal(read_labels(out).asarray().reshape(ids.shape)[2], ids[2])
    assert main([*words, "--channel", "actin"]) == 2
    assert "actin" in capsys.readouterr().err
