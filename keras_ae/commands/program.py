"""What the command lines share: flags, exit statuses, a quiet TensorFlow."""

import argparse
import contextlib
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence

from keras_ae.backend import check_backend
from keras_ae.errors import BadRequest, Interrupted, RunFailed
from keras_ae.files import EXHAUSTED, FORBIDDEN


class Parser(argparse.ArgumentParser):
    """A parser of flags, each by its whole name, whose errors are `BadRequest`s."""

    def __init__(self, **arguments):
        super().__init__(**{"allow_abbrev": False, **arguments})

    def error(self, message):
        raise BadRequest(message)

    def with_flags(self, message: str) -> str:
        """Returns a message in which `arguments` in backticks have become flags."""
        flags = {action.dest: action.option_strings for action in self._actions}

        def flag(match: re.Match) -> str:
            return flags[match[1]][-1] if flags.get(match[1]) else match[0]

        return re.sub(r"`(\w+)`", flag, message)


def run(
    parser: Parser, command: Callable[[dict], None], arguments: Sequence[str] | None = None
) -> int:
    """Runs a command with the values of its flags by name, and returns its exit status.

    Whatever keeps the command from its result is told in one line on stderr.
    """
    try:
        command(vars(parser.parse_args(arguments)))
        _flush()
    except BadRequest as error:
        message, status = error, 2
    except Interrupted as error:
        message, status = error, 128 + error.signal_number
    except RunFailed as error:
        message, status = error, 1
    except KeyboardInterrupt:
        message, status = "stopped by SIGINT", 128 + signal.SIGINT
    except BrokenPipeError:
        return 128 + signal.SIGPIPE  # As of `train.py --list | head -0`: nobody reads on.
    except OSError as error:
        if error.errno not in (*EXHAUSTED, *FORBIDDEN):
            raise
        message, status = error, 1
    else:
        return 0
    finally:
        with contextlib.suppress(OSError):
            _flush()
    text = parser.with_flags(str(message))
    # What was received may have lines and colours of its own.
    line = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
    print(f"{parser.prog}: {line}", file=sys.stderr)
    return status


def _flush() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        # Python would try again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Holds back what an import of TensorFlow writes to stderr, and shows it only if it fails.

    Its libraries announce themselves there before any log level applies.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            check_backend()
            yield
        except (BadRequest, KeyboardInterrupt):
            raise  # One line says it all.
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
