"""The records of a split: its videos, and the expressions that are said about each.

The collector of garbage need not look through them (`gc=False`), however many there are: none leads back to itself.
"""

from __future__ import annotations

import enum
import os

import msgspec

from revoskit.errors import AnnotationError


class ExpressionType(enum.IntEnum):
    """What an expression asks for; the values are the files' `type_id`."""

    REFERRING = 0
    REASONING = 1
    NONEXISTENT = 2

    @property
    def label(self) -> str:
        return self.name.lower()


class Expression(msgspec.Struct, frozen=True, gc=False):
    """A phrase about one video and the objects that it means, as the file has them (none, one or several)."""

    expression_id: str
    text: str
    type: ExpressionType | None  # null where the dataset has no types: ReVOS always has them
    object_ids: tuple[int, ...]
    annotation_ids: tuple[int, ...]
    kind: str = ""
    """What the dataset itself calls it, such as `static` or `Causal`; empty where it does not say, as ReVOS."""


class Pictures(msgspec.Struct, frozen=True, gc=False):
    """One track that lies in PNGs, one for each frame that is annotated."""

    path: str
    """Under the folder of the split's tracks, with `{frame}` for a frame's name."""
    value: int | None
    """The pixels of this value are the object; where null, those that are not zero."""
    begin: int = 0
    end: int | None = None
    """The number of the first frame that counts, and of the one after the last: the object is in no other."""


class Video(msgspec.Struct, frozen=True, gc=False):
    """A video of one split: its size in pixels, its frames in file order, its expressions in file order."""

    video_id: str
    height: int
    width: int
    frame_names: tuple[str, ...]
    expressions: tuple[Expression, ...]
    kept_tracks: tuple[tuple[int, int | None], ...] | None = None
    """Its tracks in ascending order, each with its object, where expressions that name them were left out."""
    pictures: tuple[tuple[int, Pictures], ...] = ()
    """Its tracks by annotation id, where they lie in PNGs."""

    @property
    def source(self) -> str:
        """The dataset that the video was taken from, such as `LV-VIS`; empty where its id does not say."""
        return self.video_id.rpartition("/")[0].split("/")[0]

    @property
    def annotation_ids(self) -> tuple[int, ...]:
        """The tracks that the expressions name, each once, in ascending order."""
        if self.kept_tracks is not None:
            return tuple(annotation_id for annotation_id, _ in self.kept_tracks)
        return tuple(sorted({i for expression in self.expressions for i in expression.annotation_ids}))

    def objects(self) -> dict[int, int | None]:
        """The object that each track belongs to, by annotation id in ascending order.

        It is what the first expression that names the track pairs it with.
        """
        if self.kept_tracks is not None:
            return dict(self.kept_tracks)
        found: dict[int, int | None] = dict.fromkeys(self.annotation_ids)
        for expression in reversed(self.expressions):
            found.update(list(zip(expression.annotation_ids, expression.object_ids, strict=False))[::-1])
        return found

    def object_id(self, annotation_id: int) -> int | None:
        """The object that a track belongs to; of many tracks, ask `objects`, which looks through the video once."""
        return self.objects().get(annotation_id)


class UnsizedError(AnnotationError):
    """A video whose size neither its entry nor a frame or mask of it tells: none of its frames is on disk."""

    def __init__(self, message: str, record: Video, file: str | os.PathLike[str]) -> None:
        super().__init__(message, file=file, video=record.video_id)
        self.record = record
        """The video, with 0 for its height and width."""
