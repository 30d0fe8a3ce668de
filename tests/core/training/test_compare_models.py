"""Several rungs on one annotation: judged alike, named for what they are, and recommended."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import Annotation, TrainingPair
from napari_unetseg.core.annotation.holdout import split
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_tiles import predict_classes_image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.registry import rungs_for, spec_of
from napari_unetseg.core.progress import Cancelled, StopEarly
from napari_unetseg.core.scoring.pixel_scores import Scores, class_scores
from napari_unetseg.core.training import compare_models as module
from napari_unetseg.core.training.compare_models import GUESSING, Row, Scoreboard, compare
from napari_unetseg.core.training.train import train

SMALL = {"cnn": {"width": 4, "layers": 2}, "unet": {"width": 4, "depth": 1}}
QUICK = TrainOptions(until="epochs", epochs=1, steps=4, patch=32, batch=2, averaging=0.0)


def specs(*kinds):
    return [spec_of(kind, SMALL.get(kind, {"sigmas": "1, 3"})) for kind in kinds]


@pytest.fixture(scope="module")
def sample():
    return samples.nuclei((96, 112), seed=3)


@pytest.fixture(scope="module")
def strokes(sample):
    """Every eighth row: 1 beside nuclei, 2 on them."""
    labels = np.zeros(sample.classes.shape, np.uint8)
    labels[4::8] = np.where(sample.mask[4::8], 2, 1)
    return labels


@pytest.fixture(scope="module")
def lesson(sample, strokes):
    return TrainingPair(sample.as_image(), strokes)


@pytest.fixture(scope="module")
def board(lesson):
    """A board of every kind of rung, and the rows as they were told."""
    told = []
    options = QUICK.model_copy(update={"climbing": "off"})
    made = compare(specs("logistic", "mlp", "cnn", "unet"), [lesson], options, on_row=told.append)
    return made, told


class TestContract:
    def test_every_rung_has_a_row_in_the_order_asked_for(self, board):
        made, told = board
        assert [row.asked for row in made.rows] == ["logistic", "mlp", "cnn", "unet"]
        assert [row.kind for row in made.rows] == ["logistic", "mlp", "cnn", "unet"]
        assert list(made.rows) == told
        assert made.untried == ()
        for row in made.rows:
            assert row.model.name == row.kind
            counts = made.held_out.values()
            amount = {"held_out_pixels": sum(counts), "held_out_least": min(counts)}
            amount["held_out_strokes"] = 1
            assert row.model.scores == {"dice": row.scores.dice, "iou": row.scores.iou} | amount
            assert row.seconds > 0
            assert 0 < row.seconds_per_megapixel < 1000

    def test_the_filter_bank_finds_nuclei_and_is_recommended(self, board):
        made, _ = board
        logistic = made.rows[0]
        assert logistic.scores.dice > 0.9
        assert logistic.skill > 0.8
        assert made.recommended in made.rows
        assert made.recommended.dice > made.best.dice - module.WORTH
        assert made.kept is made.recommended
        said = made.recommendation
        assert said.startswith(
            f"Use {made.recommended.kind}. Only one stroke of a class was held out"
        )
        assert "Dice" not in said

    def test_scores_are_those_of_strokes_that_no_rung_saw(self, board, sample, strokes):
        """The same numbers come from predicting anew and scoring with other code."""
        made, _ = board
        (learnt,), (held,) = split([Annotation.of(strokes)], QUICK.validation, seed=QUICK.seed)
        assert not (learnt.counted & held.counted).any()
        assert dict(zip(held.names, held.counts(), strict=True)) == made.held_out
        for row in made.rows:
            said = predict(row.model, sample.as_image()).data[held.counted]
            found = class_scores(said, strokes[held.counted], (1, 2))
            assert row.scores.dice == pytest.approx(np.mean([s.dice for s in found.values()]))
            assert row.scores.iou == pytest.approx(np.mean([s.iou for s in found.values()]))
            assert row.classes["class 2"] == pytest.approx(found[2].dice)

    @pytest.mark.parametrize("at", [0, 3])
    def test_what_is_held_out_might_as_well_not_be_painted(self, at, board, sample, strokes):
        made, _ = board
        (learnt,), _ = split([Annotation.of(strokes)], QUICK.validation, seed=QUICK.seed)
        less = TrainingPair(sample.as_image(), np.where(learnt.counted, strokes, 0))
        options = QUICK.model_copy(
            update={"climbing": "off", "validation": QUICK.validation if at else 0}
        )
        row = made.rows[at]
        alone = train(specs(row.kind)[0], [less], options, name="alone").model
        assert alone.fingerprint == row.model.fingerprint

    def test_the_same_seed_gives_the_same_board_but_for_the_clock(self, board, lesson):
        made, _ = board
        again = compare(specs("logistic", "mlp"), [lesson], QUICK)
        assert [row.scores for row in again.rows] == [row.scores for row in made.rows[:2]]

    def test_it_can_be_written_as_json(self, board):
        made, _ = board
        content = json.loads(json.dumps(made.as_json()))
        assert [one["model"] for one in content["models"]] == ["logistic", "mlp", "cnn", "unet"]
        assert content["recommendation"] == made.recommendation
        assert content["models"][0]["dice"] == made.rows[0].scores.dice


class TestAnnotations:
    @pytest.mark.parametrize(("kind", "labels"), [("mask", "classes"), ("objects", "objects")])
    def test_masks_and_objects_hold_out_tiles(self, kind, labels, sample):
        truth = getattr(sample, labels)
        board = compare(
            specs("logistic"), [TrainingPair(sample.as_image(), truth)], QUICK, labels_are=kind
        )
        (row,) = board.rows
        assert row.model.values == (0, 1)
        assert list(row.classes) == ["object" if kind == "objects" else "class 1"]
        assert sum(board.held_out.values()) < 0.3 * truth.size
        assert row.dice > 0.9

    def test_of_a_series_only_annotated_planes_are_judged_and_strokes_stay_whole(self, sample):
        """A stroke that goes on in the next moment is held out in both, or in none."""
        series = np.stack([sample.image] * 3)
        painted = np.zeros((3, *sample.classes.shape), np.uint8)
        painted[:2, 4::8] = np.where(sample.mask[4::8], 2, 1)
        sizes = []
        before = predict_classes_image

        def counting(image, *given, **known):
            sizes.append(image.shape)
            return before(image, *given, **known)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "predict_classes_image", counting)
            patch.setattr(module, "_MOST_PASSES", 1)
            board = compare(
                specs("logistic"), [TrainingPair(Image.of(series, "TYX"), painted)], QUICK
            )
        assert sizes == [(1, 64, 64), (1, 96, 112), (1, 96, 112)]
        _, (held,) = split([Annotation.of(painted)], QUICK.validation)
        assert np.array_equal(held.counted[0], held.counted[1])
        assert sum(board.held_out.values()) == held.counted.sum()
        assert board.rows[0].dice > 0.9

    def test_stacks_are_judged_as_stacks(self, lesson):
        sample = samples.nuclei((8, 48, 48), seed=1)
        labels = np.zeros(sample.classes.shape, np.uint8)
        labels[:, 3::6] = np.where(sample.mask[:, 3::6], 2, 1)
        stack, flat = TrainingPair(sample.as_image(), labels), lesson
        board = compare(specs("logistic"), [stack], QUICK, ndim=3)
        assert board.rows[0].model.ndim == 3
        assert board.rows[0].dice > 0.8
        with pytest.raises(InputError, match="no Z axis"):
            compare(specs("logistic"), [flat], QUICK, ndim=3)

    def test_what_a_lesson_says_is_unknown_is_neither_learnt_nor_judged(self, sample, strokes):
        half = np.zeros(strokes.shape, bool)
        half[:48] = True
        board = compare(
            specs("logistic"), [TrainingPair(sample.as_image(), strokes, counted=half)], QUICK
        )
        assert 0 < sum(board.held_out.values()) < 0.3 * np.count_nonzero(strokes[:48])


class TestNegativeControl:
    def test_shuffled_labels_are_recognised_as_guessing(self, sample):
        rng = np.random.default_rng(0)
        noise = rng.permutation(sample.classes.ravel()).reshape(sample.classes.shape)
        board = compare(
            specs("logistic", "mlp"),
            [TrainingPair(sample.as_image(), noise)],
            QUICK,
            labels_are="mask",
        )
        for row in board.rows:
            assert row.dice == pytest.approx(row.chance, abs=0.05)
            assert row.skill < GUESSING
        assert board.recommended is None
        assert "guessing" in board.recommendation
        assert "Use " not in board.recommendation

    def test_balanced_strokes_of_chance_have_no_skill_though_their_dice_is_high(self):
        rng = np.random.default_rng(1)
        labels = rng.integers(1, 3, (64, 64)).astype(np.uint8)
        labels[1::2] = labels[:, 1::2] = 0
        lesson = TrainingPair(Image.of(rng.random((64, 64))), labels)
        board = compare(specs("logistic"), [lesson], QUICK)
        assert board.rows[0].dice > 0.3
        assert board.rows[0].skill < GUESSING
        assert board.recommended is None


class TestFailure:
    def test_a_rung_that_cannot_take_three_classes_takes_no_other_down(self, lesson, strokes):
        three = strokes.copy()
        three[:, :30] = np.where(three[:, :30] > 0, 3, 0)
        board = compare(specs("logistic", "softmax"), [replace(lesson, labels=three)], QUICK)
        failed, done = board.rows
        assert (failed.model, failed.scores) == (None, None)
        assert "two" in failed.message
        assert done.model is not None
        assert board.best is done

    def test_running_out_of_memory_is_a_row(self, lesson, monkeypatch):
        before = module.train_on_set

        def greedy(spec, *given, **known):
            if spec.kind == "unet":
                raise MemoryError
            return before(spec, *given, **known)

        monkeypatch.setattr(module, "train_on_set", greedy)
        board = compare(specs("unet", "logistic"), [lesson], QUICK)
        assert "memory" in board.rows[0].message
        assert board.kept is board.rows[1]

    def test_when_none_can_be_trained_it_says_why(self, lesson, strokes):
        three = strokes.copy()
        three[:, :30] = np.where(three[:, :30] > 0, 3, 0)
        with pytest.raises(InputError, match=r"No model could be trained\. logistic: "):
            compare(specs("logistic"), [replace(lesson, labels=three)], QUICK)

    def test_a_defect_flies(self, lesson, monkeypatch):
        def broken(*given, **known):
            raise ZeroDivisionError

        monkeypatch.setattr(module, "train_on_set", broken)
        with pytest.raises(ZeroDivisionError):
            compare(specs("logistic"), [lesson], QUICK)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"labels": np.zeros((96, 112), np.uint8)}, "annotated"),
            ({"labels": np.eye(96, 112, dtype=np.uint8)}, "Only one class"),
            ({"labels": np.ones((96, 113), np.uint8)}, "shape"),
        ],
    )
    def test_what_cannot_be_compared_is_a_sentence(self, change, words, lesson):
        with pytest.raises(InputError, match=words):
            compare(specs("logistic"), [replace(lesson, **change)], QUICK)

    def test_one_stroke_of_a_class_cannot_be_spared(self, lesson):
        labels = np.zeros((96, 112), np.uint8)
        labels[10], labels[20, :50], labels[20, 60:] = 1, 2, 2
        with pytest.raises(InputError, match=r"class 1 cannot spare any\. Paint a second"):
            compare(specs("logistic"), [replace(lesson, labels=labels)], QUICK)

    def test_nothing_to_compare(self, lesson):
        with pytest.raises(InputError, match="No model"):
            compare([], [lesson], QUICK)
        with pytest.raises(InputError, match="no image"):
            compare(specs("logistic"), [], QUICK)
        with pytest.raises(InputError, match="validation share is 0"):
            compare(specs("logistic"), [lesson], TrainOptions(validation=0))

    def test_images_of_other_channels(self, lesson, strokes):
        two = TrainingPair(Image.of(np.zeros((2, 96, 112)), "CYX"), strokes)
        with pytest.raises(InputError, match="channels"):
            compare(specs("logistic"), [lesson, two], QUICK)


class Asks:
    """A listener that raises from the first message on that holds some words."""

    def __init__(self, error, words, *, once=False):
        self.error, self.words, self.once, self.asked = error, words, once, False

    def __call__(self, fraction, message="", /):
        if self.asked and self.once:
            return
        self.asked = self.asked or self.words in message
        if self.asked:
            raise self.error


class TestStopping:
    def test_cancelling_flies_through(self, lesson):
        with pytest.raises(Cancelled):
            compare(
                specs("logistic", "mlp"), [lesson], QUICK, progress=Asks(Cancelled, "mlp: fitting")
            )

    def test_cancelling_while_judging_flies_through(self, lesson):
        with pytest.raises(Cancelled):
            compare(specs("logistic"), [lesson], QUICK, progress=Asks(Cancelled, "predicting"))

    @pytest.mark.parametrize("once", [True, False])
    def test_stopping_keeps_what_is_done(self, once, lesson, board):
        stop = Asks(StopEarly, "mlp: computing", once=once)
        found = compare(specs("logistic", "mlp", "cnn"), [lesson], QUICK, progress=stop)
        assert [row.asked for row in found.rows] == ["logistic"]
        assert found.untried == ("mlp", "cnn")
        assert found.kept.scores == board[0].rows[0].scores
        assert "Not tried: mlp, cnn." in found.recommendation

    @pytest.mark.parametrize("once", [True, False])
    def test_stopping_while_judging_judges_to_the_end(self, once, lesson, board):
        stop = Asks(StopEarly, "logistic: predicting", once=once)
        found = compare(specs("logistic", "mlp"), [lesson], QUICK, progress=stop)
        assert [row.scores for row in found.rows] == [board[0].rows[0].scores]

    @pytest.mark.parametrize("climbing", ["on", "off"])
    @pytest.mark.parametrize("words", ["unet: beginning", "unet: training"])
    def test_a_network_that_learnt_nothing_yet_is_no_row(self, words, climbing, lesson):
        options = QUICK.model_copy(update={"climbing": climbing})
        stop = Asks(StopEarly, words)
        found = compare(specs("logistic", "unet"), [lesson], options, progress=stop)
        assert [row.asked for row in found.rows] == ["logistic"]

    def test_a_network_that_learnt_something_is_judged(self, lesson):
        options = QUICK.model_copy(update={"climbing": "off"})
        stop = Asks(StopEarly, "unet: epoch")
        found = compare(specs("unet", "logistic"), [lesson], options, progress=stop)
        (row,) = found.rows
        assert len(row.model.history) == 1
        assert found.untried == ("logistic",)

    def test_stopped_at_once_there_is_nothing(self, lesson):
        found = compare(specs("logistic"), [lesson], QUICK, progress=Asks(StopEarly, ""))
        assert (found.rows, found.kept) == ((), None)
        assert "nothing to compare" in found.recommendation

    def test_progress_grows_to_the_end_and_names_the_rung(self, lesson):
        seen = []
        compare(specs("logistic", "mlp"), [lesson], QUICK, progress=lambda *told: seen.append(told))
        fractions = [fraction for fraction, _ in seen]
        assert max(fractions) == pytest.approx(1.0)
        assert all(message.startswith(("logistic", "mlp")) for _, message in seen)


class TestFallingBack:
    def test_a_network_that_did_worse_is_named_as_what_is_kept(self, lesson):
        """One step cannot beat the filter bank, so what it was to climb on is kept."""
        board = compare(specs("cnn"), [lesson], QUICK.model_copy(update={"climbing": "on"}))
        (row,) = board.rows
        assert row.fell_back
        assert (row.asked, row.kind, row.model.spec.kind) == ("cnn", "logistic", "logistic")
        assert row.model.name == "logistic"
        assert row.label == "logistic (cnn fell back on it)"
        assert board.recommendation.startswith("Use logistic (cnn fell back on it). Only one")
        assert board.as_json()["models"][0]["model"] == "logistic"

    def test_it_gives_way_to_the_rung_itself(self, lesson):
        options = QUICK.model_copy(update={"climbing": "on"})
        board = compare(specs("cnn", "logistic"), [lesson], options)
        assert board.rows[0].fell_back
        assert board.best is board.recommended is board.rows[1]


def row(kind, dice, rate, *, model="same", chance=0.5):
    """A row as `compare` makes it, with no model behind it but a name."""

    class Model:
        spec = spec_of(kind if model == "same" else model)

    score = Scores(dice, dice / (2 - dice), dice, dice)
    return Row(kind, Model(), score, {}, chance, 1.0, rate)


class TestRecommendation:
    def test_a_slower_model_must_be_worth_it(self):
        rows = (row("logistic", 0.915, 0.1), row("mlp", 0.9, 0.01), row("unet", 0.92, 1.2))
        board = Scoreboard(rows, {"a": 500, "b": 800})
        assert board.best is rows[2]
        assert board.recommended is rows[0]
        assert board.recommendation == (
            "Use logistic: Dice 0.915 on held-out labels, as good as unet (0.920) and 12 times "
            "as fast. It is chosen from 3 by these labels, so a little optimistic."
        )

    def test_a_difference_that_a_clock_cannot_tell_is_no_reason(self):
        rows = (row("logistic", 0.915, 0.10), row("mlp", 0.92, 0.14), row("unet", 0.921, 1.2))
        assert Scoreboard(rows, {"a": 500, "b": 800}).recommended is rows[1]

    def test_one_that_is_worth_it_leads(self):
        rows = (row("logistic", 0.85, 0.1), row("unet", 0.92, 1.2))
        board = Scoreboard(rows, {"a": 500, "b": 800})
        assert board.recommended is rows[1]
        assert board.recommendation == (
            "Use unet: Dice 0.920 on held-out labels, 0.070 above the next best, logistic. "
            "It is chosen from 2 by these labels, so a little optimistic."
        )

    def test_few_pixels_and_missing_classes_are_said(self):
        board = Scoreboard((row("mlp", 0.9, 0.1),), {"a": 50, "b": 800, "c": 0})
        assert "Only 50 pixels of a class were held out, too few to trust" in board.recommendation
        assert "Nothing of c could be held out" in board.recommendation

    @pytest.mark.parametrize("unet", [1.0, 0.95])
    def test_no_lead_is_reported_where_little_is_held_out(self, unet):
        rows = (row("logistic", 1.0, 0.1), row("mlp", 1.0, 0.1), row("unet", unet, 1.2))
        board = Scoreboard(rows, {"a": 18, "b": 800})
        assert board.recommended is rows[0]
        assert board.recommendation == (
            "Use logistic. Only 18 pixels of a class were held out, too few to trust the score or "
            "to rank models: paint more."
        )
        more = Scoreboard(rows, {"a": 180, "b": 800}).recommendation
        assert more.startswith("Use logistic: Dice 1.000 on held-out labels. Only 180 pixels of a")
        one = Scoreboard(rows, {"a": 180, "b": 800}, held_out_strokes=1).recommendation
        assert one.startswith("Use logistic. Only one stroke of a class was held out")

    def test_equal_scores_are_a_tie(self):
        rows = (row("logistic", 0.9, 0.1), row("mlp", 0.9, 0.1))
        said = Scoreboard(rows, {"a": 500, "b": 800}).recommendation
        assert "tied with mlp" in said
        assert "0.000" not in said

    def test_guessing_is_measured_against_chance(self):
        good, same = row("mlp", 0.6, 0.1, chance=0.2), row("mlp", 0.6, 0.1, chance=0.55)
        assert Scoreboard((good,), {"a": 500}).recommended is good
        board = Scoreboard((same,), {"a": 500})
        assert board.recommended is None
        assert board.kept is same

    def test_the_rungs_worth_comparing(self):
        assert rungs_for(2) == ("logistic", "mlp", "cnn", "unet")
        assert rungs_for(3) == ("softmax", "mlp", "cnn", "unet")


def test_seconds_per_megapixel_leave_out_loading_and_count_every_pixel(lesson, monkeypatch):
    """A clock that a prediction moves by 0.1 s, after a first one of a minute."""
    now = [0.0]
    before = predict_classes_image

    def slow(image, *given, **known):
        now[0] += 0.1 if image.shape == (1, 96, 112) else 60.0
        return before(image, *given, **known)

    monkeypatch.setattr(module, "predict_classes_image", slow)
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    board = compare(specs("logistic"), [lesson], QUICK)
    assert board.rows[0].seconds_per_megapixel == pytest.approx(0.1e6 / (96 * 112))
