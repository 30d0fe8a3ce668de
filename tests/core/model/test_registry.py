"""The registry: a new rung is its options, its network and one entry, and then it is everywhere."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.diagram import describe_architecture
from napari_unetseg.core.model.pixel_specs import LogisticSpec
from napari_unetseg.core.model.registry import (
    RUNGS,
    Rung,
    import_callable,
    register,
    rungs_for,
    spec_of,
)
from napari_unetseg.core.models_io.native import load as open_package
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.models_io.native.network_source import network_builder, network_source
from napari_unetseg.core.recipe.methods_text import methods_paragraph
from napari_unetseg.core.recipe.recipe import Recipe
from napari_unetseg.core.recipe.recipe_steps import ModelStep
from napari_unetseg.core.training.compare_models import compare
from napari_unetseg.core.training.train import train

torch = pytest.importorskip("torch")

OPTIONS = TrainOptions(until="epochs", epochs=4, steps=20, patch=32, learning_rate=0.1)
FOLDER = Path(__file__).parents[2] / "toy_rung"


def lesson() -> TrainingPair:
    """A bright disc in noise, and its mask."""
    rows, columns = np.mgrid[:64, :64]
    mask = (rows - 30) ** 2 + (columns - 34) ** 2 < 250
    image = mask + 0.2 * np.random.default_rng(0).standard_normal(mask.shape)
    return TrainingPair(Image(image.astype(np.float32), "YX"), mask.astype(np.uint8))


@pytest.mark.parametrize("rung", RUNGS.values(), ids=RUNGS)
def test_every_entry_leads_somewhere(rung: Rung) -> None:
    from napari_unetseg.core.nn.networks.build_network import build_network

    network = import_callable(rung.network)
    assert network.__name__ == rung.network_name
    assert network.__module__ in rung.sources
    assert isinstance(build_network(rung.spec(), 1, 2, 2), network)
    assert describe_architecture(rung.spec()).parts[0].role == "input"
    assert rung.help.endswith(".")
    assert (rung.family == "network") == (rung.cost == "minutes")


def test_a_new_rung_costs_two_files_and_an_entry(toy_rung: Rung, tmp_path: Path) -> None:
    """It trains, predicts, is saved, opened, exported, drawn, described and compared."""
    assert len(list(FOLDER.glob("*.py"))) == 2
    spec, pair = spec_of(toy_rung.kind), lesson()
    model = train(spec, [pair], OPTIONS, name="toy", labels_are="mask").model
    found = predict(model, pair.image).asarray()
    assert (found == pair.labels).mean() > 0.95

    save(model, tmp_path / "toy.zip")
    opened = open_package(tmp_path / "toy.zip")
    assert opened.spec == spec
    np.testing.assert_array_equal(predict(opened, pair.image).asarray(), found)

    name, options = network_builder(model)
    place: dict[str, object] = {}
    exec(compile(network_source(model), "architecture.py", "exec"), place)
    network = place[name](**options)  # type: ignore[operator]
    network.load_state_dict({key: torch.tensor(array) for key, array in model.state.items()})

    assert describe_architecture(spec).receptive_field == (3, 3)
    step = ModelStep(file="toy.zip", sha256="0" * 64)
    said = methods_paragraph(Recipe(model=step), model)
    assert "the single convolution “toy” (Fukushima 1980; 20 parameters" in said

    assert toy_rung.kind in rungs_for(2)
    board = compare([LogisticSpec(), spec], [pair], OPTIONS, labels_are="mask")
    assert [row.kind for row in board.rows] == ["logistic", toy_rung.kind]


def test_strokes_teach_it_with_the_lower_rung(toy_rung: Rung) -> None:
    pair = lesson()
    strokes = np.where(np.arange(64)[:, None] % 9 < 2, pair.labels + 1, 0).astype(np.uint8)
    outcome = train(spec_of(toy_rung.kind), [TrainingPair(pair.image, strokes)], OPTIONS, name="t")
    assert "kept" in outcome.message


def test_a_new_rung_of_pixels_is_a_class_and_an_entry() -> None:
    class IntensitySpec(LogisticSpec):
        """The logistic rung by another name."""

        kind: ClassVar[str] = "intensity"

    like = RUNGS["logistic"]
    entry = Rung(
        IntensitySpec,
        "intensity threshold",
        "One threshold.",
        "seconds",
        network=like.network,
        diagram=like.diagram,
        sources=like.sources,
    )
    register(entry)
    try:
        with pytest.raises(ValueError, match="already"):
            register(entry)
        pair = lesson()
        spec = spec_of("intensity", {"sigmas": "1", "gaussian": False, "gradient": False})
        model = train(spec, [pair], OPTIONS, name="level", labels_are="mask").model
        assert (predict(model, pair.image).asarray() == pair.labels).mean() > 0.9
    finally:
        del RUNGS["intensity"]
