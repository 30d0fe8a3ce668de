"""Four walks: nuclei to a table, neurons to a UNet, a folder with a recipe, every dock once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from window.person import Person

_A_STROKE = 5
"""Most objects that a person strokes over before letting go of the mouse."""

_BESIDE = np.array([(y, x) for y in (-6, 0, 6) for x in (-6, 0, 6)])
"""Pixels around a stroke that keep clear of the neuron."""


def begin(person: Person, image: Path) -> None:
    """Open the Workbench from napari's menu, and an image from the empty Workbench."""
    with person.step("open the Workbench"):
        person.menu("Plugins", "UNet Segmentation", "Workbench")
        person.wait(lambda: person.button("Open an image...").isVisible(), 60)
    with person.step("open an image"):
        person.answer_file_dialog(image, lambda: person.click("Open an image..."))
        person.wait(lambda: len(person.viewer.layers) > 0, 30)


def nuclei(person: Person, image: Path, out: Path) -> Path:
    """Walk from an image of nuclei or cells to a table of them; return its path."""
    begin(person, image)
    with person.step("see which model fits"):
        person.wait(lambda: "fits" in person.message())
    with person.step("predict"):
        person.run("Predict")
    with person.step("measure"):
        person.click("Measure")
        person.wait(lambda: person.button("Save table...").isEnabled())
    table = out / "objects.csv"
    with person.step("save the table"):
        person.answer_file_dialog(table, lambda: person.click("Save table..."))
        person.wait(table.is_file, 30)
    return table


def neurons(person: Person, image: Path, minutes: float = 1.0) -> Any:
    """Walk through background, threshold, correction and a UNet; return its labels."""
    begin(person, image)
    with person.step("flatten"):
        person.turn_to("Background")
        person.run("Flatten")
    with person.step("threshold"):
        person.turn_to("Threshold")
        person.choose("Objects", "dark")
        person.click("More")
        person.number("Smoothing", 2)
        person.number("Smallest size", 300)
        person.choose("Result", "objects")
        person.run("Run")
    with person.step("correct"):
        labels = person.viewer.layers[-1]
        person.turn_to("Correct")
        person.click("Delete")
        for stroke in _beside_the_neuron(np.asarray(labels.data)):
            person.canvas.drag(labels, stroke)
        person.canvas.key("Esc")
    with person.step("train a UNet"):
        person.turn_to("Train")
        person.choose("Labels", labels.name)
        # One neuron is a region, which is the label type already.
        person.choose("Label type", "mask")
        person.choose("Model", "unet")
        person.number("Minutes", minutes)
        person.run("Train", 60 * minutes + 240)
    with person.step("predict"):
        person.turn_to("Predict")
        person.run("Predict")
    return person.viewer.layers[-1]


def folder(person: Person, place: Path) -> Path:
    """Walk from one image of a folder to the tables of all; return where they are."""
    begin(person, sorted(place.iterdir())[0])
    with person.step("threshold"):
        person.turn_to("Threshold")
        person.tick("Split touching")
        person.choose("Result", "objects")
        person.run("Run")
    with person.step("measure"):
        person.turn_to("Measure")
        person.run("Measure")
    with person.step("add the folder"):
        person.turn_to("Batch")
        person.wait(lambda: person.button("Add folder...").isEnabled(), 30)
        person.answer_file_dialog(place, lambda: person.click("Add folder..."))
        person.wait(lambda: person.button("Run all").isEnabled(), 30)
    with person.step("run all"):
        person.run("Run all", 600)
    return place.parent / f"{place.name} results"


def docks(person: Person, image: Path, minutes: float = 0.2) -> None:
    """Walk through every dock with an image of nuclei, and run each tool once."""
    begin(person, image)
    for title, button in (("Background", "Flatten"), ("Threshold", "Run"), ("Predict", "Predict")):
        _run(person, title, button)
    objects = person.viewer.layers[-1]
    _run(person, "Queue", "Make the queue")
    with person.step("turn to Correct"):
        person.turn_to("Correct")
    middles = [np.argwhere(objects.data == n).mean(0) for n in np.unique(objects.data)[1:4]]
    with person.step("correct"):
        person.click("Delete")
        person.canvas.click(objects, tuple(middles[0]))
        person.canvas.key("Esc")
    with person.step("click an object"):
        person.canvas.key("Q")
        for middle in middles[1:]:
            person.canvas.click(objects, tuple(middle))
            person.rest(1500)
        person.canvas.key("Esc")
        person.canvas.key("Esc")
    with person.step("turn to Train on"):
        person.turn_to("Train on")
        person.number("Minutes", minutes)
    with person.step("train on"):
        person.run("Train on")
    _run(person, "Measure", "Measure")
    with person.step("colour by area"):
        person.choose("Colour by", "area_px2")
        person.rest(500)
    _run(person, "Review", "Compare")
    _run(person, "Features", "Show")
    for title in ("Scoreboard", "Train", "Batch", "Models", "Project"):
        with person.step(f"turn to {title}"):
            person.turn_to(title)
            person.rest(500)


def _run(person: Person, title: str, button: str) -> None:
    with person.step(f"turn to {title}"):
        person.turn_to(title)
        person.rest(500)
    with person.step(button.lower()):
        person.run(button)


def _beside_the_neuron(labels: Any) -> list[list[tuple[float, ...]]]:
    """Return strokes over each object but the one that a person sees to be the neuron."""
    middle = np.array(labels.shape) / 2
    places = {n: np.argwhere(labels == n) for n in np.unique(labels) if n}
    # The neuron is in the middle of this picture, and reaches far.
    near = {n: np.abs(at - middle).sum(1).min() for n, at in places.items()}
    neuron = min(near, key=near.__getitem__)
    left = [at[len(at) // 2] for n, at in places.items() if n != neuron]
    strokes = []
    while left:
        stroke = [left.pop(0)]
        while len(stroke) < _A_STROKE:
            left.sort(key=lambda at, end=stroke[-1]: float(np.abs(at - end).sum()))
            free = [k for k, at in enumerate(left) if _avoids(labels == neuron, stroke[-1], at)]
            if not free:
                break
            stroke.append(left.pop(free[0]))
        strokes.append([tuple(map(float, at)) for at in stroke])
    return strokes


def _avoids(mask: Any, start: Any, stop: Any) -> bool:
    """Whether a straight line keeps clear of a mask."""
    along = np.linspace(start, stop, 2 + int(np.abs(stop - start).max())).round().astype(int)
    near = np.clip(along[:, None] + _BESIDE, 0, np.array(mask.shape) - 1)
    return not mask[tuple(near.reshape(-1, mask.ndim).T)].any()


WALKS: dict[str, Callable[..., Any]] = {
    "nuclei": nuclei,
    "neurons": neurons,
    "folder": folder,
    "docks": docks,
}

__all__ = ["WALKS", "docks", "folder", "neurons", "nuclei"]
