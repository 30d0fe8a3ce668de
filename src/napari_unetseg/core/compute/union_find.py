"""Union-find: which of many things are joined, each led by a root. Compiled; imports numba."""

from typing import Any

from numpy.typing import NDArray

from napari_unetseg.core.compute.compilation import compiled


@compiled()
def find_root(parent: NDArray[Any], k: int) -> int:
    """Return the root of the set that thing `k` is in, halving the way to it.

    Parameters
    ----------
    parent
        (n,), integers: the parent of each thing, a root's being itself; changed.
    """
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


__all__ = ["find_root"]
