"""SIGTERM, by which schedulers announce that they will kill a process soon."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType


class Stopped(BaseException):
    """The process has been asked to end; no `Exception`, so that no adapter takes it for an error of its own."""


class Stopping:
    """Within the block, SIGTERM raises `Stopped`, but at once only where nothing is under way that would be lost."""

    def __init__(self) -> None:
        self.asked = False
        self._held = False

    def __enter__(self) -> Stopping:
        if threading.current_thread() is threading.main_thread():  # Python lets no other one handle signals
            self._before = signal.signal(signal.SIGTERM, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        if not self._held:
            raise Stopped

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """See the block through first."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self.asked:
            raise Stopped
