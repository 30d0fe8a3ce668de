"""Tracks layers: the paths of objects that are linked over time, with their divisions."""

from typing import Any

from napari.layers import Labels, Layer, Tracks

from napari_unetseg.core.objects.lineage import Lineage
from napari_unetseg.gui.shared.layers import (
    METADATA_KEY,
    PARENTS,
    LayerList,
    find_layer,
    geometry_of,
    image_of,
    mark_again,
    marked,
    role_of,
)

TRACKS = "tracks"
"""Role of the layers made here, whose source is the Labels layer."""


def show_lineage(layers: LayerList, labels: Labels, lineage: Lineage | None) -> None:
    """Note the mothers of new objects in their Labels layer, and show their paths.

    Parameters
    ----------
    lineage
        As for `show_tracks`; None for objects that are not linked over time.
    """
    parents = None if lineage is None else dict(lineage.parents)
    mark_again(labels, {METADATA_KEY: {PARENTS: parents}})
    show_tracks(layers, labels, lineage)


def show_tracks(layers: LayerList, labels: Labels, lineage: Lineage | None) -> Tracks | None:
    """Show the paths of the objects of a Labels layer, in place of earlier ones.

    Parameters
    ----------
    lineage
        Of the labels; None, or that of labels without objects or whose time is not the first axis,
        removes the layer.
    """
    old = find_layer(layers, TRACKS, labels)
    keep: dict[str, Any] = {}
    if isinstance(old, Tracks):
        keep = {name: getattr(old, name) for name in ("visible", "tail_length", "tail_width")}
        layers.remove(old)
    fits = image_of(labels).axes[0] == "T"
    if lineage is None or not fits or lineage.places.shape[1] != labels.ndim + 1:
        return None
    if not len(lineage.places):
        return None
    active = layers.selection.active
    graph = {daughter: [mother] for daughter, mother in lineage.parents.items()}
    made = Tracks(
        lineage.places,
        graph=graph,
        name=f"{labels.name} tracks",
        metadata=marked(TRACKS, labels, {}),
        **geometry_of(labels),
        **keep,
    )
    layers.append(made)
    if active is not None:
        # The tools use the active layer, and none of them takes tracks.
        layers.selection.active = active
    return made


def is_tracks(layer: Layer) -> bool:
    """Whether a layer was made by `show_tracks`."""
    return role_of(layer) == TRACKS


__all__ = ["TRACKS", "is_tracks", "show_lineage", "show_tracks"]
