"""Compilation of kernels to machine code. Imports numba."""

import functools
import logging
from collections.abc import Callable
from typing import Any

from numba import njit  # noqa: TID253 - see above
from numba.core import event  # noqa: TID253

_LOG = logging.getLogger(__name__)


class _FirstCompilation(event.Listener):  # type: ignore[misc]
    """Log that a kernel is compiled, when that happens first in this process."""

    def __init__(self) -> None:
        self._logged = False

    def on_start(self, event: Any) -> None:
        if not self._logged:
            self._logged = True
            _LOG.info("compiling code, once after installation; this takes some seconds")

    def on_end(self, event: Any) -> None:
        pass


# Code that was kept is loaded without this event.
event.register("numba:compile", _FirstCompilation())


@functools.lru_cache
def keeps_code() -> bool:
    """Check whether machine code can be kept on disk for the next process.

    It is kept beside the package, or in the user's cache folder where the package is read-only. If
    neither can be written, every process compiles again.
    """
    try:
        njit(cache=True)(keeps_code.__wrapped__)
    except RuntimeError:
        return False
    return True


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function when it meets arguments of new types.

    Parameters
    ----------
    options
        Further options of `numba.njit`, such as `fastmath`.
    """
    decorate: Any = njit(nogil=True, cache=keeps_code(), **options)
    return decorate


__all__ = ["compiled", "keeps_code"]
