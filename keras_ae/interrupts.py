"""SIGINT and SIGTERM as a wish to stop."""

import os
import signal
import socket
import sys
import threading

from keras_ae.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Notes the first SIGINT or SIGTERM in a `with` block; the second ends the process at once.

    At once means: also while the main thread is inside a long TensorFlow call, where Python's
    handlers have to wait for its return. So a thread reads the signals, from the descriptor that
    Python's C handler writes to.

    In other threads than the main one the block changes nothing: signals go to the main thread.
    The hint says how to resume later.
    """

    def __init__(self, hint: str):
        self.hint = hint
        self.received: signal.Signals | None = None

    def check(self) -> None:
        """Raises `Interrupted` if a signal has come. Called where the state is saved."""
        if self.received is not None:
            raise Interrupted(f"stopped by {self.received.name}; {self.hint}", self.received)

    def __enter__(self) -> "Interrupts":
        self._active = threading.current_thread() is threading.main_thread()
        if self._active:
            self._reader, self._writer = socket.socketpair()
            self._writer.setblocking(False)
            self._descriptor = signal.set_wakeup_fd(self._writer.fileno())
            # The handler has nothing to do; it only must not be the default one.
            self._handlers = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        if self._active:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._descriptor)
            self._writer.close()
            self._thread.join()
            self._reader.close()

    def _watch(self) -> None:
        while received := self._reader.recv(1):
            if received[0] not in _SIGNALS:
                continue
            number = signal.Signals(received[0])
            if self.received is None:
                self.received = number
                print(f"{number.name}: stopping after this step", file=sys.stderr, flush=True)
            else:
                print(f"{number.name}: stopped; {self.hint}", file=sys.stderr, flush=True)
                os._exit(128 + number)
