"""Objects of a whole stack from a few planes in which they were painted or corrected.

A UNet learns from these planes alone and predicts the stack, either plane by plane in three
orientations or in 3D. What was painted stays pixel for pixel: predicted objects take the ids of the
painted ones that they continue, and one that continues several is divided between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import NDArray

from napari_unetseg.core.annotation.annotation import TrainingPair, check_shape
from napari_unetseg.core.annotation.train_options import TrainOptions
from napari_unetseg.core.annotation.training_step import Watch
from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.image import Image
from napari_unetseg.core.inference.predict_options import PredictOptions
from napari_unetseg.core.inference.prediction import predict
from napari_unetseg.core.label_image import check_id, whole_numbers
from napari_unetseg.core.model.network_specs import UNetSpec
from napari_unetseg.core.model.trained_model import TrainedModel
from napari_unetseg.core.options import Device, Options, device_option, option, seed_option
from napari_unetseg.core.progress import Progress, part, silent
from napari_unetseg.core.scoring.overlap import overlap_of
from napari_unetseg.core.training.corrected_labels import RIM
from napari_unetseg.core.training.train import train

Ids = NDArray[np.signedinteger]
Mask = NDArray[np.bool_]

_UNREVIEWED = 0.5
_CONTINUES = 0.5
"""Share of the smaller of two sections that a predicted and a painted object must have in common
for the one to continue the other."""
_MANY = 2**30
"""Highest id in 32 bits, so that there are numbers left for new objects."""

_TRAINING_SHARE = 0.75
_IN_PLANE = np.ones((1, 3, 3), np.bool_)


class FillOptions(Options):
    """Options for filling a stack from painted planes."""

    minutes: float = option(
        1.0,
        "Minutes to learn",
        "Time to learn from the painted planes. Dense or faint objects need more.",
        gt=0,
        le=600,
        step=0.5,
    )
    learn: Literal["planes", "stacks"] = option(
        "planes",
        "Learn",
        "Planes: a network of planes, which sees the stack in three orientations and learns most "
        "from few planes. Stacks: a network in 3D, for stacks so noisy that an object is only seen "
        "over several planes.",
    )
    seed: int = seed_option()
    device: Device = device_option()


@dataclass(frozen=True, eq=False)
class FilledVolume:
    """The objects of a stack and how they were found.

    Parameters
    ----------
    labels
        Integers of the shape of the painted labels.
    kept
        Painted and corrected pixels of `labels`, to be locked.
    planes
        Indices of the planes that were learnt.
    model
        The model that learnt from them.
    """

    labels: Ids
    kept: Mask
    planes: tuple[int, ...]
    model: TrainedModel

    @property
    def n_objects(self) -> int:
        """Number of objects."""
        return int(np.count_nonzero(np.unique(self.labels) > 0))


def fill_volume(
    image: Image,
    labels: NDArray[Any],
    options: FillOptions = FillOptions(),  # noqa: B008 - frozen
    *,
    locked: PixelSet | None = None,
    planes: Sequence[int] = (),
    start: TrainedModel | None = None,
    name: str = "volume",
    watch: Watch | None = None,
    progress: Progress = silent,
) -> FilledVolume:
    """Find the objects of a stack from those painted or corrected in one or a few planes.

    Parameters
    ----------
    image
        A stack, with or without channels.
    labels
        (Z, Y, X): ids of objects, 0 is background. All objects of a painted plane must be there.
        Pixels below 0 stay, and are not learnt from.
    locked
        Locked pixels of `labels`. Objects of a plane that have any are taken as true in this plane,
        and the rest of the plane counts half.
    planes
        Planes to take as true as a whole, beside those with locked pixels. If neither is given,
        all planes with an object.
    start
        Model of an earlier filling, to learn on from; not where it has other channels or axes.
    name
        Name of the model.
    watch
        Called while the network learns.
    progress
        May cancel, and nothing has changed; or stop the training early.

    Raises
    ------
    InputError
        When the image is no single stack, the labels or planes do not fit it, or no object is
        painted.
    """
    given = image.grey() if image.rgb else image
    if given.axes.replace("C", "") != "ZYX":
        raise InputError(
            f"The image has the axes {image.axes}, but a stack is needed: Z, Y and X. Choose a "
            "stack, or one time of it."
        )
    check_shape(given, labels)
    ids = _ids_of(labels)
    _check_planes(planes, len(ids))
    kept = kept_sections(ids, locked, planes)
    if not (ids[kept] > 0).any():
        raise InputError(
            "No plane has a painted object yet. Paint all objects of one plane, or correct them, "
            "and repeat."
        )
    truth: Mask = np.any(kept, axis=(1, 2))
    near = kept | (scipy.ndimage.binary_dilation(kept & (ids > 0), _IN_PLANE, RIM) & (ids == 0))
    weights = np.where(near, np.float16(1), np.float16(_UNREVIEWED)) * truth[:, None, None]
    pair = TrainingPair(given, np.where(truth[:, None, None], ids, 0), weights=weights)
    how = TrainOptions(
        budget=options.minutes, validation=0.0, seed=options.seed, device=options.device
    )
    ndim = 3 if options.learn == "stacks" else 2
    begin = start if start is not None and _goes_on(start, given, ndim) else None
    model = train(
        UNetSpec() if begin is None else begin.spec,
        [pair],
        how,
        name=name,
        labels_are="objects",
        ndim=ndim,
        start=begin,
        watch=watch,
        progress=part(progress, 0, _TRAINING_SHARE),
    ).model
    wanted = PredictOptions(what="objects", orientations="three", device=options.device)
    found = predict(model, given, wanted, progress=part(progress, _TRAINING_SHARE, 1)).asarray()
    filled = continue_sections(found, ids, kept, given.spacing)
    np.copyto(filled, ids, where=ids < 0)
    return FilledVolume(filled, kept, tuple(np.flatnonzero(truth).tolist()), model)


def kept_sections(ids: Ids, locked: PixelSet | None = None, planes: Sequence[int] = ()) -> Mask:
    """Return the pixels that are taken as true: of whole planes, and of corrected objects.

    A plane whose every object is corrected is true as a whole.

    Parameters
    ----------
    ids
        (Z, Y, X).
    locked, planes
        See `fill_volume`.
    """
    kept = np.zeros(ids.shape, np.bool_) if not locked else locked.array()
    for at in np.flatnonzero(kept.any((1, 2))):
        corrected = np.unique(ids[at][kept[at]])
        kept[at] |= np.isin(ids[at], corrected[corrected > 0])
        if not (ids[at][~kept[at]] > 0).any():
            kept[at] = True
    whole = list(planes) or ([] if locked else np.flatnonzero((ids > 0).any((1, 2))))
    kept[whole] = True
    return kept


def continue_sections(found: Ids, ids: Ids, kept: Mask, spacing: Sequence[float] = ()) -> Ids:
    """Give objects the ids of the sections that they continue, and put these in.

    Parameters
    ----------
    found
        (Z, Y, X): predicted objects, numbered from 1.
    ids
        Painted ids, which count where `kept` is true.
    kept
        Pixels that stay as they are.
    spacing
        Size of a pixel along each axis.

    Returns
    -------
    array (Z, Y, X)
        Of the type of `ids`. An object that continues several sections is divided: each pixel has
        the id of the nearest. One that continues none has a new id.
    """
    painted = np.where(kept & (ids > 0), ids, 0)
    continues: dict[int, set[int]] = {}
    for at in np.flatnonzero(painted.any((1, 2))):
        for one, its in _continued(found[at], painted[at]):
            continues.setdefault(one, set()).add(its)
    new = np.zeros(int(found.max(initial=0)) + 1, ids.dtype)
    others = [one for one in range(1, len(new)) if one not in continues]
    new[others] = int(painted.max(initial=0)) + 1 + np.arange(len(others))
    for one, sources in continues.items():
        new[one] = min(sources)
    out: Ids = new[found]
    boxes = scipy.ndimage.find_objects(found)
    for one, sources in continues.items():
        if len(sources) > 1:
            box = boxes[one - 1]
            sections = np.where(np.isin(painted[box], list(sources)), painted[box], 0)
            nearest = scipy.ndimage.distance_transform_edt(
                sections == 0, spacing or None, return_distances=False, return_indices=True
            )
            np.copyto(out[box], sections[tuple(nearest)], where=found[box] == one)
    out[kept] = ids[kept]
    return out


def _continued(found: Ids, painted: Ids) -> list[tuple[int, int]]:
    """Return the pairs of an object and a painted one that share half of the smaller section."""
    both = overlap_of(found, painted)
    smaller = np.minimum(both.prediction_sizes[both.prediction], both.truth_sizes[both.truth])
    those = both.pixels >= _CONTINUES * smaller
    ones, its = both.prediction_ids[both.prediction[those]], both.truth_ids[both.truth[those]]
    return list(zip(ones.tolist(), its.tolist(), strict=True))


def _ids_of(labels: Any) -> Ids:
    """Return labels as integers with room for the ids of new objects."""
    array = np.asarray(labels)
    if array.dtype.kind == "f":
        array = whole_numbers(array)
    highest = int(array.max(initial=0))
    check_id(highest)
    return array.astype(np.int32 if highest <= _MANY else np.int64)


def _goes_on(start: TrainedModel, image: Image, ndim: int) -> bool:
    """Whether a model can learn on from an image: its channels and axes may be others now."""
    same = (start.n_channels, start.ndim) == (image.n_channels, ndim)
    return same and start.decoder is not None


def _check_planes(planes: Sequence[int], depth: int) -> None:
    outside = [at for at in planes if not 0 <= at < depth]
    if outside:
        raise InputError(
            f"There is no plane {outside[0]}: the stack has {depth} planes, counted from 0."
        )


__all__ = ["FillOptions", "FilledVolume", "continue_sections", "fill_volume", "kept_sections"]
