"""Entries of the datasets whose masks are drawn in PNGs, brought to the official form.

They name objects and no tracks, so each pair of a video and an object gets a number here, which is its track's: unique
in the dataset, and the same as long as the file of expressions is.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from revoskit.dataset import spellings
from revoskit.dataset.families import FAMILIES
from revoskit.dataset.layout import SplitFiles, check_file_stem
from revoskit.dataset.records import Pictures
from revoskit.errors import AnnotationError, Place
from revoskit.text import brief, printable

_VIDEOS_A_SPLIT, _TRACKS_A_VIDEO = 1_000_000, 10_000
_CLOCK = re.compile(r"[0-9]{1,2}(:[0-9]{1,2}){0,2}")
_CLIP = re.compile(r"([0-9]{2})([0-9]{2})_[0-9]{4}")


class DrawnVideo:
    """One video of such a dataset: `entry`, with frames and expressions where the official form has them."""

    def __init__(self, video_id: str, said: dict[str, Any], number: int, files: SplitFiles) -> None:
        self._video_id, self._files = video_id, files
        self._family = FAMILIES[files.layout.family]
        split = list(self._family.splits).index(files.name)
        self._first = (split * _VIDEOS_A_SPLIT + number) * _TRACKS_A_VIDEO
        self._ids: dict[Pictures, int] = {}
        self._source = str(said.get("source", ""))
        expressions = said.get(self._family.expressions_key)
        self.entry = said | {"expressions": _by_id(expressions) if isinstance(expressions, list) else expressions}
        if "frames" not in said:
            self.entry["frames"] = files.folder_frames(video_id)
            if not self.entry["frames"]:
                raise AnnotationError(
                    f"{files.expressions} does not list the frames of video {video_id!r}, and there is none in "
                    f"{files.video_folder(video_id)}: expected <frame>.jpg",
                    file=files.expressions,
                    video=video_id,
                )

    @property
    def pictures(self) -> tuple[tuple[int, Pictures], ...]:
        """The tracks that the expressions asked for so far mean, by their ids."""
        return tuple((annotation_id, pictures) for pictures, annotation_id in self._ids.items())

    def expression(self, said: Any, where: str, place: Place) -> Any:
        """An expression with its text, objects and tracks where the official form has them.

        Raises:
            AnnotationError: an object is no number, or a time of an action no time.
        """
        if not isinstance(said, dict) or self._family.text_key not in said:
            return said  # for the reader to refuse
        found = {"exp": said[self._family.text_key]}
        if self._family.kind_key is not None:
            found["kind"] = _kind(said.get(self._family.kind_key, ""), where, place)
        if said.get("obj_id") is None and self._files.hidden:
            return found
        objects = _objects(said.get("obj_id"), where, place)
        begin, end = self._action(said, where, place)
        tracks = [
            self._ids.setdefault(p, self._first + len(self._ids)) for p in self._drawn(objects, begin, end, place)
        ]
        return found | {"obj_id": objects, "anno_id": tracks}

    def _drawn(self, objects: list[int], begin: int, end: int | None, place: Place) -> list[Pictures]:
        pattern = self._files.picture_path or ""
        if "{source}" in pattern:
            check_file_stem(self._source, f"{self._files.expressions}: video {self._video_id!r}: source", **place)
        found = []
        for number in objects:
            path = _filled(pattern, source=self._source, video=self._video_id, object=str(number))
            found.append(Pictures(path, None if "{object}" in pattern else number, begin, end))
        return found

    def _action(self, said: dict[str, Any], where: str, place: Place) -> tuple[int, int | None]:
        """The number of the first frame of what an expression is about, and of the one after the last."""
        rate = self._family.actions_per_second
        if rate is None:
            return 0, None
        clip = _CLIP.fullmatch(self._video_id[-9:])
        if clip is None:
            raise AnnotationError(
                f"{where}: expected a video id that ends in the times of the clip, such as _0010_0020 (from 0:10 to "
                "0:20), since the times of actions count from there",
                **place,
            )
        start = 60 * int(clip[1]) + int(clip[2])
        times = [_seconds(said.get(key), f"{where}: {key}", place) for key in ("action_start", "action_end")]
        begin, end = (max(0, (time - start) * rate) for time in times)
        return begin, end


def _filled(pattern: str, **names: str) -> str:
    """A path with these names in their places, whatever braces they hold themselves."""
    return re.sub(r"\{(\w+)\}", lambda match: names.get(match[1], match[0]), pattern)


def _by_id(expressions: list[Any]) -> dict[str, Any]:
    """Expressions by their `exp_id`; by their place in the list where two have one, as those who count them do."""
    ids = [str(said.get("exp_id")) if isinstance(said, dict) else "" for said in expressions]
    if max(Counter(ids).values(), default=0) > 1:
        ids = [str(number) for number in range(len(ids))]
    return dict(zip(ids, expressions, strict=True))


def _kind(said: Any, where: str, place: Place) -> str:
    if not isinstance(said, str):
        raise AnnotationError(f"{where}: its kind is {brief(said)}, expected a word", **place)
    return printable(" ".join(said.split()))  # the head of a line in tables


def _objects(said: Any, where: str, place: Place) -> list[int]:
    """The numbers of objects: one, a list, or several with commas between."""
    parts = said.split(",") if isinstance(said, str) else said if isinstance(said, list) else [said]
    found = [spellings.whole(part.strip() if isinstance(part, str) else part) for part in parts]
    if not all(type(number) is int and 0 <= number < 2**31 for number in found):
        raise AnnotationError(f"{where}: obj_id is {brief(said)}, expected the number of an object", **place)
    return list(dict.fromkeys(found))


def _seconds(said: Any, what: str, place: Place) -> int:
    """A time as `seconds`, `minutes:seconds` or `hours:minutes:seconds`."""
    if not isinstance(said, str) or not _CLOCK.fullmatch(said):
        raise AnnotationError(f"{what} is {brief(said)}, expected a time such as 0:12", **place)
    total = 0
    for part in said.split(":"):
        total = 60 * total + int(part)
    return total
