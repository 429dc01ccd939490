"""Predictions as files of RLEs: JSON of several shapes, and the JSON lines of `predict`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from revoskit.dataset.annotations import Annotations
from revoskit.dataset.records import Expression, Video
from revoskit.dataset.stretches import Stretch, Stretches, stretches_of
from revoskit.dataset.tracks import refuse_duplicates
from revoskit.errors import AnnotationError, UsageError
from revoskit.inference.lines import SUFFIX, Data, Failed, Lines, read_run
from revoskit.scoring.prediction import Prediction, Problem, ProblemKind, extras_of, from_rles, nothing

_MASKS = ("masks", "prediction_masks")  # the second is Sa2VA's
_SHAPE = "{video_id: {expression_id: [RLE, …]}}"
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AnnotationError)


class RleFile:
    """A JSON `{video_id: {expression_id: ENTRY}}`: read and decoded a video at a time.

    An entry is a list of RLEs or nulls, one per frame, or an object that has such a list as `masks` or
    `prediction_masks`. What else it has is kept as `extra`; its `frames` have to be those of the video. The file may
    also be a list of such objects, each with `video_id` and `expression_id` or `exp_id`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.stat().st_size:
            raise UsageError(f"{path} is empty")
        self._stretches = Stretches(path)
        content = self._stretches.content()
        self._videos: Mapping[str, Stretch | dict[str, Stretch]]
        try:
            if bytes(content[:200]).lstrip()[:1] == b"[":
                self._videos = _by_video(content)
            else:
                videos = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
                refuse_duplicates(path, content, videos)
                self._videos = stretches_of(content, videos)
        except _BROKEN as error:
            raise UsageError(f"{path}: expected {_SHAPE}: {error}") from None
        self._last: tuple[str, dict[str, Any] | str] = ("", {})

    def __reduce__(self) -> tuple[type[RleFile], tuple[Path]]:  # another process opens the file itself
        return RleFile, (self.path,)

    def state(self) -> list[Any]:
        status = self.path.stat()
        return [str(self.path), status.st_size, status.st_mtime_ns]

    def state_of(self, video_id: str) -> str:
        return ""

    def has_video(self, video_id: str) -> bool:
        return video_id in self._videos

    def _video(self, video_id: str) -> dict[str, Any] | str:
        """The entry of a video, or what is wrong with it; the last one is kept."""
        if self._last[0] != video_id:
            entry: dict[str, Any] | str
            try:
                found = self._videos[video_id]
                if isinstance(found, dict):
                    entry = {key: msgspec.json.decode(self._stretches.read(at)) for key, at in found.items()}
                else:
                    encoded = self._stretches.read(found)
                    members = msgspec.json.decode(encoded, type=dict[str, msgspec.Raw])
                    refuse_duplicates(self.path, encoded, members)
                    entry = {key: msgspec.json.decode(value) for key, value in members.items()}
            except _BROKEN as error:
                entry = f"the entry of the video is no {{expression_id: [RLE, …]}}: {error}"
            self._last = (video_id, entry)
        return self._last[1]

    def read(self, video: Video, expression: Expression) -> Prediction:
        if video.video_id not in self._videos:
            return nothing(video, expression, ProblemKind.MISSING, f"{self.path.name} does not have the video")
        entry = self._video(video.video_id)
        if isinstance(entry, str):
            return nothing(video, expression, ProblemKind.MALFORMED, entry)
        if expression.expression_id not in entry:
            return nothing(video, expression, ProblemKind.MISSING, f"{self.path.name} does not have the expression")
        found = entry[expression.expression_id]
        return (
            _from_object(video, expression, found) if isinstance(found, dict) else from_rles(video, expression, found)
        )

    def extras(self, annotations: Annotations) -> Iterator[Problem]:
        for video_id in self._videos:
            entry = self._video(video_id) if video_id in annotations.videos else ()
            yield from extras_of(annotations, video_id, () if isinstance(entry, str) else entry)


class _Ids(msgspec.Struct):
    video_id: str
    expression_id: str | int | None = None
    exp_id: str | int | None = None


def _by_video(content: memoryview) -> dict[str, dict[str, Stretch]]:
    """Where the entries of a list lie, by video and expression."""
    records = msgspec.json.decode(content, type=list[msgspec.Raw])
    if not records:
        raise AnnotationError("it is an empty list")
    videos: dict[str, dict[str, msgspec.Raw]] = {}
    for record in records:
        ids = msgspec.json.decode(record, type=_Ids)
        name = ids.exp_id if ids.expression_id is None else ids.expression_id
        if name is None:
            raise AnnotationError("an entry of the list has neither expression_id nor exp_id")
        of_video = videos.setdefault(ids.video_id, {})
        if str(name) in of_video:
            raise AnnotationError(f"the list has expression {name!r} of video {ids.video_id!r} twice")
        of_video[str(name)] = record
    return {video_id: stretches_of(content, of_video) for video_id, of_video in videos.items()}


def _from_object(video: Video, expression: Expression, entry: dict[str, Any]) -> Prediction:
    """An entry that says more than its masks."""
    if isinstance(entry.get("error"), str):
        return nothing(video, expression, ProblemKind.FAILED, entry["error"])
    name = next((name for name in _MASKS if name in entry), None)
    if name is None:
        keys = ", ".join(map(str, list(entry)[:5])) or "nothing"
        reason = f"expected a list of RLEs, found dict of {keys}: such a list may be its {' or '.join(_MASKS)}"
        return nothing(video, expression, ProblemKind.MALFORMED, reason)
    if entry[name] is None:
        reason = f"its {name} is null: the masks were not written here"
        return nothing(video, expression, ProblemKind.MISSING, reason)
    frames = entry.get("frames")
    if isinstance(frames, list) and frames != list(video.frame_names):
        reason = f"its frames are {_few(frames)}, those of the video {_few(video.frame_names)}"
        return nothing(video, expression, ProblemKind.WRONG_LENGTH, reason)
    known = {name, "grey", "frames", "video_id", "exp_id", "expression_id", "exp", "index"}
    extra = {key: value for key, value in entry.items() if key not in known}
    if list(extra) == ["extra"] and isinstance(extra["extra"], dict):  # as `convert` writes it
        extra = extra["extra"]
    grey = entry["grey"] if type(entry.get("grey")) is int and 0 < entry["grey"] < 256 else 1
    return from_rles(video, expression, entry[name], grey=grey, extra=extra or None)


def _few(names: Sequence[Any]) -> str:
    return f"{len(names)} ({', '.join(map(str, names[:2]))}{', …' if len(names) > 2 else ''})"


class LineFiles:
    """What `predict` and `PredictionWriter` write: folders of JSON lines, or some of their files.

    Opened while they are still written to, it is what they held at that moment.
    """

    def __init__(self, sources: Sequence[Path]) -> None:
        self._lines = Lines(sources)
        self._lines.refresh()
        self._videos = {video_id for video_id, _ in self._lines.places}
        self._broken_off = self._lines.broken_off()
        runs = [read_run(path if path.is_dir() else path.parent) for path in sources]
        self.data: Data | None = next((run.data for run in runs if run is not None), None)
        """What was predicted, as far as it is said."""

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether a folder holds lines, or is going to."""
        return any(folder.glob(f"*{SUFFIX}"))

    def state(self) -> list[Any]:
        return [[str(path), size] for path, size in self._lines.read_to.items()]

    def state_of(self, video_id: str) -> str:
        return ""

    def has_video(self, video_id: str) -> bool:
        return video_id in self._videos

    def read(self, video: Video, expression: Expression) -> Prediction:
        key = (video.video_id, expression.expression_id)
        place = self._lines.places.get(key)
        if place is None and key in self._broken_off:
            return nothing(video, expression, ProblemKind.INCOMPLETE, "its line breaks off: a run that was killed?")
        if place is None:
            return nothing(video, expression, ProblemKind.MISSING, "there is no line for it")
        try:
            line = place.read()
        except AnnotationError as error:
            return nothing(video, expression, ProblemKind.MALFORMED, str(error))
        if isinstance(line, Failed):
            return nothing(video, expression, ProblemKind.FAILED, line.error)
        masks = [None] * len(video.frame_names) if line.masks is None else line.masks
        return from_rles(video, expression, masks, grey=line.grey, extra=line.extra)

    def extras(self, annotations: Annotations) -> Iterator[Problem]:
        videos: dict[str, list[str]] = {}
        for video_id, expression_id in self._lines.places:
            videos.setdefault(video_id, []).append(expression_id)
        for video_id, of_video in videos.items():
            yield from extras_of(annotations, video_id, of_video)
