"""The queue itself: where one is, when to stop, what counts as a sample, and keeping it."""

import base64
import json
import zlib

import numpy as np
import pytest

from napari_unetseg.core.corrections.locked_pixels import PixelSet
from napari_unetseg.core.errors import InputError
from napari_unetseg.core.review_queue import Item, Queue, read_queue
from napari_unetseg.core.review_queue.judge_corrections import count_corrected
from napari_unetseg.core.review_queue.label_snapshots import pack_labels, unpack_labels
from napari_unetseg.core.review_queue.queue_state import LAST


def items(n, kind="object"):
    return tuple(Item(kind, (k, 0), (k + 1, 4), k + 1, 4, 0.5, "") for k in range(n))


def test_next_is_what_has_no_verdict_and_what_was_passed_over_comes_again():
    queue = Queue("unsure first", items(4))
    assert queue.next_at() == 1
    queue = queue.go(1).judged(1, "accepted")
    assert queue.next_at() == 2
    queue = queue.go(3).judged(3, "fixed")
    assert queue.next_at() == 0
    for at in (0, 2):
        queue = queue.judged(at, "rejected", 0)
    assert queue.next_at() is None
    assert queue.n_judged == 4
    assert queue.judged(2, "").next_at() == 2


def test_it_ends_when_little_is_to_be_gained():
    queue = Queue("unsure first", items(100), enough=0.1)
    for at in range(LAST):
        queue = queue.judged(at, "fixed")
    assert not queue.outlook().enough
    assert queue.outlook().expected > 70
    for at in range(LAST, 2 * LAST - 2):
        queue = queue.judged(at, "accepted")
        assert not queue.outlook().enough
    queue = queue.judged(2 * LAST - 2, "accepted").judged(2 * LAST - 1, "accepted")
    outlook = queue.outlook()
    assert outlook.enough
    assert (outlook.changed, outlook.seen) == (0, LAST)
    assert 0 < outlook.expected < 5


def test_few_items_are_never_enough_before_the_last():
    queue = Queue("unsure first", items(5))
    for at in range(5):
        assert not queue.outlook().enough
        queue = queue.judged(at, "accepted")
    assert queue.outlook().enough
    assert queue.outlook().expected == 0


def test_an_unsure_first_queue_is_no_sample():
    with pytest.raises(InputError, match="not a random sample"):
        Queue("unsure first", items(3)).sample()


def test_a_sample_counts_up_to_the_first_gap():
    queue = Queue("random sample", items(5), population=50, windows=9, certain=2)
    queue = queue.judged(0, "accepted").judged(1, "rejected", 0).judged(3, "accepted")
    assert queue.sample().worth == (1.0, 0.0)
    assert queue.judged(2, "fixed", 2).sample().worth == (1.0, 0.0, 2.0, 1.0)
    window = Queue("random sample", items(2, "window"), windows=9).judged(0, "accepted", 3)
    assert window.sample().missed == (3,)
    assert window.outlook().changed == 1


def test_it_is_kept_as_plain_text():
    queue = Queue("random sample", items(3), population=3, windows=4).judged(1, "fixed", 0.5).go(2)
    again = read_queue(json.loads(json.dumps(queue.plain())), (10, 10))
    assert again == queue


@pytest.mark.parametrize(
    "spoil",
    [
        {"order": "by guess"},
        {"items": "none"},
        {"verdicts": ["", "perhaps", ""]},
        {"verdicts": [""], "worth": [0.0]},
        {"at": 7},
        {"more": 1, "items": [{"kind": "object"}]},
    ],
)
def test_what_is_damaged_is_refused(spoil):
    plain = Queue("unsure first", items(3)).plain()
    with pytest.raises(InputError, match=r"new one|again"):
        read_queue({**plain, **spoil}, (10, 10))


def test_a_queue_of_other_labels_is_refused():
    plain = Queue("unsure first", items(3)).plain()
    for shape in ((2, 10), (10, 3), (3, 10, 10)):
        with pytest.raises(InputError, match="other labels"):
            read_queue(plain, shape)


def test_labels_of_an_item_come_back_or_the_queue_is_damaged():
    labels = np.arange(48, dtype=np.uint16).reshape(6, 8)
    box = (slice(0, 6), slice(2, 10))
    assert np.array_equal(unpack_labels(pack_labels(labels), box), labels)
    bomb = base64.b64encode(zlib.compress(bytes(10**7))).decode()
    for packed in (pack_labels(labels)[:-9], "no text of ours", bomb, ""):
        with pytest.raises(InputError, match="damaged"):
            unpack_labels(packed, box)


def test_what_a_run_changed_is_no_correction():
    labels = np.zeros((12, 12), np.int32)
    item = Item("window", (0, 0), (12, 12), before=pack_labels(labels))
    labels[2:4, 2:4] = 1
    labels[7:9, 7:9] = 2
    locked = PixelSet(labels.shape)
    assert count_corrected(item, labels, locked) is None
    locked.add((slice(7, 9), slice(7, 9)))
    assert count_corrected(item, labels, locked) == 1
