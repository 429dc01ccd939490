"""Writes predictions a line at a time, for one of the processes that share a split."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from revoskit.atomic import make_folder, storing
from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.families import REVOS
from revoskit.dataset.layout import Faults, Layout
from revoskit.dataset.records import Video
from revoskit.errors import UsageError
from revoskit.inference import division
from revoskit.inference.answers import as_rles
from revoskit.inference.division import Shard
from revoskit.inference.lines import SUFFIX, Data, Lines, Place, Predicted, Run, agree_on_run, encode, failed

_PATIENCE = 5.0  # seconds that a process which was killed may take to be gone


class PredictionWriter:
    """A folder of predictions, as one process writes it: what it holds already, and room for more.

    >>> with PredictionWriter("predictions", split="validation", data_dir="ReVOS") as writer:
    ...     for row in my_part_of_the_split:
    ...         if not writer.done(row["video_id"], row["expression_id"]):
    ...             writer.write(row["video_id"], row["expression_id"], model(row))

    Every process of a run has one of its own, and writes to a file of its own. Killed at any time, a run loses the
    expressions under way; begun again, `done` tells what need not be done again, whoever did it.
    `revoskit.evaluate` and `revoskit evaluate` read the folder, also while it is written.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        *,
        split: str = "validation",
        data_dir: str | os.PathLike[str] | None = None,
        family: str = REVOS,
        faults: Faults = "error",
        shard: tuple[int, int] | None = None,
        resize: bool = False,
        retry_errors: bool = False,
    ) -> None:
        """Open the folder, a new one or that of a run that is to go on.

        Args:
            output: the folder.
            split, data_dir, family, faults: what is predicted, as `open_annotations` takes it.
            shard: this process's number, from 0, and how many there are: by default what torchrun, accelerate or Slurm
                say in the environment. Processes that are told nothing must not share a folder.
            resize: take masks of another size than the video's, see `as_rles`.
            retry_errors: what has failed before is not done.

        Raises:
            UsageError: the folder holds the predictions of something else, or another process writes the same shard.
            MissingFilesError, AnnotationError: the dataset is not there or not sound.
            StorageError: the folder cannot be written to.
        """
        annotations = open_annotations(Layout.at(data_dir, family, faults=faults), split)
        run = Run(Data.of(annotations), None, {}, resize)
        part = division.checked(*shard) if shard else division.from_environment()
        self._open(Path(output), annotations, part, run)
        self._again = self.lines.failures() if retry_errors else frozenset()

    @classmethod
    def for_run(
        cls, output: Path, annotations: Annotations, shard: Shard, run: Run, again: frozenset[Place] = frozenset()
    ) -> PredictionWriter:
        """The same for a run that is described already, in which some failures are tried again; raises as the other."""
        self = cls.__new__(cls)
        self._open(output, annotations, shard, run)
        self._again = again
        return self

    def _open(self, output: Path, annotations: Annotations, shard: Shard, run: Run) -> None:
        self.output = output
        self.shard = shard
        self.path = output / f"{shard.name}{SUFFIX}"
        self._annotations = annotations
        self._resize = run.resize
        with storing(output):
            make_folder(output)
            self._lock = _locked(output / f".{shard.name}.lock", _PATIENCE)
        if self._lock is None:
            raise UsageError(
                f"another process is writing shard {shard} of {output}: wait for it, or give every process a shard of "
                "its own (--shard i/n; RANK and WORLD_SIZE; shard=(i, n))"
            )
        try:
            self.run = begin_run(output, run)  # not before: what another process has begun is not written over
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
            self._torn = _is_torn(self._file)
            if self._torn:  # what a killed process has left becomes a line of its own: no JSON, or whole after all
                self._append(b"")
            self.lines = Lines([output])
            self.lines.refresh()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> PredictionWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let another process write this shard."""
        if self._lock is not None:
            os.close(self._file)
            self._lock.release()
            self._lock = None

    def done(self, video_id: str, expression_id: str) -> bool:
        """Whether the expression has masks, or an error that is not to be tried again, from whichever process."""
        place = self.lines.places.get((video_id, str(expression_id)))
        return place is not None and place not in self._again

    def write(
        self,
        video_id: str,
        expression_id: str,
        masks: Any,
        *,
        extra: dict[str, Any] | None = None,
        seconds: float | None = None,
    ) -> None:
        """Add the masks of an expression; later ones for the same expression count in place of earlier ones.

        Args:
            video_id, expression_id: as the dataset has them.
            masks: for all frames of the video, as `as_rles` takes them: an array or tensor (T, height, width) of
                booleans or whole numbers, a list of RLEs, or None where nothing is found in any frame.
            extra: what else the model says, to be kept as JSON.
            seconds: what it took.

        Raises:
            AnnotationError: the split has no such video.
            UsageError: it has no such expression, or the masks do not fit the video; nothing is written.
            StorageError: the folder cannot be written to, the disk being full for one.
        """
        video, expression_id = self._find(video_id, expression_id)
        rles = as_rles(masks, video, resize=self._resize)
        self.append(encode(Predicted(video_id, expression_id, rles, seconds, extra)))

    def error(
        self, video_id: str, expression_id: str, error: BaseException | str, seconds: float | None = None
    ) -> None:
        """Note that there are no masks for an expression, and why; raises as `write` does."""
        _, expression_id = self._find(video_id, expression_id)
        self.append(encode(failed(video_id, expression_id, error, seconds)))

    def _find(self, video_id: str, expression_id: str) -> tuple[Video, str]:
        video = self._annotations.video(video_id)
        known = [expression.expression_id for expression in video.expressions]
        if str(expression_id) not in known:
            raise UsageError(f"video {video_id!r} has no expression {expression_id!r}; it has {', '.join(known)}")
        return video, str(expression_id)

    def append(self, line: bytes) -> None:
        """Write a line that `lines.encode` has made."""
        if self._lock is None:
            raise UsageError(f"{self.path} has been closed")
        self._append(line)
        self.lines.refresh(only=self.path)

    def _append(self, line: bytes) -> None:
        rest = memoryview(b"\n" + line if self._torn else line)
        self._torn = True  # until all of it is there
        with storing(self.output):
            while rest:
                rest = rest[os.write(self._file, rest) :]
        self._torn = False


def begin_run(folder: Path, run: Run) -> Run:
    """Make the folder and agree on the run of which it is to hold predictions; returns the one that is there.

    Raises:
        UsageError: the folder holds the predictions of another run, or something else.
        StorageError: it cannot be written to.
    """
    with storing(folder):
        make_folder(folder)
        with FileLock(folder / ".run.lock"):
            return agree_on_run(folder, run)


def _is_torn(file: int) -> bool:
    """Whether the last line is not whole."""
    end = os.lseek(file, 0, os.SEEK_END)
    if end == 0:
        return False
    os.lseek(file, end - 1, os.SEEK_SET)
    return os.read(file, 1) != b"\n"


def _locked(path: Path, patience: float) -> FileLock | None:
    """The lock, held; null where another process holds it. The system lets go of those of a killed process."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        return None
    return lock
