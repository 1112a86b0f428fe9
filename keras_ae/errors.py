"""The ways in which a command ends without its result, each told in one line."""


class BadRequest(ValueError):
    """What was asked for cannot be done: nothing was changed, exit status 2."""


class RunFailed(RuntimeError):
    """A run that had begun could not be finished: exit status 1."""


class Diverged(RunFailed):
    """A loss stopped being a finite number."""


class Interrupted(RunFailed):
    """A signal stopped a run that can go on later: exit status 128 and the signal's number."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.signal_number = signal_number
