"""Memory limit of computations."""

_SHARE = 0.5


def allowed(gigabytes: float = 0.0) -> int:
    """Return the number of bytes to use at most: the given limit, or half of the free memory."""
    if gigabytes:
        return int(gigabytes * 1e9)
    import psutil

    return int(_SHARE * psutil.virtual_memory().available)


__all__ = ["allowed"]
