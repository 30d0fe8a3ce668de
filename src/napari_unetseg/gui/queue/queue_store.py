"""Storage of review queues in the metadata of a layer, which the project saves."""

from collections.abc import Mapping
from typing import Any

from napari.layers import Layer

from napari_unetseg.core.errors import InputError
from napari_unetseg.core.review_queue import Count, Order, Queue, estimate_count, read_queue
from napari_unetseg.gui.shared.layers import METADATA_KEY

QUEUES = "review_queues"
"""Key within the plugin's metadata: a queue per order, and a revision number."""

_REVISION = "revision"


def queue_of(layer: Layer, order: Order) -> Queue | None:
    """Return the queue of an order stored in a layer; None if there is none, it is damaged, or it
    belongs to other labels."""
    plain = _kept(layer).get(order)
    if not isinstance(plain, Mapping):
        return None
    shape = layer.data[0].shape if getattr(layer, "multiscale", False) else layer.data.shape
    try:
        return read_queue(plain, tuple(shape))
    except InputError:
        return None


def keep_queue(layer: Layer, queue: Queue) -> None:
    """Store a queue in a layer, replacing the previous one of its order."""
    kept = {**_kept(layer), queue.order: queue.plain(), _REVISION: revision_of(layer) + 1}
    mark = {**layer.metadata.get(METADATA_KEY, {}), QUEUES: kept}
    layer.metadata = {**layer.metadata, METADATA_KEY: mark}


def count_in(layer: Layer) -> Count | None:
    """Return the count estimated from a layer's random sample, or None if there is none yet."""
    queue = queue_of(layer, "random sample")
    if queue is None:
        return None
    try:
        return estimate_count(queue.sample())
    except InputError:
        return None


def revision_of(layer: Layer) -> int:
    """Return a number that changes whenever a queue of the layer changes."""
    number = _kept(layer).get(_REVISION, 0)
    return number if isinstance(number, int) else 0


def _kept(layer: Layer) -> Mapping[str, Any]:
    mark = layer.metadata.get(METADATA_KEY, {})
    kept = mark.get(QUEUES, {}) if isinstance(mark, Mapping) else {}
    return kept if isinstance(kept, Mapping) else {}


__all__ = ["QUEUES", "count_in", "keep_queue", "queue_of", "revision_of"]
