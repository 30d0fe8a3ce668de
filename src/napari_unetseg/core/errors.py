"""The one kind of error that a user can mend."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence or two: what was given, what is needed, what to do next. A dock
    shows it on its message line; the command line prints it on one line and exits with status 2.
    Everything else that is raised is a programming error and is left to fly.
    """
