"""The review queue: where to look first, when to stop, and how many objects there are."""

from napari_unetseg.core.review_queue.build_queue import BuiltQueue, make_queue
from napari_unetseg.core.review_queue.estimate_count import (
    Count,
    Interval,
    JudgedSample,
    count_columns,
    count_of,
)
from napari_unetseg.core.review_queue.judge_corrections import drawn_in, worth_of
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
    "count_of",
    "drawn_in",
    "make_queue",
    "read_queue",
    "worth_of",
]
