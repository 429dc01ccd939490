"""Runs a model over a split: each process its videos, an expression at a time, and what is done stays done."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from revoskit import workers
from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.families import REVOS
from revoskit.dataset.layout import Faults, Layout
from revoskit.dataset.records import Expression, Video
from revoskit.errors import AdapterError, UsageError, WorkerError
from revoskit.inference import adapter as adapters
from revoskit.inference import division
from revoskit.inference.answers import as_rles
from revoskit.inference.division import Shard
from revoskit.inference.lines import (
    Data,
    Failed,
    Key,
    Lines,
    Place,
    Predicted,
    Run,
    encode,
    failed,
    file_sha256,
)
from revoskit.inference.stopping import Stopped, Stopping
from revoskit.inference.video_frames import VideoFrames
from revoskit.inference.writer import PredictionWriter, begin_run

_GLANCE = 0.5  # seconds between two looks at what other processes have written
_FAILURES = 10  # of one kind in a row, from the start on: what never works need not be tried on all of a split


@dataclass(frozen=True)
class Progress:
    """How far a shard, or all of a split, has come: expressions, and the frames that were predicted for them."""

    expressions: int
    predicted: int
    failed: int
    frames: int
    frames_done: int

    @property
    def left(self) -> int:
        return self.expressions - self.predicted - self.failed

    @classmethod
    def of(cls, videos: Collection[Video], lines: Lines, again: Collection[Place] = ()) -> Progress:
        """Of these videos, as lines that have been read tell it, but for those `again`, which are to be replaced."""
        counts = Counter[str]()
        for video in videos:
            for expression in video.expressions:
                place = lines.places.get((video.video_id, expression.expression_id))
                place = None if place in again else place
                counts["left" if place is None else "failed" if place.failed else "predicted"] += 1
                counts["frames_done"] += 0 if place is None else len(video.frame_names)
        total = counts["left"] + counts["failed"] + counts["predicted"]
        frames = sum(map(division.cost, videos))
        return cls(total, counts["predicted"], counts["failed"], frames, counts["frames_done"])


@dataclass(frozen=True)
class Report:
    """What a run has left behind when it ends."""

    output: Path
    shard: Shard
    mine: Progress
    """Of the shard that was worked on."""
    split: Progress
    """Of the whole split, whoever did it."""
    failures: tuple[Failed, ...]
    """Of the shard that was worked on, from this run or earlier ones."""
    stopped: bool
    """SIGTERM came before all was done."""

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        named = {"mine": self.mine, "split": self.split}
        return {
            "output": str(self.output),
            "shard": str(self.shard),
            **{name: {**asdict(progress), "left": progress.left} for name, progress in named.items()},
            "failures": [
                {"video_id": f.video_id, "expression_id": f.expression_id, "error": f.error} for f in self.failures
            ],
            "stopped": self.stopped,
        }

    def describe(self, shown: int = 5) -> str:
        """A few lines for people: what is done, what failed, what to do next."""
        whose = "" if self.shard.count == 1 else f" of shard {self.shard}"
        lines = [
            f"{self.output}: {self.mine.predicted:,} of {self.mine.expressions:,} expressions{whose} are predicted"
        ]
        if self.failures:
            lines[0] += f", {len(self.failures):,} failed:"
            lines += [
                f"  {f.video_id}, expression {f.expression_id}: {_first_line(f.error)}" for f in self.failures[:shown]
            ]
            if len(self.failures) > shown:
                lines.append(f"  … and {len(self.failures) - shown:,} more")
            lines.append(
                "Their tracebacks are in the *.jsonl there; --retry-errors (retry_errors=True) tries them again."
            )
        if self.stopped:
            lines.append(f"Stopped by SIGTERM with {self.mine.left:,} left: the same command goes on.")
        elif self.split.left:
            lines.append(
                f"Left to the other shards: {self.split.left:,} of the split's {self.split.expressions:,} expressions."
            )
        return "\n".join(lines)


def _first_line(text: str) -> str:
    line = next(iter(text.splitlines()), "")
    return "".join(char if char.isprintable() else "?" for char in line)  # it goes to a terminal


def predict(
    adapter: str | adapters.Adapter,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    output: str | os.PathLike[str],
    split: str = "validation",
    family: str = REVOS,
    faults: Faults = "error",
    arguments: Mapping[str, Any] | None = None,
    shard: tuple[int, int] | None = None,
    num_proc: int = 1,
    engine: str = "local",
    address: str | None = None,
    resize: bool = False,
    retry_errors: bool = False,
    keep_going: bool = False,
    progress: Callable[[Progress], object] = lambda progress: None,
) -> Report:
    """Let a model predict every expression of a split, and write its masks to a folder as they come.

    Killed at any time, it loses the expressions under way; called again, with any number of shards, it goes on. What
    the model raises for an expression is written down in place of masks, and is not tried again unless asked for.

    Args:
        adapter: `"file.py:name"`, `"package.module:name"`, or what is called so: a function `predict(frames, text,
            row)`, or a class that is made once a process, with `device` and `arguments`, and called the same way.
            `frames` is a `VideoFrames`, `text` the expression, `row` a dict (see `revoskit.inference.adapter`). It
            gives masks as `as_rles` takes them, or a pair of masks and a dict of what else the model says.
        data_dir, split, family, faults: what to predict, as `open_annotations` takes it.
        output: the folder of the predictions, for `evaluate` and for this function to go on with.
        arguments: for a class.
        shard: predict this part only, `(i, n)`, counted from 0. Without it, and with one process, the environment tells
            (torchrun, accelerate, Slurm), and where it does not, everything is predicted.
        num_proc: how many processes share the split, each with a model of its own.
        engine, address: where they run, as `workers.run` takes it; on Ray, `output` is a folder that all nodes share.
        resize: take masks of another size than the video's, see `as_rles`.
        retry_errors: try again what has failed before.
        keep_going: go on where a model has not worked once, see below.
        progress: called now and then with how far it is, first with what was there.

    Returns:
        What is done and what failed. After SIGTERM, which lets the expressions under way be finished, it is `stopped`.

    Raises:
        UsageError: an argument is not valid, the folder is of another run, or another process does the same shard.
        AdapterError: the adapter cannot be found or made; or it has failed on the first ten expressions that a process
            gave it, of two videos at least, each time with an error of the same type. The failures stay written.
        MissingFilesError, AnnotationError: the dataset is not there or not sound.
        WorkerError: processes died again and again before they could predict anything.
    """
    workers.require(num_proc, engine, address)
    annotations = open_annotations(Layout.at(data_dir, family, faults=faults), split)
    part = _part(shard, num_proc, engine)
    if num_proc > 1 or engine == "ray":
        adapters.require_portable(adapter)
    run = Run(
        Data.of(annotations),
        adapters.name_of(adapter),
        dict(arguments or {}),
        resize,
        file_sha256(adapters.file_of(adapter)),
    )
    folder = Path(output).resolve()
    if folder == annotations.layout.root:
        raise UsageError(f"{output} is the dataset's own folder: name another one for the predictions")
    begun = begin_run(folder, run)
    if begun.adapter_sha256 not in (None, run.adapter_sha256):
        warnings.warn(
            f"{run.adapter} is not the file that it was when {output} was begun: what is predicted there already stays",
            stacklevel=2,
        )
    videos = part.videos(list(annotations))
    lines = Lines([folder])
    lines.refresh()
    again = lines.failures() if retry_errors else frozenset()
    job = _Job(adapters.anywhere(adapter), annotations, folder, run, again, keep_going)

    def look(read: Lines) -> None:
        progress(Progress.of(videos, read, again))

    def look_again() -> None:
        lines.refresh()
        look(lines)

    look(lines)
    stopped = False
    try:
        with Stopping() as stopping:
            if engine == "ray":
                _on_ray(job, num_proc, address, look_again)
            elif num_proc > 1:
                _in_processes(job, num_proc, stopping, look_again)
            else:
                _run_shard(job, part, stopping, look=look)
    except Stopped:
        stopped = True
    lines.refresh()
    failures = [lines.places[key] for key in _keys(videos) if key in lines.places and lines.places[key].failed]
    return Report(
        Path(output),
        part,
        Progress.of(videos, lines),
        Progress.of(list(annotations), lines),
        tuple(line for line in (place.read() for place in failures) if isinstance(line, Failed)),
        stopped,
    )


def _part(shard: tuple[int, int] | None, num_proc: int, engine: str) -> Shard:
    """What this call is about: a shard, or everything."""
    several = num_proc > 1 or engine == "ray"
    if shard is not None:
        if several:
            raise UsageError(f"shard {shard[0]}/{shard[1]} is for one process here: leave num_proc and engine out")
        return division.checked(*shard, local=division.from_environment().local)
    part = division.from_environment()
    if several and part.count > 1:
        raise UsageError(
            f"this is process {part.index} of {part.count} already (RANK or SLURM_PROCID in the environment): leave "
            "num_proc (--num-proc, --engine) out, or unset the variables"
        )
    return Shard(0, 1) if several else part


def _keys(videos: Collection[Video]) -> Iterator[Key]:
    return ((video.video_id, expression.expression_id) for video in videos for expression in video.expressions)


# --- one shard --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Job:
    """What is the same for all shards; goes to other processes."""

    adapter: str | adapters.Adapter
    annotations: Annotations
    output: Path
    run: Run
    again: frozenset[Place]
    """Failures that are tried again: those from before, not what fails while others are tried."""
    keep_going: bool

    def writer(self, shard: Shard) -> PredictionWriter:
        return PredictionWriter.for_run(self.output, self.annotations, shard, self.run, self.again)


@dataclass
class _Start:
    """What an adapter has raised in this process, until it works for once or fails in another way.

    All of one video is not enough: its frames may be broken, or too many for the model.
    """

    kind: type[Exception] | None = None
    last: str = ""  # and no exception, which would keep the tensors of its traceback
    count: int = 0
    videos: set[str] = field(default_factory=set)
    over: bool = False

    def worked(self) -> None:
        self.over = True

    def failed(self, error: Exception, line: Failed) -> None:
        self.kind = self.kind or type(error)
        self.over |= type(error) is not self.kind
        self.last = line.error
        self.count += 1
        self.videos.add(line.video_id)

    def require_hope(self, job: _Job) -> None:
        """See, before another expression is tried, that it is no waste."""
        if job.keep_going or self.over or self.count < _FAILURES or len(self.videos) < 2:
            return
        raise AdapterError(
            f"{job.run.adapter} has failed on each of the first {self.count} expressions, of {len(self.videos)} "
            f"videos, the last time with {_first_line(self.last)}\nThe tracebacks are in the *.jsonl in {job.output}. "
            "Mend it and try these again with --retry-errors (retry_errors=True); --keep-going (keep_going=True) goes "
            "on with the others all the same."
        )


def _run_shard(
    job: _Job,
    shard: Shard,
    stopping: Stopping,
    *,
    look: Callable[[Lines], object] = lambda lines: None,
    begun: Callable[[Key], object] = lambda key: None,
) -> None:
    """Predict what is left of a shard; `begun` is called before each expression, `look` after it."""
    videos = shard.videos(list(job.annotations))
    call: adapters.Adapter | None = None
    start = _Start()
    with job.writer(shard) as writer:
        for video in videos:
            writer.lines.refresh()
            todo = [e for e in video.expressions if not writer.done(video.video_id, e.expression_id)]
            if not todo:
                continue
            if call is None:  # not earlier: where all is done, no model is loaded
                call = adapters.make(job.adapter, job.run.arguments, shard.local)
            with VideoFrames(job.annotations, video) as frames:
                for expression in todo:
                    start.require_hope(job)
                    with stopping.held():
                        begun((video.video_id, expression.expression_id))
                        writer.append(_predict_one(call, frames, expression, job.run.resize, start))
                        look(writer.lines)


def _predict_one(
    call: adapters.Adapter, frames: VideoFrames, expression: Expression, resize: bool, start: _Start
) -> bytes:
    """The line for one expression."""
    video_id, expression_id = frames.video.video_id, expression.expression_id
    begin = time.perf_counter()
    try:
        answer = call(frames, expression.text, adapters.row_of(frames.video, expression))
        masks, extra = adapters.masks_and_extra(answer)
        rles = as_rles(masks, frames.video, resize=resize)
        line = encode(Predicted(video_id, expression_id, rles, _since(begin), extra))
    except Exception as error:  # whatever a model may raise: it is written down, and the next expression is tried
        failure = failed(video_id, expression_id, error, _since(begin))
        start.failed(error, failure)
        return encode(failure)
    start.worked()
    return line


def _since(begin: float) -> float:
    return round(time.perf_counter() - begin, 4)


# --- several of them --------------------------------------------------------------------------------------------------


class _Child:
    """A process that works on a shard, and what it has said."""

    def __init__(self, job: _Job, shard: Shard) -> None:
        context = multiprocessing.get_context("spawn")  # a GPU that its parent has touched is of no use to a forked one
        self.shard = shard
        self.connection, theirs = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(target=_work, args=(job, shard, theirs))
        self.process.start()
        theirs.close()  # so that its death is the end of the stream
        self.at: Key | None = None
        """The expression that is under way."""

    def listen(self) -> Exception | None:
        """Read what it has said; gives the error that ended it, if one did.

        Raises:
            EOFError: it has ended.
        """
        while self.connection.poll():
            said = self.connection.recv()
            if isinstance(said, tuple):
                self.at = said
            else:
                return workers.unpickled(said)
        return None


def _work(job: _Job, shard: Shard, connection: Connection) -> None:
    """A child's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent answers it for all
    workers.end_with_parent()
    try:
        with contextlib.suppress(Stopped), Stopping() as stopping:
            _run_shard(job, shard, stopping, begun=connection.send)
    except Exception as error:
        connection.send(workers.pickled(error))


def _in_processes(job: _Job, count: int, stopping: Stopping, look: Callable[[], object]) -> None:
    """A process a shard. One that dies is begun anew; an expression on which one dies again and again has failed."""
    deaths = Counter[Key | None]()
    children: dict[Connection, _Child] = {}

    def begin(shard: Shard) -> None:
        child = _Child(job, shard)
        children[child.connection] = child

    try:
        for index in range(count):
            begin(Shard(index, count, index))
        while children:
            for connection in wait(list(children), timeout=_GLANCE):
                child = children[connection]  # type: ignore[index]
                try:
                    error = child.listen()
                except (EOFError, OSError):
                    del children[child.connection]
                    child.process.join()
                    if child.process.exitcode and not stopping.asked:
                        _bury(job, child, deaths)
                        begin(child.shard)
                    continue
                if error is not None:
                    raise error
            look()
    except Stopped:
        with stopping.held():
            for child in children.values():
                child.process.terminate()  # SIGTERM: it finishes its expression
            for child in children.values():
                child.process.join()
    finally:
        for child in children.values():
            child.process.kill()
            child.process.join()


def _bury(job: _Job, child: _Child, deaths: Counter[Key | None]) -> None:
    """Count a death; write down the expression that has had too many."""
    how = workers.how_it_ended(child.process.exitcode)
    deaths[child.at] += 1
    if deaths[child.at] < workers.ATTEMPTS:
        return
    if child.at is None:
        raise WorkerError(f"the process of shard {child.shard} died {workers.ATTEMPTS} times while it began ({how})")
    with job.writer(child.shard) as writer:
        writer.error(*child.at, f"the process died {workers.ATTEMPTS} times on this expression ({how})")


def _on_ray(job: _Job, count: int, address: str | None, look: Callable[[], object]) -> None:
    """A task a shard. Ray gives each a GPU of its own, if it has any."""
    done = threading.Event()

    def keep_looking() -> None:
        while not done.wait(_GLANCE):
            look()

    watcher = threading.Thread(target=keep_looking, daemon=True)
    watcher.start()
    try:
        shards = [Shard(index, count) for index in range(count)]
        for _ in workers.run(partial(_task, job), shards, num_proc=count, engine="ray", address=address, gpus=True):
            pass
    finally:
        done.set()
        watcher.join()


def _task(job: _Job, shard: Shard) -> None:
    _run_shard(job, shard, Stopping())
