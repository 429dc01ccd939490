"""Runs a function over items, videos as a rule: in this process, in a pool of processes, or on Ray.

A pool of our own, since the standard one gives up altogether when a worker is killed and cannot say on which item.
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any, TypeVar, cast

from revoskit.errors import UsageError, WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")

ENGINES = ("local", "ray")
_MOST = 60 if sys.platform == "win32" else 1 << 20  # Windows waits for no more connections at a time
_GRACE = 1.0  # seconds in which a worker that was told to end is gone: it has nothing to do before it goes
ATTEMPTS = 3  # an item whose worker dies is tried this often: the kernel, short of memory, may have shot the wrong one


def run(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    num_proc: int = 1,
    engine: str = "local",
    address: str | None = None,
    gpus: bool = False,
) -> Generator[tuple[Item, Result], None, None]:
    """Yield `(item, function(item))` for every item, as each gets done.

    Items are taken from `items` as workers fall idle. `function` and the items are pickled for other processes: pass
    ids and paths, never masks. Closing the iterator, or interrupting it, stops the workers at once.

    Args:
        function: what to do; on Ray, its module must be importable on every node.
        items: what to do it with.
        num_proc: how many at once.
        engine: `"local"` works here (in this process when `num_proc` is 1), `"ray"` on Ray.
        address: of a running Ray cluster, as `ray.init` takes it; without it a local one is started and stopped again.
        gpus: on Ray, let each item have a GPU of its own, if the cluster has any.

    Raises:
        UsageError: there is no such engine, or Ray is not installed or cannot be reached.
        WorkerError: a worker process died on the same item again and again. All other items have been yielded by then.
        Exception: whatever `function` raises; what is unfinished is dropped.
    """
    require(num_proc, engine, address)
    if engine == "ray":
        return _on_ray(function, items, num_proc, address, gpus)
    if num_proc == 1:
        return ((item, function(item)) for item in items)
    return _in_processes(function, items, num_proc)


def cores() -> int:
    """How many processes can work at a time: the cores that this process may use, which may be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def require(num_proc: int, engine: str = "local", address: str | None = None) -> None:
    """See that `run` could begin, before anything is prepared or written for it.

    Raises:
        UsageError: as `run` does.
    """
    if engine not in ENGINES:
        raise UsageError(f"there is no engine {engine!r}: use {' or '.join(ENGINES)}")
    if address is not None and engine != "ray":
        raise UsageError(f"the address {address!r} is that of a Ray cluster: it goes with engine ray (--engine ray)")
    if num_proc < 1:
        raise UsageError(f"the number of processes (num_proc, --num-proc) is {num_proc}: expected 1 or more")
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        raise UsageError("engine ray needs Ray: pip install 'revos-dataset[ray]'")


# --- signals ----------------------------------------------------------------------------------------------------------


class Terminated(KeyboardInterrupt):
    """SIGTERM has come; whatever cleans up after Ctrl-C cleans up after it."""


@contextlib.contextmanager
def termination_raised() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` within the block, so that workers are stopped and what is half done is removed."""
    if threading.current_thread() is not threading.main_thread():  # Python lets no other one handle signals
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block is done, where native code or a fork must not be left half-way.

    Their handlers are exchanged rather than the signals blocked: the system would give them to another thread.
    """
    held: list[tuple[int, FrameType | None]] = []
    with _here(lambda number, frame: held.append((number, frame))) as before:
        yield
    if held:
        number, frame = held[0]
        before[number](number, frame)


@contextlib.contextmanager
def interrupts_kept_here() -> Iterator[None]:
    """Let processes that others fork within the block ignore Ctrl-C, which this one answers, and end at SIGTERM.

    A worker that Ctrl-C ends may take the lock of its pool's queue along, and one that inherits a handler which raises
    may swallow it, where a finalizer runs: either way its pool waits for ever.
    """
    with _here(lambda number, frame: before[number](number, frame)) as before:
        yield


@contextlib.contextmanager
def _here(answer: Callable[[int, FrameType | None], object]) -> Iterator[dict[int, Callable[..., object]]]:
    """Let `answer` handle the signals that this process handles by now; gives the handlers that they had.

    What is forked meanwhile inherits it from its first moment on, and is told apart by its number.
    """
    ours = os.getpid()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if os.getpid() == ours:
            answer(number, frame)
        elif number == signal.SIGTERM:
            os._exit(128 + number)

    before: dict[int, Callable[..., object]] = {}
    if threading.current_thread() is threading.main_thread():  # Python lets no other one handle signals
        for which in (signal.SIGINT, signal.SIGTERM):
            if callable(handler := signal.getsignal(which)):  # else it ends the process, or is ignored
                before[which] = handler
                signal.signal(which, on_signal)
    try:
        yield before
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_parent() -> None:
    """Do not outlive a parent that was killed: this process, one of its workers, then ends as well."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


# --- a pool of processes ----------------------------------------------------------------------------------------------


class _RemoteTraceback(Exception):
    """The traceback of an error in another process, as the cause of the error raised here."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


class _Worker:
    """A process, and the item that it works on."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=_work, args=(function, theirs, self.connection), daemon=True)
        with interrupts_held():  # what it raises in the midst of a fork is lost here, and noise in the child
            self.process.start()
        theirs.close()  # so that its end is the only one, and its death is the end of the stream
        self.item: Any = None
        self.attempt = 0

    def begin(self, item: Any, attempt: int) -> None:
        self.item, self.attempt = item, attempt
        with contextlib.suppress(OSError):  # it died while idle: the end of the stream will tell
            self.connection.send(item)

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(_GRACE)
        if self.process.is_alive():  # Python forgets a signal that comes between a fork and what it does behind it
            self.process.kill()
        self.process.join()
        self.connection.close()


def _work(function: Callable[[Any], Any], connection: Connection[Any, Any], other_end: Connection[Any, Any]) -> None:
    """A worker's life: items in, results out, until the stream ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent answers it for all
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_parent()
    other_end.close()
    with contextlib.suppress(EOFError, ConnectionError):  # the run is over, or was killed
        while True:
            item = connection.recv()
            try:
                answer = pickle.dumps((function(item), None))
            except Exception as error:
                answer = pickled(error)
            connection.send_bytes(answer)


def pickled(error: Exception) -> bytes:
    """An answer that is an error, to be sent to another process, with the traceback that it has here."""
    text = traceback.format_exc()
    try:
        answer = pickle.dumps((None, (error, text)))
        pickle.loads(answer)  # some errors can be written and not be read
    except Exception:
        answer = pickle.dumps((None, (RuntimeError(f"{type(error).__name__}: {error}"), text)))
    return answer


def unpickled(answer: bytes) -> Exception:
    """The error of such an answer, caused by the traceback that it had there."""
    error: Exception
    _, (error, text) = pickle.loads(answer)
    error.__cause__ = _RemoteTraceback(text)
    return error


def _in_processes(
    function: Callable[[Any], Any], items: Iterable[Any], num_proc: int
) -> Generator[tuple[Any, Any], None, None]:
    waiting = iter(items)
    again: deque[tuple[Any, int]] = deque()  # items whose worker died, and the number of the next attempt
    lost: list[str] = []
    busy: dict[Connection[Any, Any], _Worker] = {}

    def occupy(worker: _Worker | None) -> None:
        """Give a worker the next item; where none is left, it goes."""
        item, attempt = again.popleft() if again else (next(waiting, _END), 1)
        if item is not _END:
            worker = worker or _Worker(function)
            busy[worker.connection] = worker
            worker.begin(item, attempt)
        elif worker:
            worker.stop()

    try:
        for _ in range(min(num_proc, _MOST)):
            occupy(None)
        while busy:
            for ready in wait(list(busy)):
                connection = cast("Connection[Any, Any]", ready)
                worker = busy[connection]
                item = worker.item
                try:
                    result, error = pickle.loads(connection.recv_bytes())
                except (EOFError, OSError):
                    del busy[connection]
                    worker.stop()
                    if worker.attempt < ATTEMPTS:
                        again.append((item, worker.attempt + 1))
                    else:
                        lost.append(f"{item!r} ({how_it_ended(worker.process.exitcode)})")
                    occupy(None)
                    continue
                if error:
                    raise error[0] from _RemoteTraceback(error[1])
                del busy[connection]
                occupy(worker)  # first: it need not wait for what is done with the result
                yield item, result
    finally:
        for worker in busy.values():
            worker.stop()
    if lost:
        raise _worker_error(lost)


_END = object()


def how_it_ended(exitcode: int | None) -> str:
    """What the exit code of a process says, in words."""
    if exitcode is None or exitcode >= 0:
        return f"it exited with status {exitcode}"
    name = signal.Signals(-exitcode).name if -exitcode in set(signal.Signals) else "a signal"
    return f"killed by {name}{_WHY.get(name, '')}"


_WHY = {
    "SIGKILL": ", as the system does when memory runs out",
    "SIGBUS": ", as happens when mask_dict.json or another file is cut short while it is read: is it being written to?",
}


def _worker_error(lost: list[str]) -> WorkerError:
    return WorkerError(
        f"the worker process died {ATTEMPTS} times on each of {len(lost)} items, everything else is done: "
        f"{', '.join(lost[:5])}{', …' if len(lost) > 5 else ''}. If memory ran out, use fewer processes."
    )


# --- Ray --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Give SIGTERM back to whom it belonged, since `ray.init` takes it for good.

    Its handler outlives Ray, and every process that is forked later inherits it. It raises, which is lost where
    Python lets no exception out (what runs after a fork, finalizers): the workers of `load_dataset(num_proc=2)`
    then do not always end when their pool ends them, and the pool waits for them for ever.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)


def _on_ray(
    function: Callable[[Any], Any], items: Iterable[Any], num_proc: int, address: str | None, gpus: bool
) -> Generator[tuple[Any, Any], None, None]:
    import ray

    ours = not ray.is_initialized()
    if ours:
        local = {"num_cpus": num_proc, "include_dashboard": False} if address is None else {}
        try:
            with _sigterm_kept():
                ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **local)
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = "could not be started here" if address is None else f"cannot be reached at {address!r} (--address)"
            raise UsageError(f"Ray {where}: {error}") from error

    def call(item: Any) -> Any:  # Ray takes no builtin and no partial
        return function(item)

    # Ray tries again by itself where a worker or its node is gone, and not where `function` raises.
    needs = {"num_gpus": 1} if gpus and ray.cluster_resources().get("GPU") else {}
    task = ray.remote(max_retries=ATTEMPTS - 1, **needs)(call)
    waiting = iter(items)
    running: dict[Any, Any] = {}
    lost: list[str] = []
    try:
        while True:
            for item in waiting:
                running[task.remote(item)] = item
                if len(running) >= num_proc:
                    break
            if not running:
                break
            done, _ = ray.wait(list(running))
            for reference in done:
                item = running.pop(reference)
                try:
                    result = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from _RemoteTraceback(str(error))
                except ray.exceptions.RayError as error:
                    lost.append(f"{item!r} ({type(error).__name__})")
                else:
                    yield item, result
    finally:
        with interrupts_held():  # a second one would leave the cluster half stopped
            for reference in running:
                ray.cancel(reference, force=True)
            if ours:
                ray.shutdown()
    if lost:
        raise _worker_error(lost)
