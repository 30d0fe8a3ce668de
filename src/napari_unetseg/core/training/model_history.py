"""The versions of a project's models, with parents, training data and scores.

Models are large and versions are many. So only the newest models, the best, the current one and
the first of its line are kept; all other versions stay listed, without weights.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from napari_unetseg.core.annotation.annotation_kind import AnnotationKind
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.model.validation_score import describe_score, shown_dice

KEPT = 10
"""Number of the newest models that are kept."""

ROWS = 200
"""Largest number of listed versions, including those without a model."""

SIDE = 64
"""Side of a thumbnail, in pixels."""

MAX_BYTES = 20_000_000
"""Largest history, for reading and writing."""

_POINTS = 60
# Names of layers may be of any length.
_LONGEST = 2000
_Text = Annotated[
    str,
    BeforeValidator(lambda text: text[:_LONGEST] if isinstance(text, str) else text),
    Field(max_length=_LONGEST),
]
_Key = Annotated[str, Field(max_length=200)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Learnt(_Part):
    """Training data of a version: an image and its labels.

    Parameters
    ----------
    image, labels
        Names of the layers, shown to the user.
    image_key, labels_key, region_key
        Keys of the layers within the project; the region's is empty where there was none.
    labels_are
        Meaning of the labels.
    ink
        Number of corrected pixels; 0 where all annotated pixels had the same weight.
    """

    image: _Text
    labels: _Text
    image_key: _Key = ""
    labels_key: _Key = ""
    region_key: _Key = ""
    labels_are: AnnotationKind = "scribbles"
    ink: int = Field(0, ge=0)


class Point(_Part):
    """A point of a training's curve: seconds since its start, loss, and Dice where validated."""

    seconds: float
    loss: float
    dice: float | None = None


class Version(_Part):
    """The record of a model, without its weights.

    Parameters
    ----------
    number
        Counted from 1 in the order of creation.
    name, kind
        Name and rung of the model.
    fingerprint, parent
        Fingerprints of the model and of the one it was fine-tuned from; empty when from nothing.
    made
        Time when it was trained, or loaded, as ISO 8601.
    origin
        Whether it was trained, fine-tuned or loaded.
    learnt
        Its training data.
    labelled
        Number of pixels labelled by a person.
    dice
        On the validation set; None without one.
    too_little
        Whether that set was too small for its Dice to be shown.
    score
        Description of that score in a sentence.
    right, forgotten
        For a fine-tuned version: share of annotated pixels or objects that it has right, and the
        largest loss beyond its uncertainty, as a share of what its parent had right.
    curve
        At most sixty points.
    thumbnail
        (64, 64, 3) uint8 in base64; empty when there is none.
    """

    number: int = Field(ge=1)
    name: _Text
    kind: _Key
    fingerprint: _Key
    parent: _Key = ""
    made: _Key = ""
    origin: Literal["trained", "trained on", "loaded"] = "trained"
    learnt: tuple[Learnt, ...] = Field((), max_length=1000)
    labelled: int = Field(0, ge=0)
    dice: float | None = None
    too_little: bool = False
    score: str = Field("", max_length=1000)
    right: float | None = None
    forgotten: float | None = None
    curve: tuple[Point, ...] = Field((), max_length=_POINTS)
    thumbnail: str = Field("", max_length=4 * SIDE * SIDE + 4)

    @property
    def identity(self) -> tuple[str, str]:
        """Fingerprint and name, which identify a version as they identify model files."""
        return self.fingerprint, self.name

    def picture(self) -> NDArray[np.uint8] | None:
        """Return the thumbnail, (64, 64, 3), if there is one that can be read."""
        try:
            raw = base64.b64decode(self.thumbnail, validate=True)
        except binascii.Error:
            return None
        if len(raw) != SIDE * SIDE * 3:
            return None
        return np.frombuffer(raw, np.uint8).reshape(SIDE, SIDE, 3)


class _File(_Part):
    format: Literal["napari-unetseg history"] = "napari-unetseg history"
    version: Literal[1] = 1
    versions: tuple[Version, ...] = Field((), max_length=10_000)


@dataclass(frozen=True, eq=False)
class Entry:
    """A version, with its model if that is kept."""

    version: Version
    model: TrainedModel | None = None


class History:
    """All versions, oldest first."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def versions(self) -> tuple[Version, ...]:
        """Records of all versions, oldest first."""
        return tuple(entry.version for entry in self._entries)

    @property
    def next_number(self) -> int:
        """Number of the next version."""
        return max((entry.version.number for entry in self._entries), default=0) + 1

    def of(self, model: TrainedModel) -> Entry | None:
        """Return the entry of a model, the newest of equals."""
        identity = (model.fingerprint, model.name)
        found = [entry for entry in self._entries if entry.version.identity == identity]
        return found[-1] if found else None

    def add(
        self,
        model: TrainedModel,
        *,
        origin: Literal["trained", "trained on", "loaded"] = "loaded",
        learnt: Sequence[Learnt] = (),
        thumbnail: NDArray[np.uint8] | None = None,
    ) -> Version:
        """Append a model as a new version."""
        picture = draw_thumbnail(model) if thumbnail is None else thumbnail
        version = Version(
            number=self.next_number,
            origin=origin,
            learnt=tuple(learnt),
            thumbnail="" if picture is None else base64.b64encode(picture.tobytes()).decode(),
            **_fields_of_model(model),
        )
        if origin == "loaded":
            version = version.model_copy(update={"made": _now()})
        self._entries.append(Entry(version, model))
        return version

    def replace(self, model: TrainedModel, other: TrainedModel | None) -> None:
        """Put another model, or none, in the place of a model whose version stays listed."""
        for k, entry in enumerate(self._entries):
            if entry.model is model:
                named = {} if other is None else {"name": other.name}
                self._entries[k] = Entry(entry.version.model_copy(update=named), other)

    def adopt(self, versions: Iterable[Version], models: Iterable[TrainedModel]) -> None:
        """Append the versions of a project, with those of its models that are kept."""
        left = {(model.fingerprint, model.name): model for model in models}
        for version in versions:
            model = left.pop(version.identity, None)
            numbered = version.model_copy(update={"number": self.next_number})
            self._entries.append(Entry(numbered, model))
        for model in left.values():
            self.add(model)

    def lineage(self, model: TrainedModel) -> list[Entry]:
        """Return the entries of a model and its ancestors, itself first."""
        found: list[Entry] = []
        entry = self.of(model)
        while entry is not None and entry not in found:
            found.append(entry)
            entry = self._by_fingerprint(entry.version.parent)
        return found

    def before(self, model: TrainedModel) -> list[Learnt]:
        """Return the training data of a model and its ancestors, each labels once."""
        found: dict[str, Learnt] = {}
        for entry in self.lineage(model):
            for learnt in entry.version.learnt:
                found.setdefault(learnt.labels_key, learnt)
        return list(found.values())

    def base_of(self, model: TrainedModel) -> TrainedModel | None:
        """Return the loaded model that a model descends from; None if it began from nothing."""
        line = self.lineage(model)
        if line and line[-1].version.origin == "loaded" and line[-1].model is not model:
            return line[-1].model
        return None

    def best(self) -> Entry | None:
        """Return the entry with the highest Dice on its validation set, the newest of equals."""
        scored = [entry for entry in self._entries if entry.version.dice is not None]
        return max(scored, key=_rank) if scored else None

    def prune(self, current: TrainedModel) -> list[TrainedModel]:
        """Drop models beyond those to keep, and return them; their versions stay listed.

        Parameters
        ----------
        current
            The current model, which is always kept.
        """
        with_model = [entry for entry in self._entries if entry.model is not None]
        keep = [*with_model[-KEPT:], *filter(None, [self.of(current), self.best()])]
        base = self.base_of(current)
        keep += [entry for entry in with_model if entry.model is base and base is not None]
        gone = [entry for entry in with_model if entry not in keep]
        self._entries = [
            Entry(entry.version) if entry in gone else entry for entry in self._entries
        ]
        while len(self._entries) > ROWS:
            oldest = next((e for e in self._entries if e.model is None), None)
            if oldest is None:
                break
            self._entries.remove(oldest)
        return [entry.model for entry in gone if entry.model is not None]

    def _by_fingerprint(self, fingerprint: str) -> Entry | None:
        found = [e for e in self._entries if fingerprint and e.version.fingerprint == fingerprint]
        return found[-1] if found else None


def format_history(versions: Iterable[Version]) -> bytes:
    """Return the content of a history file.

    Raises
    ------
    InputError
        When it is larger than what is read.
    """
    content = _File(versions=tuple(versions)).model_dump_json(indent=1).encode()
    _check_size(content)
    return content


def read_history(content: bytes) -> tuple[Version, ...]:
    """Read the versions in a history file.

    Raises
    ------
    InputError
        When it is damaged, or from a later version of this plugin.
    """
    _check_size(content)
    try:
        return _File.model_validate_json(content).versions
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise InputError(
            "The history of the models is damaged, or from a later version of this plugin "
            f"({where}: {first['msg'].lower()}). The models themselves are all there."
        ) from error


def _check_size(content: bytes) -> None:
    if len(content) > MAX_BYTES:
        raise InputError(
            f"The history of the models is larger than {MAX_BYTES // 10**6} MB, the limit for "
            "reading and writing."
        )


def draw_thumbnail(
    model: TrainedModel, classes: NDArray[Any] | None = None
) -> NDArray[np.uint8] | None:
    """Draw a model's example as a picture, (64, 64, 3), or None without one.

    Parameters
    ----------
    classes
        (*spatial) of the example: label of each pixel, overlaid in colour but for the first class.
    """
    example = model.example
    if example is None or 0 in example.shape:
        return None
    rows, columns = (
        np.linspace(0, length - 1, SIDE).round().astype(int) for length in example.shape[-2:]
    )

    def small(array: NDArray[Any]) -> NDArray[Any]:
        plane = array[(slice(None), *(length // 2 for length in array.shape[1:-2]))]
        return plane[:, rows][:, :, columns]

    shown = small(example).astype(np.float64)
    low, high = np.percentile(shown, (1, 99))
    light = np.clip((shown - low) / max(high - low, 1e-9), 0, 1)
    picture = np.moveaxis(light if model.rgb and len(light) == 3 else light[:1], 0, -1)
    picture = np.broadcast_to(picture, (SIDE, SIDE, 3)).copy()
    if classes is not None:
        labels = small(classes[None])[0]
        for k, value in enumerate(model.values[1:]):
            there = labels == value if model.labels_are != "objects" else labels > 0
            picture[there] = 0.5 * picture[there] + 0.5 * np.array(_COLOURS[k % len(_COLOURS)])
    return (255 * picture).astype(np.uint8)


def draw_prediction(model: TrainedModel) -> NDArray[np.uint8] | None:
    """Draw a model's example with its prediction overlaid; predicts one small piece."""
    if model.example is None:
        return None
    axes = "C" + "ZYX"[-model.ndim :]
    options = PredictOptions(what="classes", device="cpu")
    return draw_thumbnail(model, predict(model, Image(model.example, axes), options).asarray())


# From the palette of Okabe and Ito, which suits all kinds of colour vision.
_COLOURS = ((0.90, 0.62, 0.0), (0.34, 0.71, 0.91), (0.0, 0.62, 0.45), (0.80, 0.47, 0.65))


def _rank(entry: Entry) -> tuple[float, int]:
    return entry.version.dice or 0.0, entry.version.number


def _fields_of_model(model: TrainedModel) -> dict[str, Any]:
    """Return the fields of a version that a model records itself."""
    check = model.provenance.get("trained_on")
    check = check if isinstance(check, dict) else {}
    annotated = _number(check.get("annotated")) or 0
    right = _number(check.get("right_after"))
    return {
        "name": model.name,
        "kind": model.spec.kind,
        "fingerprint": model.fingerprint,
        "parent": model.parent,
        "made": str(model.provenance.get("date") or _now()),
        "labelled": int(_number(model.provenance.get("labelled")) or 0),
        "dice": _number(model.scores.get("dice")),
        "too_little": "dice" in model.scores and shown_dice(model.scores) is None,
        "score": describe_score(model.scores),
        "right": right / annotated if right is not None and annotated else None,
        "forgotten": _number(check.get("forgotten")),
        "curve": _thinned(model),
    }


def _thinned(model: TrainedModel) -> tuple[Point, ...]:
    """Return a subset of points of the curve, preferring those with validation."""
    records = [r for r in model.history if _number(r.get("loss")) is not None]
    judged = [r for r in records if _number(r.get("dice")) is not None]
    some = judged[-_POINTS // 2 :]
    step = -(-len(records) // max(_POINTS - len(some), 1))
    chosen = {int(r.get("step") or 0): r for r in [*records[:: max(step, 1)], *some]}
    return tuple(
        Point(
            seconds=_number(record.get("seconds")) or 0.0,
            loss=float(record["loss"]),
            dice=_number(record.get("dice")),
        )
        for _, record in sorted(chosen.items())
    )[:_POINTS]


def _number(value: Any) -> float | None:
    """Return a finite number from a file's value, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return None
    return float(value) if np.isfinite(value) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


__all__ = [
    "KEPT",
    "ROWS",
    "SIDE",
    "Entry",
    "History",
    "Learnt",
    "Point",
    "Version",
    "draw_prediction",
    "draw_thumbnail",
    "format_history",
    "read_history",
]
