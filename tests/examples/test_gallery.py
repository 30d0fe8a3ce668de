"""The gallery: every example runs, draws, and prints the numbers that its page claims."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("plot_*.py"))

# What is read from the print of an example, and between which bounds it must lie. The examples
# assert what they claim; here it is asked once more from outside that they say it.
CLAIMS = {
    "01": [(r"gradient descent: .* ([\d.]+) grey levels", 0, 0.01)],
    "02": [
        (r"pixels that the network sees otherwise .*: (\d+)", 0, 3),
        (r"Dice of Otsu's mask: .* as it is, ([\d.]+) with", 0.8, 1),
    ],
    "03": [(r"cross-entropy of \d+ painted pixels: ([\d.]+)", 0, 0.15)],
    "04": [(r"Dice of gland .*: ([\d.]+)", 0.75, 1)],
    "05": [(r"layer 1: .* differ by (\S+)", 0, 1e-12)],
    "06": [(r"two layers: ([\d.]+)%", 97, 100), (r"shuffled labels: ([\d.]+)%", 0, 25)],
    "07": [(r"dense and convolution differ by (\S+)", 0, 1e-6)],
    "08": [(r"low-pass: ([\d.]+) of the too fine waves", 0, 0.2)],
    "09": [(r"softmax of the last maps is the prediction within (\S+)", 0, 1e-3)],
    "10": [
        (r"ReLU: the slope at the first layer is (\S+) of that", 1e-2, 100),
        (r"sigmoid: the slope at the first layer is (\S+) of that", 0, 1e-4),
        (r"untied: Dice ([\d.]+) and", 0.9, 1),
    ],
    "11": [
        (r"a gap of 33 dB between ([\d.]+) and", 30, 34),
        (r"fixed linear: ([\d.]+)% of the energy", 0, 0.5),
        (r"\nlinear: Dice ([\d.]+)", 0.85, 1),
    ],
    "12": [(r"UNet: Dice ([\d.]+) on the image", 0.45, 1)],
}


@pytest.fixture
def figures(monkeypatch):
    """The pyplot whose figures an example leaves behind; quick where an example takes minutes."""
    pyplot = pytest.importorskip(
        "matplotlib.pyplot", reason="the examples need matplotlib, of the group `examples`"
    )
    pytest.importorskip("sklearn", reason="the examples need scikit-learn, of the group `examples`")
    torch = pytest.importorskip("torch", reason="the examples need PyTorch")
    monkeypatch.setenv("NAPARI_UNETSEG_QUICK", "1")
    monkeypatch.delenv("NAPARI_UNETSEG_NEURONS", raising=False)
    threads = torch.get_num_threads()
    yield pyplot
    torch.set_num_threads(threads)
    pyplot.close("all")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_runs_and_says_what_it_claims(script, figures, capsys):
    runpy.run_path(str(script), run_name="__main__")
    printed = capsys.readouterr().out
    assert figures.get_fignums(), "an example shows something"
    for pattern, low, high in CLAIMS[script.stem[5:7]]:
        found = re.search(pattern, printed)
        assert found, f"nothing like {pattern!r} in:\n{printed}"
        assert low <= float(found[1]) <= high


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_an_example_has_a_formula_and_says_what_to_click(script):
    about = script.read_text(encoding="utf-8").split('"""')[1]
    assert ".. math::" in about or ":math:" in about
    assert "**In the window:**" in about


def test_every_system_of_the_way_has_its_example():
    assert [script.stem[5:7] for script in SCRIPTS] == [f"{number:02}" for number in range(1, 13)]
