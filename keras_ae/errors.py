"""The two ways in which a command ends without its result, each told in one line."""


class BadRequest(ValueError):
    """What was asked for cannot be done: nothing was changed, exit status 2."""


class RunFailed(RuntimeError):
    """A run that had begun could not be finished: exit status 1."""
