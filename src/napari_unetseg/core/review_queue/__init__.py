"""Sort objects for review, decide when to stop, and estimate the true number of objects."""

from napari_unetseg.core.review_queue.build_queue import BuiltQueue, make_queue
from napari_unetseg.core.review_queue.estimate_count import (
    Count,
    Interval,
    JudgedSample,
    count_columns,
    estimate_count,
)
from napari_unetseg.core.review_queue.judge_corrections import (
    count_drawn_objects,
    count_true_objects,
    window_within,
)
from napari_unetseg.core.review_queue.label_snapshots import surroundings, unpack_labels
from napari_unetseg.core.review_queue.queue_evidence import Sources
from napari_unetseg.core.review_queue.queue_items import Item, Verdict
from napari_unetseg.core.review_queue.queue_options import Order, QueueOptions
from napari_unetseg.core.review_queue.queue_state import Outlook, Queue, read_queue

__all__ = [
    "BuiltQueue",
    "Count",
    "Interval",
    "Item",
    "JudgedSample",
    "Order",
    "Outlook",
    "Queue",
    "QueueOptions",
    "Sources",
    "Verdict",
    "count_columns",
    "count_drawn_objects",
    "count_true_objects",
    "estimate_count",
    "make_queue",
    "read_queue",
    "surroundings",
    "unpack_labels",
    "window_within",
]
