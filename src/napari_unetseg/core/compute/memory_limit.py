"""How much memory there is to use."""

_SHARE = 0.5


def allowed(gigabytes: float = 0.0) -> int:
    """Return the bytes that may be used: those asked for, or half of what is free."""
    if gigabytes:
        return int(gigabytes * 1e9)
    import psutil

    return int(_SHARE * psutil.virtual_memory().available)


__all__ = ["allowed"]
