"""Damaged project folders: one sentence with the file's name, and the rest is opened.

``UNETSEG_FUZZ=5000 pytest tests/core/project/test_damaged_folder.py`` damages as many folders.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.io import write_image
from napari_unetseg.core.project import Contents, ImageItem, LabelsItem, ProjectFolder

FUZZ = int(os.environ.get("UNETSEG_FUZZ", "60"))

ODD = (
    *(None, True, 0, -1, 7, 2**31, 2**63, 10**400, -0.5, 1e308, "", "x", "\x00", "../../x", [], {}),
    *("a" * 5000, [[]], [None], {"": None}, "um", "1 +", "<f8", "O", "labels/a-1.tif", "json"),
)


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A project with every kind of file."""
    rng = np.random.default_rng(0)
    noise = Image.of(rng.random((12, 10)).astype(np.float32), spacing=(0.5, 0.5), unit="µm")
    write_image(tmp_path / "outside.tif", noise)
    labels = rng.integers(0, 5, (3, 12, 10)).astype(np.int32)
    ink = PixelSet(labels.shape)
    ink.add(tuple(slice(0, n) for n in labels.shape), labels == 2)
    cells = np.empty(4, object)
    cells[:] = ["a", None, 1.5, "=b"]
    table = {"label": np.arange(1, 5), "area": np.array([1, np.nan, 2.5, 3]), "note": cells}
    place = {"scale": [1.0, 0.5, 0.5], "units": ["um", "um", "um"], "order": 1, "opacity": 0.5}
    contents = Contents(
        images=(
            ImageItem(key="inside", name="Inside", image=noise, version=1, place={"gamma": 2.0}),
            ImageItem(
                key="rows", name="Rows", image=Image.of(rng.random((1, 9, 8)), "ZYX"), version=1
            ),
            ImageItem(key="outside", name="Out", image=noise, path=tmp_path / "outside.tif"),
        ),
        labels=(
            LabelsItem(
                key="cells",
                name="Cells",
                labels=labels,
                ink=ink,
                table=table,
                place=place,
                mark={"role": "mask", "source": "inside"},
            ),
        ),
    )
    ProjectFolder(tmp_path / "sound").save(contents)
    return tmp_path / "sound"


def places_in(content):
    for key in list(content) if isinstance(content, dict) else range(len(content)):
        yield content, key
        if isinstance(content[key], dict | list):
            yield from places_in(content[key])


def damage_list(path: Path, rng: np.random.Generator) -> None:
    content = json.loads((path / "project.json").read_text())
    for _ in range(int(rng.integers(1, 4))):
        places = list(places_in(content))
        holder, key = places[int(rng.integers(len(places)))]
        match int(rng.integers(4)):
            case 0:
                del holder[key]
            case 1:
                other, name = places[int(rng.integers(len(places)))]
                holder[key] = json.loads(json.dumps(other[name]))
            case _:
                holder[key] = ODD[int(rng.integers(len(ODD)))]
    (path / "project.json").write_text(json.dumps(content))


def damage(path: Path, rng: np.random.Generator, mutations: Any) -> str:
    """Damage one file of a project; return its name within the project."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != ".lock")
    file = files[int(rng.integers(len(files)))]
    kind = int(rng.integers(8))
    if kind < 3:
        file = path / "project.json"
        damage_list(path, rng)
    elif kind == 3 and hasattr(os, "symlink"):
        file.unlink()
        file.symlink_to(file)
    elif kind == 4:
        file.unlink()
        file.mkdir()
    elif kind == 5:
        file.write_bytes(files[int(rng.integers(len(files)))].read_bytes())
    else:
        file.write_bytes(mutations.bytes_broken(file.read_bytes(), rng))
    return file.relative_to(path).as_posix()


def attempt(act):
    """Return what an act returns, or None and the sentence that refuses it; all else flies."""
    try:
        return act(), ""
    except InputError as error:
        return None, str(error)


@pytest.mark.filterwarnings("ignore")
def test_damaged_projects_open_in_part_or_are_refused(sound, tmp_path, mutations):
    rng, outcome = np.random.default_rng(2), {"whole": 0, "in part": 0, "refused": 0}
    for k in range(FUZZ):
        path = tmp_path / "damaged"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(sound, path)
        damaged = damage(path, rng, mutations)
        folder = ProjectFolder(path)
        found, sentence = attempt(folder.open)
        if found is None:
            assert "project.json" in sentence, (k, damaged, sentence)
            outcome["refused"] += 1
            continue
        outcome["in part" if found.missing else "whole"] += 1
        if damaged != "project.json":
            name = Path(damaged).name
            assert all(name in sentence for sentence in found.missing), (k, found.missing)
        # What was opened is saved, and opens: the damage is not carried on.
        written, sentence = attempt(lambda folder=folder, found=found: folder.save(found))
        if written is None:
            assert path.name in sentence, (k, damaged, sentence)
            continue
        again = ProjectFolder(path).open()
        assert {item.key for item in found.items} <= {item.key for item in again.items}
    assert min(outcome.values()) > FUZZ / 20, outcome
