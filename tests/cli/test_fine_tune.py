"""`train-on`: a project's corrections teach its model, on the command line."""

import numpy as np
import pytest

from napari_unetseg.cli import main
from napari_unetseg.core import samples
from napari_unetseg.core.annotation.annotation import TrainingPair
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.registry import spec_of
from napari_unetseg.core.models_io.native import load
from napari_unetseg.core.project import Contents, ImageItem, LabelsItem, ProjectFolder
from napari_unetseg.core.scoring.pixel_scores import dice
from napari_unetseg.core.training.model_history import History, Learnt
from napari_unetseg.core.training.train import train


@pytest.fixture(scope="module")
def sample():
    return samples.nuclei((96, 112), seed=3)


@pytest.fixture(scope="module")
def inverted(sample):
    return Image.of(np.max(sample.image) - sample.image)


@pytest.fixture
def project(tmp_path, sample, inverted):
    """Return how to save a project with an old image and a corrected new one."""

    def saved(*, ink=True, model=True):
        truth = sample.mask.astype(np.uint8)
        spec = spec_of("logistic", {"sigmas": "1, 2"})
        lesson = TrainingPair(sample.as_image(), truth)
        old = train(spec, [lesson], TrainOptions(), name="old", labels_are="mask").model
        history = History()
        learnt = Learnt(
            image="old", labels="truth", image_key="a", labels_key="ta", labels_are="mask"
        )
        history.add(old, origin="trained", learnt=[learnt])
        predicted = predict(old, inverted).asarray()
        drawn = np.zeros(truth.shape, bool)
        drawn[::3] = True
        pixels = PixelSet(truth.shape)
        pixels.add((slice(0, 96), slice(0, 112)), drawn)
        mark = {"role": "predicted classes", "source": "b", "options": {"model": "old"}}
        contents = Contents(
            images=(
                ImageItem(key="a", name="old", image=sample.as_image()),
                ImageItem(key="b", name="new", image=inverted),
            ),
            labels=(
                LabelsItem(key="ta", name="truth", labels=truth),
                LabelsItem(
                    key="tb",
                    name="new classes",
                    labels=np.where(drawn, truth, predicted),
                    ink=pixels if ink else None,
                    mark=mark,
                ),
            ),
            models=(old,) if model else (),
            history=history.versions if model else (),
        )
        path = tmp_path / "p.unetseg"
        ProjectFolder(path).save(contents)
        return path, old

    return saved


def test_corrections_of_a_project_teach(project, tmp_path, capsys, sample, inverted):
    path, old = project()
    out = tmp_path / "new.zip"
    assert main(["train-on", str(path), "-o", str(out), "--earlier-share", "0"]) == 0
    told = capsys.readouterr()
    assert "new classes" in told.out
    assert "annotated pixels right" in told.out
    assert "It forgot" in told.err
    new = load(out)
    assert (new.name, new.parent) == ("new", old.fingerprint)
    assert dice(predict(new, inverted).asarray(), sample.mask) > 0.8
    # With what it learnt before it forgets less.
    assert main(["train-on", str(path), "-o", str(out)]) == 0
    with_earlier = load(out).provenance["trained_on"]["forgotten"]
    assert with_earlier < new.provenance["trained_on"]["forgotten"]


def test_a_project_without_ink_or_model_is_a_sentence(project, tmp_path, capsys):
    path, _ = project(ink=False)
    assert main(["train-on", str(path), "-o", str(tmp_path / "n.zip")]) == 2
    assert "corrected" in capsys.readouterr().err
    assert not (tmp_path / "n.zip").exists()


def test_without_a_model_it_asks_for_one(project, tmp_path, capsys):
    path, _ = project(model=False)
    assert main(["train-on", str(path), "-o", str(tmp_path / "n.zip")]) == 2
    assert "--model" in capsys.readouterr().err


def test_what_is_no_project_is_a_sentence(tmp_path, capsys):
    assert main(["train-on", str(tmp_path), "-o", str(tmp_path / "n.zip")]) == 2
    assert "not a project" in capsys.readouterr().err
