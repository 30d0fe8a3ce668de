"""The score shown of a training: on how much it rests, and by what it was chosen."""

import numpy as np

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.model.validation_score import describe_score
from napari_unetseg.core.nn.training.patches import Tally, dice_without_choice
from napari_unetseg.core.training.train import train

SCORES = {"dice": 0.591, "held_out_pixels": 1200, "held_out": "3 tiles"}
QUICK = TrainOptions(until="epochs", epochs=3, steps=4, patch=32, batch=2, averaging=0.0)


def halves(side=64):
    """Return an image of a dark and a bright half."""
    rng = np.random.default_rng(0)
    bright = np.repeat([0, 1], side // 2)[None] * np.ones((side, 1), np.uint8)
    return Image.of((bright + 0.1 * rng.standard_normal(bright.shape)).astype(np.float32)), bright


def test_a_selected_score_is_called_optimistic():
    said = "Dice 0.591 on 1,200 held-out pixels in 3 tiles"
    assert describe_score(SCORES) == f"{said}. New images can differ."
    images = describe_score(SCORES | {"held_out": "3 images"})
    assert images == "Dice 0.591 on 1,200 held-out pixels in 3 images."
    chosen = describe_score(SCORES | {"chosen_from": 12})
    assert chosen == f"{said}, the best of 12 validations on them: expect less on new images."
    apart = describe_score(SCORES | {"chosen_from": 12, "chosen_apart": True})
    assert apart == (
        f"{said}, without what the choice of the best of 12 validations gained. New images can "
        "differ."
    )
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
    assert made.model.scores["chosen_apart"]
    assert f"without what the choice of the best of {judged} validations gained" in made.message
    best = max(record["dice"] for record in made.model.history if record["dice"] is not None)
    assert made.model.scores["dice"] <= best
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
        "Too little was held out for a score: 96 pixels in 2 strokes, only 48 pixels of a class."
        in little.message
    )
    assert "Dice" not in little.message
    assert "dice" not in repr(little.model)
    wide = train(spec, [TrainingPair(image, many)], QUICK, name="w")
    assert "576 pixels in 2 strokes, only one stroke of a class." in wide.message
    many[:] = 0
    for row in range(1, 61, 5):
        many[row : row + 3, 2:30], many[row : row + 3, 34:62] = 1, 2
    enough = train(spec, [TrainingPair(image, many)], QUICK, name="m")
    assert enough.model.scores["held_out_strokes"] == 2
    assert enough.message.endswith("on 336 held-out pixels in 4 strokes. New images can differ.")


def chance(seed):
    """Return 60 validations, of five parts each, of a network that guesses."""
    rng = np.random.default_rng(seed)
    validations = [[Tally(2, (1,)) for _ in range(5)] for _ in range(60)]
    for tally in (tally for parts in validations for tally in parts):
        score = rng.random((1, 1, 30)).astype(np.float32)
        tally.add(np.concatenate([score, 1 - score], 1), rng.integers(0, 2, (1, 30), np.uint8))
    return validations


def test_a_choice_adds_nothing_to_the_score_without_it():
    best, mean, apart = [], [], []
    for validations in map(chance, range(6)):
        each = [Tally.joined(parts).judgement().dice for parts in validations]
        best.append(max(each))
        mean.append(np.mean(each))
        apart.append(dice_without_choice(validations))
    assert np.mean(best) > np.mean(mean) + 0.1
    assert abs(np.mean(apart) - np.mean(mean)) < 0.04
    assert dice_without_choice([parts[:1] for parts in chance(0)]) is None
    assert dice_without_choice([]) is None
    one_sided = chance(0)[0][:1] + [Tally(2, (1,)) for _ in range(4)]
    assert dice_without_choice([one_sided]) is None, "the other parts have nothing to choose by"
