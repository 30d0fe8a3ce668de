"""Errors that a user can correct, and the one door for the decoders of foreign files."""

import re
import struct
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from napari_unetseg.core.progress import Cancelled, StopEarly

_PACKAGE = __name__.partition(".")[0]
_LONGEST_WORD, _LONGEST = 300, 1000

# Exceptions of built-in functions on damaged bytes or fields; an attribute or a name that does
# not exist, or a failed assertion, is an error of the program.
_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    ArithmeticError,
    EOFError,
    RecursionError,
    struct.error,
    zlib.error,
)
_FIELDS = (*_DAMAGE, TypeError, AttributeError)


class InputError(ValueError):
    """Report input that cannot be used, in words the user can act on.

    The message is one or two sentences: what was given, what is needed, what to do next. A dock
    shows it on its message line; the command line prints it on one line and exits with status 2.
    Names and values of thousands of letters are shortened, and letters that a terminal obeys rather
    than shows are escaped. All other exceptions are programming errors and are not caught.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(shorten(escape_controls(message)))


class NothingToDo(InputError):
    """Report that there is nothing to change: no mistake, so no dock shows it as a problem."""


def shorten(text: str) -> str:
    """Shorten words of more than 300 letters, and a text of more than 1000, in the middle."""
    words = re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda word: _cut(word[0], _LONGEST_WORD), text)
    return _cut(words, _LONGEST)


def escape_controls(text: str) -> str:
    """Escape the letters that are obeyed rather than shown, such as line breaks, colours or a
    change of the writing direction, and those that no encoding can write.
    """
    return "".join(letter if _is_shown(letter) else _escaped(letter) for letter in text)


def named_error(path: object, error: object) -> str:
    """Return an error message that names the file, at its beginning if nowhere else."""
    name = shorten(escape_controls(str(path)))
    return str(error) if name in str(error) else f"{name}: {error}"


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return f"{text[: longest * 2 // 3]}...{text[-longest // 4 :]}"


@contextmanager
def decoding(name: object, *, failed: str = "cannot be read") -> Iterator[None]:
    """Turn any exception of a decoder into one sentence that names the file.

    Parameters
    ----------
    name
        Name of the file, which begins the sentence.
    failed
        The predicate of the sentence.

    Raises
    ------
    InputError
        When a library raises any exception while it decodes the file, or our code one that damaged
        bytes or fields cause. All else flies: `InputError`, a cancel, want of memory, and errors
        of our own code such as a missing attribute.
    """
    try:
        yield
    except (InputError, Cancelled, StopEarly, MemoryError):
        raise
    except Exception as error:
        if not (isinstance(error, _DAMAGE) or _is_of_library(error)):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        if isinstance(error, TypeError | AttributeError):
            # Their words are on functions of the library.
            reason = "a value in it is not of the expected kind"
        raise InputError(f"{name} {failed}: {reason or type(error).__name__}.") from error


@contextmanager
def reading_fields(what: str = "its metadata") -> Iterator[None]:
    """Turn what missing or odd fields of foreign metadata cause into an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except _FIELDS as error:
        raise InputError(
            f"{what} cannot be understood ({type(error).__name__}: {error})"
        ) from error


def _is_of_library(error: Exception) -> bool:
    """Return whether an exception was raised outside of this program's own code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and not trace.tb_frame.f_globals.get("__name__", "").startswith(
        _PACKAGE
    )


__all__ = [
    "InputError",
    "NothingToDo",
    "decoding",
    "escape_controls",
    "named_error",
    "reading_fields",
    "shorten",
]
