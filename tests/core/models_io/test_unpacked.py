"""Models that were unpacked, packed once more, or packed to fill the memory."""

import io
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.models_io.foreign import describe_model, open_model
from napari_unetseg.core.models_io.native import save

pytest.importorskip("torch", reason="saving an example needs PyTorch")


@pytest.fixture
def folder(make_model: Callable[..., TrainedModel], tmp_path: Path) -> tuple[str, Path]:
    """The fingerprint of a model of ours, and the folder that a browser unpacked it to."""
    model = make_model("cnn")
    save(model, tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        archive.extractall(tmp_path / "model")
    return model.fingerprint, tmp_path / "model"


def zipped(folder: Path, prefix: str) -> Path:
    path = folder.with_name("again.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            if file.is_file():
                archive.write(file, f"{prefix}{file.relative_to(folder).as_posix()}")
    return path


@pytest.mark.parametrize("how", ["folder", "description", "one folder deep", "zip of a folder"])
def test_ours_opens_however_it_was_unpacked(folder: tuple[str, Path], how: str) -> None:
    fingerprint, unpacked = folder
    path = {
        "folder": lambda: unpacked,
        "description": lambda: unpacked / "rdf.yaml",
        "one folder deep": lambda: (
            Path(shutil.copytree(unpacked, unpacked.parent / "x" / "y")).parent
        ),
        "zip of a folder": lambda: zipped(unpacked, "model/"),
    }[how]()
    assert open_model(path).fingerprint == fingerprint
    assert describe_model(path)["model"] == "cnn"


def test_a_zip_in_a_zip_is_bounded_over_all_levels(tmp_path: Path) -> None:
    """Each level holds the usual ratio; together they would be 4 GiB."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**24))
        for k in range(60):
            archive.writestr(f"archive/data/{k}", bytes(2**24))
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights.pt", inner.getvalue())
        text = "type: model\nformat_version: 0.5.4\nname: bomb\nweights:\n"
        archive.writestr("rdf.yaml", f"{text}  pytorch_state_dict: {{source: weights.pt}}\n")
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            open_model(path)
        assert tracemalloc.get_traced_memory()[1] < 2**29
    finally:
        tracemalloc.stop()
