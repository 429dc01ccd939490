"""What a folder of predictions holds: files of JSON lines, a line for each expression, and `run.json` about the run.

    {"video_id": "OVIS/train/00e92ab4", "expression_id": "0", "seconds": 1.7, "extra": null, "masks": [RLE or null, …]}
    {"video_id": "OVIS/train/00e92ab4", "expression_id": "1", "seconds": 0.2, "error": "…", "traceback": "…"}

Files grow at their end and nowhere else, so a process can be killed at any time: a line counts when it is whole, that
is valid JSON with a line break after it. `masks` has an RLE or null for every frame of the video; in place of the list,
null says that the model predicts nothing in any frame, which is a prediction. A line with `error` is none.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import re
import traceback
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from revoskit import __version__
from revoskit.atomic import write_whole
from revoskit.dataset.annotations import Annotations
from revoskit.errors import AnnotationError, AnswerError, UsageError
from revoskit.text import as_json, storable

SUFFIX = ".jsonl"
RUN = "run.json"
Key = tuple[str, str]
"""video_id and expression_id."""


class Predicted(msgspec.Struct):
    """The masks of one expression, an RLE or null per frame of its video; null where the model predicts nothing at all.

    Unchecked, where they are read.
    """

    video_id: str
    expression_id: str
    masks: list[Any] | None
    seconds: float | None = None
    extra: dict[str, Any] | None = None
    """What the model says beside its masks."""
    grey: Annotated[int, msgspec.Meta(ge=1, le=255)] = 1
    """The grey value that the object had where these masks were read from PNGs, on which official scores depend."""


class Failed(msgspec.Struct):
    """An expression for which there are no masks, and why."""

    video_id: str
    expression_id: str
    error: str
    seconds: float | None = None
    traceback: str | None = None


def encode(line: Predicted | Failed) -> bytes:
    """The line as it is written, ids first: what is left of a torn one still tells whose it was.

    Raises:
        AnswerError: `extra` holds what JSON cannot.
    """
    fields = {name: getattr(line, name) for name in line.__struct_fields__}
    if isinstance(line, Predicted):
        fields["masks"] = fields.pop("masks")  # last, since it is long
        if line.grey == 1:
            del fields["grey"]
    try:
        return msgspec.json.encode(fields) + b"\n"
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise AnswerError(f"what comes with the masks (extra) cannot be written as JSON: {error}") from None


def failed(video_id: str, expression_id: str, error: BaseException | str, seconds: float | None = None) -> Failed:
    """The line for an expression without masks: an exception with its traceback, or the reason in words."""
    if isinstance(error, str):
        return Failed(video_id, expression_id, storable(error), seconds)
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    trace = "".join(traceback.format_exception(error))
    return Failed(video_id, expression_id, storable(text), seconds, storable(trace))


class Place(NamedTuple):
    """Where a whole line lies: its file, its first byte, its length in bytes, and whether it tells of a failure."""

    path: Path
    start: int
    length: int
    failed: bool

    def read(self) -> Predicted | Failed:
        """The line.

        Raises:
            AnnotationError: its fields do not hold what they should.
        """
        with self.path.open("rb") as file:
            file.seek(self.start)
            data = file.read(self.length)
        try:
            if self.failed:
                return msgspec.json.decode(data, type=Failed)
            return msgspec.json.decode(data, type=Predicted)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise AnnotationError(f"{self.path}, the line at byte {self.start:,}: {error}") from None


class _Head(msgspec.Struct):
    """As much of a line as tells whether it counts."""

    video_id: str
    expression_id: str
    error: str | None = None
    masks: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Lines:
    """The whole lines of several files, by expression: of two lines, the later one counts, and masks before an error.

    Later is what stands further down in a file, or in the file whose name sorts later.
    """

    _decoder = msgspec.json.Decoder(_Head)

    def __init__(self, sources: Iterable[Path]) -> None:
        """`sources` are folders, whose `*.jsonl` are meant, and such files."""
        self._sources = list(sources)
        self.read_to: dict[Path, int] = {}
        """How many bytes of each file have been read."""
        self.places: dict[Key, Place] = {}
        self.torn: dict[Path, list[bytes]] = {}
        """The beginnings of lines that break off although something follows them, as a killed process leaves them."""

    @property
    def files(self) -> list[Path]:
        found = [sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path] for path in self._sources]
        return [path for paths in found for path in paths]

    def refresh(self, only: Path | None = None) -> None:
        """Read what has been added since the last time, to all files or to one."""
        for path in self.files if only is None else [only]:
            if path.stat().st_size > self.read_to.get(path, 0):
                for key, place in self._new_lines(path):
                    before = self.places.get(key)
                    if before is None or before.failed or not place.failed:
                        self.places[key] = place

    def _new_lines(self, path: Path) -> Iterator[tuple[Key, Place]]:
        start = self.read_to.get(path, 0)
        with path.open("rb") as file:
            file.seek(start)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written, or was when its process died
                try:
                    head = self._decoder.decode(line)
                    whole = head.error is not None or head.masks is not msgspec.UNSET
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    whole = False
                if whole:
                    place = Place(path, start, len(line), head.error is not None)
                    yield (head.video_id, head.expression_id), place
                elif line.strip():
                    self.torn.setdefault(path, []).append(line[:1000])
                start += len(line)
        self.read_to[path] = start

    def failures(self) -> frozenset[Place]:
        """Where the lines are that count and tell of a failure."""
        return frozenset(place for place in self.places.values() if place.failed)

    def broken_off(self) -> set[Key]:
        """The expressions whose line breaks off and that have no other."""
        pattern = re.compile(rb'\{"video_id":("(?:[^"\\]|\\.)*"),"expression_id":("(?:[^"\\]|\\.)*")')
        found = set()
        for line in (line for lines in self.torn.values() for line in lines):
            if ids := pattern.match(line):
                with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                    found.add((msgspec.json.decode(ids[1]), msgspec.json.decode(ids[2])))
        return found - self.places.keys()


# --- run.json ---------------------------------------------------------------------------------------------------------


class Data(msgspec.Struct, frozen=True):
    """What was predicted: an expression file, by its content, so that a copy of it on another machine is the same."""

    family: str
    split: str
    file: str
    sha256: str
    videos: int
    expressions: int

    @classmethod
    def of(cls, annotations: Annotations) -> Data:
        path = annotations.layout.split(annotations.split).expressions
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        expressions = sum(len(video.expressions) for video in annotations)
        family = annotations.layout.family
        return cls(family, annotations.split, path.name, digest, len(annotations.videos), expressions)


class Run(msgspec.Struct):
    """What predictions depend on, and when and with what they were begun."""

    data: Data
    adapter: str | None
    """`file.py:name` or `package.module:name`; null where a `PredictionWriter` is used without `predict`."""
    arguments: dict[str, Any]
    resize: bool
    adapter_sha256: str | None = None
    """Of the file that the adapter stands in."""
    versions: dict[str, str] = {}
    begun: str = ""

    def here_and_now(self) -> Run:
        """The same, with the versions that are installed and the time."""
        versions = {"revoskit": __version__, "python": platform.python_version()}
        for name in ("numpy", "torch", "transformers"):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                versions[name] = importlib.metadata.version(name)
        begun = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return msgspec.structs.replace(self, versions=versions, begun=begun)


def read_run(folder: Path) -> Run | None:
    """What `run.json` says; null where there is none.

    Raises:
        UsageError: it is not the `run.json` of predictions.
    """
    path = folder / RUN
    try:
        return msgspec.json.decode(path.read_bytes(), type=Run)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not that of predictions: {error}. Name another folder.") from None


def agree_on_run(folder: Path, run: Run) -> Run:
    """Write `run.json`, or see that the one that is there is about the same; returns that one.

    One of a run that has not written a line yet, because of a mistyped argument perhaps, is written over. To be called
    by one process at a time.

    Raises:
        UsageError: the folder holds the predictions of another run, or something else.
    """
    before = read_run(folder)
    begun = sorted(path.name for path in folder.glob(f"*{SUFFIX}") if path.stat().st_size)
    if before is None or not begun:
        if begun:
            raise UsageError(f"{folder} has {', '.join(begun[:3])} and no {RUN} to say of what: name a new folder")
        before = run.here_and_now()
        write_whole(folder / RUN, as_json(before, indent=2) + b"\n")
        return before
    differing = [
        f"{name} {_shown(getattr(before, name))} there, {_shown(getattr(run, name))} now"
        for name in ("data", "adapter", "arguments", "resize")
        if as_json(getattr(before, name)) != as_json(getattr(run, name))
    ]
    if differing:
        raise UsageError(
            f"{folder / RUN} is of another run ({'; '.join(differing)}): its predictions would be mixed with these. "
            "Name another folder, or give the same arguments to go on with it."
        )
    return before


def _shown(value: Any) -> str:
    if isinstance(value, Data):
        return f"{value.family} {value.split} ({value.file}, sha256 {value.sha256[:12]}…)"
    return as_json(value).decode() if value is not None else "none"


def file_sha256(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()
