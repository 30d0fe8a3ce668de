"""Errors that a user can correct."""


class InputError(ValueError):
    """Report input that cannot be used, in words the user can act on.

    The message is one or two sentences: what was given, what is needed, what to do next. A dock
    shows it on its message line; the command line prints it on one line and exits with status 2.
    All other exceptions are programming errors and are not caught.
    """
