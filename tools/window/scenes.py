"""What is done in the window before each picture of the documentation is taken."""

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtWidgets import QToolButton

from napari_unetseg.core import samples
from napari_unetseg.core.io import write_image
from window.film import Film
from window.hand import Hand

_TURNS = 3
"""Strokes of each class in the film."""


def first(hand: Hand, scratch: Path) -> None:
    """What an empty window says, and the guided tour, done up to its third step."""
    bench = hand.open("Workbench")
    hand.picture("start")
    hand.click(bench.start.tour_button)
    tour = hand.page("TourWidget")
    hand.click(tour.do_button)
    for step in (1, 2, 3):
        hand.wait(lambda step=step: tour.at == step, f"step {step} of the tour")
        if step < 3:
            hand.wait(tour.do_button.isEnabled, f"step {step} can be done")
            hand.click(tour.do_button)
    hand.home()
    hand.picture("tour")
    hand.click(tour.stop_button)
    hand.click(tour.keep_button)


def nuclei(hand: Hand, scratch: Path) -> None:
    """Nuclei found by a model that ships, measured, reviewed, corrected, learnt from, and kept."""
    image = hand.sample("nuclei")
    truth = hand.layer("true objects")
    bench = hand.open("Workbench")
    predict = hand.turn_to(bench, "Predict")
    hand.choose(predict.models, "nuclei")
    hand.run(predict)
    objects = hand.layer("objects, nuclei")
    hand.home()
    hand.picture("workbench")
    _measure(hand, objects)
    _review(hand, objects, truth)
    _queue(hand, objects)
    _correct(hand, objects, truth)
    _train_on(hand, image, objects)
    _project(hand, scratch / "experiment.unetseg")


def clicking(hand: Hand, scratch: Path) -> None:
    """Nuclei outlined with a click each: four that are kept, and one in the making."""
    hand.sample("nuclei")
    truth = hand.layer("true objects")
    bench = hand.open("Workbench")
    bench.open_start()
    hand.click(bench.start.click_button)
    correct = next(tool for tool in bench.tools if tool.title == "Correct")
    hand.wait(lambda: correct.clicks.layer is not None and not correct.clicks.busy, "the mode")
    hand.home()
    for number in _largest(truth.data, 5):
        middle = [float(at.mean()) for at in np.nonzero(truth.data == number)]
        hand.canvas.click(correct.clicks.layer, middle)
        hand.wait(lambda: not correct.clicks.busy, "the outline")
    hand.picture("click")
    hand.canvas.key("Esc")
    hand.canvas.key("Esc")


def filming(hand: Hand) -> None:
    """A film for the README: nuclei to a table, then a model that learns from strokes."""
    film = Film(hand)
    bench = hand.open("Workbench")
    film.hold(1.2)
    _film_nuclei(hand, film, bench)
    for layer in hand.viewer.layers:
        layer.visible = False
    _film_strokes(hand, film, bench)
    film.write(hand.folder / "window.webp")


def predicting(hand: Hand, scratch: Path) -> None:
    """Nuclei of twice the size that the model learnt: their diameter is measured first."""
    sample = samples.nuclei((384, 384), seed=4)
    twice = np.kron(sample.image[:192, :192], np.ones((2, 2), sample.image.dtype))
    hand.viewer.add_image(twice, name="nuclei")
    predict = hand.open("Predict")
    hand.choose(predict.models, "nuclei")
    hand.fill(predict.form, auto_diameter=True)
    hand.run(predict)
    hand.home()
    hand.picture("predict")


def inside(hand: Hand, scratch: Path) -> None:
    """What the models say of themselves, and what a layer of one makes of an image."""
    hand.sample("nuclei")
    models = hand.open("Models")
    rows = [models.list.item(k).text() for k in range(models.list.count())]
    models.list.setCurrentRow(rows.index("nuclei"))
    hand.wait(models.facts.toPlainText, "the facts of the model")
    models.more.unfold()
    hand.click(models.test_button)
    hand.wait(lambda: "passed" in models.message.text(), "the model's own test")
    hand.home()
    hand.picture("models")
    features = hand.open("Features")
    hand.choose(features.models, "nuclei")
    hand.wait(features.layers.count, "the layers of the model")
    features.layers.setCurrentIndex(1)
    hand.run(features)
    hand.click(features.sheet.findChildren(QToolButton)[1])
    hand.home()
    hand.picture("features")


def neurons(hand: Hand, scratch: Path) -> None:
    """Neurons through background, threshold, correction and a UNet."""
    hand.sample("neurons")
    background = hand.open("Background")
    hand.fill(background.form, robust="dark", mode="divide")
    hand.run(background)
    hand.home()
    hand.picture("background")
    background.set_view("Residual")
    hand.spin(2)
    hand.picture("background-residual")
    background.set_view("After")
    threshold = hand.open("Threshold")
    flattened = hand.layer("flattened")
    threshold.pick.pick(flattened)
    hand.fill(threshold.form, objects="dark", sigma=1.0, min_size=60)
    hand.wait(lambda: threshold.plot.lines, "the preview")
    hand.spin(1)
    hand.picture("threshold-preview")
    hand.run(threshold)
    mask = hand.layer("mask")
    hand.picture("threshold")
    train = hand.open("Train")
    train.pick.pick(flattened)
    train.labels.pick(mask)
    hand.choose(train.rung, "unet")
    hand.choose_data(train.kind, "mask")
    # So many steps give the same picture on any machine.
    hand.fill(train.form, until="epochs", epochs=5, steps=80, patch=128)
    hand.run(train, 1800)
    hand.picture("train")
    predict = hand.open("Predict")
    predict.pick.pick(flattened)
    mask.visible = False
    hand.run(predict)
    hand.picture("neurons-unet")


def strokes(hand: Hand, scratch: Path) -> None:
    """Strokes on two textures and the ground, learnt from while painted; then models compared."""
    image = hand.sample("tissue")
    truth = hand.layer("true classes").data
    labels = hand.new_labels()
    labels.brush_size = 9
    train = hand.open("Train")
    hand.home()
    train.pick.pick(image)
    train.labels.pick(labels)
    hand.choose(train.rung, "softmax")
    for value, places in _strokes(truth):
        hand.stroke(labels, value, places)
    hand.click(train.live)
    hand.wait(lambda: "Live" in train.message.text(), "the live preview", 45)
    hand.home()
    hand.spin(1)
    hand.picture("live")
    hand.click(train.live)
    board = hand.open("Scoreboard")
    board.pick.pick(image)
    board.labels.pick(labels)
    hand.fill(board.form, budget=0.3)
    hand.run(board)
    hand.home()
    hand.picture("scoreboard")


def volume(hand: Hand, scratch: Path) -> None:
    """Nuclei of a volume as objects that go through z."""
    hand.sample("nuclei_3d")
    threshold = hand.open("Threshold")
    hand.fill(threshold.form, per="stack", result="objects", sigma=1.0, min_size=100, split=True)
    hand.run(threshold)
    hand.click(threshold.live)
    hand.viewer.dims.ndisplay = 3
    hand.home()
    hand.viewer.camera.angles = (10, -30, 140)
    hand.picture("volume")


def folder(hand: Hand, scratch: Path) -> None:
    """The steps of one image as a recipe, run on a folder in which one file is broken."""
    plate = scratch / "plate"
    plate.mkdir(parents=True)
    for seed in range(6):
        sample = samples.nuclei((256, 256), seed=seed)
        write_image(plate / f"well_{seed + 1}.tif", sample.as_image())
    (plate / "well_7.tif").write_bytes(b"cut off")
    hand.sample("nuclei")
    threshold = hand.open("Threshold")
    hand.fill(threshold.form, result="objects", sigma=1.0, min_size=30, split=True)
    hand.run(threshold)
    measure = hand.open("Measure")
    hand.run(measure)
    batch = hand.open("Batch")
    hand.wait(batch.editor.recipe, "the recipe of what was done")
    batch.add([plate])
    hand.wait(lambda: len(batch.images.rows.paths) > 6, "the images of the folder")
    hand.click(batch.page.buttons["run"])
    hand.wait(lambda: batch.running, "the batch begins")
    hand.wait(lambda: not batch.running, "the batch ends")
    hand.home()
    hand.picture("batch")


SCENES = {
    first: ("start", "tour"),
    nuclei: ("workbench", "measure", "queue", "correct", "train_on", "review", "project"),
    clicking: ("click",),
    predicting: ("predict",),
    inside: ("models", "features"),
    neurons: (
        "background",
        "background-residual",
        "threshold-preview",
        "threshold",
        "train",
        "neurons-unet",
    ),
    strokes: ("live", "scoreboard"),
    volume: ("volume",),
    folder: ("batch",),
}
"""Each scene, and the pictures that are taken in it."""


def _largest(labels: Any, n: int) -> list[int]:
    """Return the ids of the largest objects that are not at the border."""
    inner = np.setdiff1d(labels, np.r_[labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    sizes = np.bincount(labels.ravel())
    return sorted((int(number) for number in inner if number), key=lambda k: -sizes[k])[:n]


def _film_strokes(hand: Hand, film: Film, bench: Any) -> None:
    """Film how a model of textures learns from each stroke."""
    image = hand.sample("tissue")
    strokes = _strokes(hand.layer("true classes").data)
    train = hand.turn_to(bench, "Train")
    train.pick.pick(image)
    hand.choose(train.rung, "softmax")
    hand.home()
    # The hidden nuclei are larger: fill the view with what is seen.
    camera = hand.viewer.camera
    camera.center, camera.zoom = (0, *image.extent.world.mean(0)), camera.zoom * 1.25
    film.press(train.strokes.new_button)
    labels = train.labels.layer()
    labels.brush_size = 9
    classes = sorted({value for value, _ in strokes})
    while len(train.strokes.classes.classes()) < len(classes):
        train.strokes.classes.add_class()
    film.press(train.live)
    for turn in range(_TURNS):
        for value in classes:
            of_class = [places for one, places in strokes if one == value]
            start, end = of_class[turn * len(of_class) // _TURNS]
            film.press(train.findChild(QToolButton, f"class {value}"))
            film.point_at(labels, end)
            hand.stroke(labels, value, [start, end])
            film.hold(0.3)
            if value > classes[0] or turn:
                hand.wait(lambda: train.preview.layer is not None, "the live preview", 45)
                hand.spin(1.5)
                film.hold(1)


def _film_nuclei(hand: Hand, film: Film, bench: Any) -> None:
    """Film how nuclei are predicted, and measured."""
    hand.sample("nuclei")
    hand.home()
    predict = hand.turn_to(bench, "Predict")
    hand.choose(predict.models, "nuclei")
    film.hold(0.5)
    film.press(predict.run_button)
    hand.wait(lambda: not predict.running, "the nuclei")
    hand.spin(0.5)
    film.hold(1.5)
    measure = hand.turn_to(bench, "Measure")
    film.press(measure.run_button)
    hand.wait(lambda: not measure.running, "the table")
    hand.spin(0.5)
    film.hold(1.5)


def _measure(hand: Hand, objects: Any) -> None:
    measure = hand.open("Measure")
    measure.pick.pick(objects)
    hand.fill(measure.form, hull=True)
    hand.run(measure)
    at = next(k for k in range(measure.colour.count()) if "area" in measure.colour.itemText(k))
    measure.colour.setCurrentIndex(at)
    hand.spin(2)
    measure.table.selectRow(3)
    hand.home()
    hand.picture("measure")
    measure.colour.setCurrentIndex(0)


def _queue(hand: Hand, objects: Any) -> None:
    queue = hand.open("Queue")
    queue.pick.pick(objects)
    hand.choose(queue.models, "nuclei")
    hand.run(queue)
    hand.click(queue.panel.buttons["accept"])
    hand.spin(0.5)
    hand.click(queue.panel.buttons["accept"])
    hand.spin(0.5)
    hand.picture("queue")


def _correct(hand: Hand, objects: Any, truth: Any) -> None:
    """Cut what is two nuclei, approve all else, and show what the hand did."""
    correct = hand.open("Correct")
    correct.pick.pick(objects)
    hand.home()
    for line in _cuts(objects.data, truth.data):
        hand.wait(correct.panel.is_ready, "the tools are ready")
        hand.click(correct.panel.buttons["line"])
        hand.canvas.drag(objects, line)
        hand.wait(lambda: not correct.running, "the cut")
        hand.canvas.key("Esc")
    hand.wait(correct.panel.is_ready, "the tools are ready")
    correct.show_locked.setChecked(True)
    hand.click(correct.panel.buttons["merge"])
    hand.spin(0.5)
    hand.picture("correct")
    hand.canvas.key("Esc")
    correct.show_locked.setChecked(False)
    correct.more.unfold()
    hand.spin(0.2)
    hand.wait(correct.panel.is_ready, "the tools are ready")
    hand.click(correct.panel.buttons["view"])
    hand.wait(lambda: not correct.running, "all in view are approved")


def _train_on(hand: Hand, image: Any, objects: Any) -> None:
    train_on = hand.open("Train on")
    train_on.pick.pick(image)
    train_on.labels.pick(objects)
    hand.fill(train_on.form, budget=0.5)
    hand.run(train_on)
    hand.home()
    hand.picture("train_on")


def _review(hand: Hand, objects: Any, truth: Any) -> None:
    review = hand.open("Review")
    review.pick.pick(objects)
    review.truth.pick(truth)
    hand.run(review)
    objects.visible = False
    hand.home()
    hand.picture("review")
    objects.visible = True
    hand.viewer.layers.remove(hand.layer("review"))


def _project(hand: Hand, path: Path) -> None:
    project = hand.open("Project")
    project.save_as(path)
    hand.wait(lambda: not project.keeper.busy, "the project is saved")
    hand.spin(0.5)
    hand.picture("project")


def _cuts(ids: Any, truth: Any) -> list[list[tuple[float, float]]]:
    """Return lines across the objects that cover two true ones: between the middles of those."""
    lines = []
    for number in (int(n) for n in np.unique(ids) if n):
        inside = truth[ids == number]
        covered = [n for n in np.unique(inside[inside > 0]) if (inside == n).mean() > 0.25]
        if len(covered) == 2:
            one, two = (np.argwhere((truth == n) & (ids == number)).mean(0) for n in covered)
            across = np.array([two[1] - one[1], one[0] - two[0]])
            middle = (one + two) / 2
            lines.append([tuple(middle - across), tuple(middle + across)])
    return lines


def _strokes(truth: Any) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return short strokes that stay inside one class each: a label, and the places it leads by."""
    long, found = 40, []
    for y in range(60, truth.shape[0] - 60, 80):
        for x in range(40, truth.shape[1] - 40 - long, 130):
            inside = np.unique(truth[y - 5 : y + 6, x : x + long])
            if len(inside) == 1:
                found.append((int(inside[0]), [(y, x), (y, x + long)]))
    classes = sorted({value for value, _ in found})
    names = {value: label for label, value in enumerate(classes, start=1)}
    return [(names[value], places) for value, places in found]
