"""Numbers for the data of layers, since the address of an array that is gone is used again."""

from itertools import count
from weakref import WeakKeyDictionary

from napari.layers import Layer

_NUMBERS = count()


class _Follower:
    """The number of the data of a layer: a new one each time they are set."""

    def __init__(self, layer: Layer) -> None:
        self.first = self.now = next(_NUMBERS)
        layer.events.data.connect(self._on_data)

    def _on_data(self) -> None:
        self.now = next(_NUMBERS)


_FOLLOWERS: "WeakKeyDictionary[Layer, _Follower]" = WeakKeyDictionary()
_WRITTEN: "WeakKeyDictionary[Layer, int]" = WeakKeyDictionary()


def data_version(layer: Layer) -> int:
    """Return a number that no other data have; changes are followed from the first call on."""
    return _follower(layer).now


def note_written(layer: Layer) -> None:
    """Remember that the data of a layer are the result of a run."""
    _WRITTEN[layer] = data_version(layer)


def is_as_written(layer: Layer) -> bool:
    """Whether nothing else has set the data of a result since a run did, or since it was opened."""
    follower = _follower(layer)
    return _WRITTEN.get(layer, follower.first) == follower.now


def _follower(layer: Layer) -> _Follower:
    if layer not in _FOLLOWERS:
        _FOLLOWERS[layer] = _Follower(layer)
    return _FOLLOWERS[layer]


__all__ = ["data_version", "is_as_written", "note_written"]
