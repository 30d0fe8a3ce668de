"""The training set: divided once, and nothing else may divide it again."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_unetseg
from napari_unetseg.core.annotation import holdout, training_set
from napari_unetseg.core.annotation.annotation import AnnotatedImage, Annotation, TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_set import Reading, TrainingSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.model.network_specs import CnnSpec, UNetSpec
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.training.compare_models import compare
from napari_unetseg.core.training.fine_tune import fine_tune
from napari_unetseg.core.training.train import train

OPTIONS = TrainOptions(until="epochs", epochs=1, steps=2, patch=32, batch=2, validation=0.3, seed=5)
TINY = UNetSpec(depth=1, width=4, convolutions=1)


def pair(seed: int = 0, kind: str = "mask") -> TrainingPair:
    """Bright squares in noise: a mask, ids, or strokes."""
    rng = np.random.default_rng(seed)
    ids = np.zeros((64, 64), np.uint8)
    for number, (row, column) in enumerate(np.ndindex(4, 4), 1):
        ids[16 * row + 3 : 16 * row + 12, 16 * column + 3 : 16 * column + 12] = number
    image = ((ids > 0) + 0.2 * rng.standard_normal(ids.shape)).astype(np.float32)
    labels = ids if kind == "objects" else (ids > 0).astype(np.uint8)
    if kind == "scribbles":
        labels = np.where(np.arange(64)[:, None] % 8 == 4, labels + 1, 0).astype(np.uint8)
    return TrainingPair(Image(image, "YX"), labels)


def test_nothing_else_in_the_package_knows_how_to_split() -> None:
    package = Path(napari_unetseg.__file__).parent
    name = holdout.__name__
    importers = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            froms = isinstance(node, ast.ImportFrom) and node.module
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            inner = [f"{froms}.{alias.name}" for alias in node.names] if froms else []
            if name in {froms, *names, *inner}:
                importers.add(path.stem)
    assert importers == {"training_set"}


@pytest.fixture
def splits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Seeds of all splits that are made."""
    made: list[int] = []

    def counted(*given: Any, **how: Any) -> Any:
        made.append(how["seed"])
        return holdout.split(*given, **how)

    monkeypatch.setattr(training_set, "split", counted)
    return made


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (LogisticSpec(sigmas="1"), "scribbles"),
        (CnnSpec(layers=1, width=2), "mask"),
        (TINY, "scribbles"),
        (TINY, "objects"),
    ],
)
def test_a_training_splits_once(spec: Any, kind: Any, splits: list[int]) -> None:
    pytest.importorskip("torch")
    train(spec, [pair(kind=kind)], OPTIONS, name="m", labels_are=kind)
    assert splits == [5]


def test_a_comparison_splits_once_for_all_and_once_for_the_networks(splits: list[int]) -> None:
    pytest.importorskip("torch")
    specs = [LogisticSpec(sigmas="1"), CnnSpec(layers=1, width=2), TINY]
    board = compare(specs, [pair(seed) for seed in range(2)], OPTIONS, labels_are="mask")
    assert len(board.rows) == 3
    assert splits == [5, 5]


def test_fine_tuning_holds_nothing_out(splits: list[int]) -> None:
    pytest.importorskip("torch")
    model = train(LogisticSpec(sigmas="1"), [pair()], OPTIONS, name="m", labels_are="mask").model
    splits.clear()
    fine_tune(model, [pair(1)])
    assert splits == [0]


def test_what_is_learnt_and_what_is_held_out_are_the_whole() -> None:
    data = TrainingSet.of([pair(seed) for seed in range(3)], OPTIONS, Reading("mask"))
    assert data.holds_out
    for whole, learn, held in zip(data.images, data.learn, data.held_out, strict=True):
        assert not (learn.annotation.counted & held.annotation.counted).any()
        both = learn.annotation.counted | held.annotation.counted
        np.testing.assert_array_equal(both, whole.annotation.counted)
        assert whole.normalisation is not None
        assert whole.normalisation == learn.normalisation == held.normalisation
    alone = data.without_validation()
    assert not alone.holds_out
    assert alone.validation is alone.images
    assert alone.learn is data.images


def test_lower_resolution_leaves_the_split_as_it_is() -> None:
    data = TrainingSet.of([pair()], OPTIONS, Reading("mask"))
    (learn,), (held,) = data.shrunk((2, 2))
    assert learn.image.shape == held.image.shape == (1, 32, 32)
    fine = data.held_out[0].annotation.counted.reshape(32, 2, 32, 2).any((1, 3))
    np.testing.assert_array_equal(held.annotation.counted, fine)


def test_what_is_held_out_has_no_part_in_what_is_learnt() -> None:
    torch = pytest.importorskip("torch")
    from napari_unetseg.core.nn.training.fit_network import fit_network

    data = TrainingSet.of([pair()], OPTIONS, Reading("mask"))

    def lied(image: AnnotatedImage) -> AnnotatedImage:
        """Tell the opposite where it is held out."""
        held = data.held_out[0].annotation.counted
        targets = np.where(held & image.annotation.counted, 1, 0) ^ image.annotation.targets
        return replace(image, annotation=replace(image.annotation, targets=targets.astype("u1")))

    other = replace(data, images=(lied(data.images[0]),), held_out=(lied(data.held_out[0]),))
    fitted, misled = (fit_network(TINY, some, OPTIONS) for some in (data, other))
    assert fitted.judgement != misled.judgement
    states = (one.network.state_dict().values() for one in (fitted, misled))
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))


def test_what_does_not_go_together_is_refused() -> None:
    one = AnnotatedImage(np.zeros((1, 8, 8)), Annotation.of(np.eye(8, dtype=int), "mask"))
    two = AnnotatedImage(np.zeros((2, 8, 8)), one.annotation)
    stack = AnnotatedImage(np.zeros((1, 2, 8, 8)), Annotation.of(np.ones((2, 8, 8), int), "mask"))
    with pytest.raises(InputError, match="numbers of channels"):
        TrainingSet.of_images([one, two], OPTIONS)
    with pytest.raises(InputError, match="some are stacks"):
        TrainingSet.of_images([one, stack], OPTIONS)
    with pytest.raises(InputError, match="Nothing is annotated"):
        TrainingSet.of_images([], OPTIONS)
    with pytest.raises(InputError, match="Paint a few strokes"):
        TrainingSet.of([TrainingPair(one_image(), np.zeros((8, 8), int))], OPTIONS)


def one_image() -> Image:
    """A black plane."""
    return Image(np.zeros((8, 8), np.float32), "YX")
