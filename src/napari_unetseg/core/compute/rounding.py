"""Whole numbers rounded up: the sides of tiles, blocks and grids."""


def divide_up(number: int, divisor: int) -> int:
    """Return the quotient of two whole numbers, rounded up."""
    return -(-number // divisor)


def round_up(number: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `number`."""
    return divide_up(number, multiple) * multiple


__all__ = ["divide_up", "round_up"]
