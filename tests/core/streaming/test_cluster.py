"""Blocks in other processes, one of which is killed: the same pixels, and nothing missing."""

import os
import signal

import numpy as np
import pytest
from scipy import ndimage

from napari_unetseg.core.background import BackgroundOptions
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import write_image
from napari_unetseg.core.models_io.native import save
from napari_unetseg.core.objects.decoders import DecoderSpec
from napari_unetseg.core.recipe import MeasurementStep, Recipe, model_step
from napari_unetseg.core.streaming import LocalRunner, RunSource, stream

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from napari_unetseg.core.streaming import cluster as module  # noqa: E402
from napari_unetseg.core.streaming.cluster import Cluster, cluster  # noqa: E402

LITTLE = 1e-6
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Counting(Cluster):
    """A cluster that knows what was done, and kills a worker on the way."""

    def __init__(self, *given, kill_after=10**9):
        super().__init__(*given)
        self.done, self.kill_after = [], kill_after

    def run(self, work, stage, tasks):
        for number, found in super().run(work, stage, tasks):
            self.done.append((stage, number))
            if len(self.done) == self.kill_after:
                workers = self._client.run(os.getpid)
                os.kill(sorted(workers.values())[0], signal.SIGKILL)
            yield number, found


@pytest.fixture(scope="module")
def client():
    with cluster(jobs=2) as client:
        yield client


@pytest.fixture
def source(tmp_path):
    smooth = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal((260, 250)), 3)
    image = Image.of((3000 + 300 * smooth / smooth.std()).astype(np.uint16), "YX")
    write_image(tmp_path / "image.zarr", image)
    return RunSource(str(tmp_path / "image.zarr"))


def test_a_worker_that_dies_costs_nothing(client, source, make_model, tmp_path) -> None:
    model = make_model("unet", values=(0, 1), labels_are="objects", decoder=DecoderSpec())
    save(model, tmp_path / "m.zip")
    recipe = Recipe(
        background=BackgroundOptions(terms="plane"),
        model=model_step(tmp_path / "m.zip", tmp_path),
        objects={"fill_holes": True},
        measurement=MeasurementStep(),
    )
    how = {"model": model, "memory": LITTLE}
    alone = stream(recipe, source, tmp_path / "a.zarr", runner=LocalRunner(), **how)
    runner = Counting(client, source, tmp_path / "m.zip", kill_after=10)
    (tmp_path / "m.zip").unlink()  # workers have it already, and those to come will
    found = stream(recipe, source, tmp_path / "b.zarr", runner=runner, **how)
    assert len(runner.done) == len(set(runner.done)) > 60
    np.testing.assert_array_equal(found.image.asarray(), alone.image.asarray())
    assert found.n_objects == alone.n_objects > 20
    for name, column in alone.table.items():
        np.testing.assert_array_equal(found.table[name], column)


def test_nobody_at_the_address_is_said(monkeypatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", "1s")
    with (
        pytest.raises(InputError, match=r"No scheduler answers at tcp://127\.0\.0\.1:9"),
        cluster("tcp://127.0.0.1:9"),
    ):
        pass
