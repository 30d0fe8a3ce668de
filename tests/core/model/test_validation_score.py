"""The score shown of a training: on how much it rests, and by what it was chosen."""

import numpy as np

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.model.validation_score import describe_score
from napari_unetseg.core.training.train import train

SCORES = {"dice": 0.591, "held_out_pixels": 1200, "held_out": "3 tiles"}
QUICK = TrainOptions(until="epochs", epochs=3, steps=4, patch=32, batch=2, averaging=0.0)


def halves(side=64):
    """Return an image of a dark and a bright half."""
    rng = np.random.default_rng(0)
    bright = np.repeat([0, 1], side // 2)[None] * np.ones((side, 1), np.uint8)
    return Image.of((bright + 0.1 * rng.standard_normal(bright.shape)).astype(np.float32)), bright


def test_a_selected_score_is_called_optimistic():
    assert describe_score(SCORES) == "Dice 0.591 on 1,200 held-out pixels in 3 tiles."
    chosen = describe_score(SCORES | {"chosen_from": 12})
    assert chosen.endswith("the best of 12 validations on them, so a little optimistic.")
    assert (
        describe_score({"dice": 0.5, "ap50": 0.25})
        == "Dice 0.500, AP@0.5 0.250 on held-out labels."
    )
    assert describe_score({}) == ""
    odd = {"dice": 0.5, "ap50": "x", "held_out_pixels": [1], "held_out": 3, "chosen_from": None}
    assert describe_score(odd) == "Dice 0.500 on held-out labels."
    assert describe_score({"dice": "good"}) == ""


def test_a_network_names_the_validations_it_was_chosen_from():
    image, bright = halves()
    spec = spec_of("cnn", {"width": 3, "layers": 2})
    pairs = [TrainingPair(image, bright.astype(np.uint8))]
    made = train(spec, pairs, QUICK, name="n", labels_are="mask")
    judged = sum(record["dice"] is not None for record in made.model.history)
    assert made.model.scores["chosen_from"] == judged > 1
    assert f"the best of {judged} validations" in made.message
    assert "tiles" in made.message
    least = [
        record["held_out_least"] for record in made.model.history if record["dice"] is not None
    ]
    assert least == [made.model.scores["held_out_least"]] * judged


def test_two_short_strokes_give_no_score():
    image, _ = halves()
    few, many = (np.zeros(image.data.shape, np.uint8) for _ in range(2))
    for labels, wide in ((few, 2), (many, 12)):
        for row in (2, 24, 46):
            labels[row : row + wide, 4:28], labels[row : row + wide, 36:60] = 1, 2
    spec = spec_of("logistic", {"sigmas": "1"})
    little = train(spec, [TrainingPair(image, few)], QUICK, name="l")
    assert little.model.scores["dice"] > 0.9, "the number stays for other programs"
    assert little.model.scores["held_out_least"] == 48
    assert (
        "Too little was held out for a score: 96 pixels in 2 strokes, only 48 of a class."
        in little.message
    )
    assert "Dice" not in little.message
    assert "dice" not in repr(little.model)
    enough = train(spec, [TrainingPair(image, many)], QUICK, name="m")
    assert "on 576 held-out pixels in 2 strokes." in enough.message, "no choice, no optimism"
