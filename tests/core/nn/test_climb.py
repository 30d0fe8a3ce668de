"""Climbing: never below the lower rung on held-out labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import IGNORED, AnnotatedImage, Annotation
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import TrainingSet
from napari_unetseg.core.annotation.training_step import Callbacks
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.nn.training import schedule
from napari_unetseg.core.nn.training.distil import Distilled, LowerRung, distil, score_images
from napari_unetseg.core.nn.training.patches import Tally
from napari_unetseg.core.nn.training.schedule import Spent, guess_share
from napari_unetseg.core.progress import Cancelled, Progress, StopEarly

TINY = UNetSpec(depth=1, width=4, convolutions=1)
QUICK = TrainOptions(
    until="epochs", epochs=3, steps=20, patch=32, learning_rate=0.02, averaging=0.8
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks so small are faster alone, much so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Step:
    """A segmenter that is surer of the second class the brighter a pixel is."""

    slope: float
    classes: tuple[str, ...] = ("class 1", "class 2")
    n_channels: int = 1
    ndim: int = 2
    halo: tuple[int, ...] = (0, 0)
    multiple: tuple[int, ...] = (1, 1)
    border: tuple[int, ...] = (0, 0)

    def predict_proba(
        self, block: NDArray[np.float32], *, origin: tuple[int, ...], shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        second = 1 / (1 + np.exp(-self.slope * (block[0] - 0.5)))
        return np.stack([1 - second, second]).astype(np.float32)


def distilled(
    image: AnnotatedImage,
    lower: LowerRung,
    options: TrainOptions = QUICK,
    callbacks: Callbacks = Callbacks(),  # noqa: B008 - frozen
) -> Distilled:
    """Distil a lower rung on one image."""
    data = TrainingSet.of_images([image], options)
    return distil(TINY, data, options, lower, callbacks=callbacks)


def scribbled(seed: int = 0) -> tuple[AnnotatedImage, NDArray[np.bool_]]:
    """Return a bright square under noise with four short strokes a class, and the truth."""
    rng = np.random.default_rng(seed)
    inside = np.zeros((64, 64), bool)
    inside[16:48, 16:48] = True
    image = (inside + 0.1 * rng.standard_normal(inside.shape)).astype(np.float32)
    labels = np.zeros(inside.shape, np.uint8)
    for k in range(4):
        labels[20 + 7 * k, 24:34] = 2
        labels[4 + 18 * k, 2:12] = 1
    return AnnotatedImage(image[None], Annotation.of(labels)), inside


def test_the_lower_rung_is_learnt_and_the_network_is_kept() -> None:
    example, inside = scribbled()
    seen: list[Sequence[AnnotatedImage]] = []

    def lower(data: Sequence[AnnotatedImage]) -> Step:
        seen.append(data)
        return Step(20.0)

    climbed = distilled(example, lower)
    assert climbed.kept == "network"
    assert climbed.upper.dice >= climbed.lower.dice == 1
    assert seen[0][0].annotation.counts().sum() < example.annotation.counts().sum()
    block = example.scale().apply(example.image)
    proba = climbed.segmenter.predict_proba(block, origin=(0, 0), shape=inside.shape)
    assert ((proba[1] > 0.5) == inside).mean() > 0.95
    assert "network is kept" in climbed.message


def test_a_network_that_did_worse_is_not_kept() -> None:
    example, _ = scribbled()
    useless = QUICK.model_copy(update={"epochs": 1, "steps": 1, "learning_rate": 1e-9})
    fitted_to: list[int] = []

    def lower(data: Sequence[AnnotatedImage]) -> Step:
        fitted_to.append(int(data[0].annotation.counts().sum()))
        return Step(20.0)

    climbed = distilled(example, lower, useless)
    assert climbed.upper.dice < climbed.lower.dice
    assert climbed.kept == "lower rung"
    assert isinstance(climbed.segmenter, Step)
    assert fitted_to[-1] == example.annotation.counts().sum()
    assert "scored lower" in climbed.message


@pytest.mark.parametrize("slope", [-20.0, 0.0])
def test_strokes_overrule_a_lower_rung_that_is_wrong_or_knows_nothing(slope: float) -> None:
    example, _ = scribbled()
    climbed = distilled(example, lambda _: Step(slope))
    assert climbed.kept == "network"
    assert climbed.upper.dice > climbed.lower.dice


def test_of_networks_as_good_on_the_strokes_that_nearer_the_lower_rung_is_better() -> None:
    targets = np.full((1, 8, 8), IGNORED, np.uint8)
    targets[:, 0], targets[:, 7] = 0, 1
    guess = np.zeros((1, 2, 8, 8), np.float32)
    guess[:, 1, 6:], guess[:, 0, :6] = 1, 1
    judgements = []
    for rows in (7, 4, 2):
        said = np.zeros_like(guess)
        said[:, 1, -rows:], said[:, 0, :-rows] = 1, 1
        tally = Tally(2, (1,))
        tally.add(said, targets)
        tally.add_guess(said, guess, targets)
        judgements.append(tally.judgement())
    much, less, nearly = judgements
    assert much.dice == less.dice == nearly.dice == 1
    assert much.guess_error == pytest.approx(5 / 6)
    assert nearly.guess_error == 0
    assert much.rank < less.rank < nearly.rank


def test_with_single_strokes_both_are_judged_on_them() -> None:
    example, _ = scribbled()
    labels = np.zeros((64, 64), np.uint8)
    labels[20, 24:34], labels[4, 2:12] = 2, 1
    climbed = distilled(AnnotatedImage(example.image, Annotation.of(labels)), lambda _: Step(20.0))
    assert climbed.fitted.judgement is None
    assert climbed.lower.dice == 1


def test_the_lower_rung_is_learnt_as_sure_as_it_is() -> None:
    example, inside = scribbled()
    _, (sure,) = score_images(Step(20.0), [example])
    assert ((sure[1] > 0.5) == inside).mean() > 0.9
    assert (sure.max(0) > 0.9).mean() > 0.9
    _, (unsure,) = score_images(Step(0.0), [example])
    assert (unsure == 0.5).all()


def test_asked_to_stop_it_judges_to_the_end_but_a_cancel_flies() -> None:
    def asks(error: type[Exception]) -> Progress:
        def progress(fraction: float, message: str = "", /) -> None:
            raise error

        return progress

    source, _ = scribbled()
    whole, _ = score_images(Step(20.0), [source])
    stopped, _ = score_images(Step(20.0), [source], progress=asks(StopEarly))
    assert stopped == whole
    with pytest.raises(Cancelled):
        score_images(Step(20.0), [source], progress=asks(Cancelled))


def test_the_guess_fades() -> None:
    shares = [guess_share(k / 10) for k in range(11)]
    assert shares == sorted(shares, reverse=True)
    assert 1 > shares[0] > shares[-1] > 0
    assert guess_share(0.5, trust=0.5) == shares[5] / 2
    assert guess_share(0.5, trust=0) == 0


def test_the_lower_rung_is_paid_from_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(schedule.time, "monotonic", lambda: now[0])
    spent, options = Spent(), TrainOptions(budget=2)
    assert spent.left(options).budget == 2
    now[0] += 30
    assert spent.left(options).budget == pytest.approx(1.5)
    now[0] += 3000
    assert spent.left(options).budget == pytest.approx(1)
    assert options.budget == 2


def test_progress_rises_and_cancels() -> None:
    example, _ = scribbled()
    told: list[float] = []

    def progress(fraction: float, message: str = "", /) -> None:
        told.append(fraction)
        if len(told) > 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        distilled(example, lambda _: Step(20.0), callbacks=Callbacks(progress))
    assert told == sorted(told)
