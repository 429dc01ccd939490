"""Tracks that lie in PNGs, one for each frame: read a frame at a time, and kept as RLE.

A PNG holds all objects of its frame, each as the value of its pixels (8-bit grey, or numbers into a palette), or it
holds one object, which is what is not black. A frame without a PNG is not annotated; one whose PNG lacks the object
has an empty mask.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from revoskit.dataset.records import Pictures, Video
from revoskit.errors import AnnotationError, MaskError, Place
from revoskit.kinds import Kind
from revoskit.masks.rle import RLE, MaskSequence
from revoskit.regular import MAX_PIXELS, open_regular

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NUMBERS = ("L", "P")  # what Pillow calls grey of 8 bits, and a palette
_BYTES_A_TRACK = 4096


class PictureTracks:
    """The tracks of a split whose masks lie in PNGs under `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last: tuple[object, dict[int, MaskSequence]] | None = None

    def __contains__(self, key: str) -> bool:
        return True  # whether its PNGs are there shows when it is read

    def num_bytes(self, key: str) -> int:
        """About what a track takes: what it takes in its PNGs is not worth looking up."""
        return _BYTES_A_TRACK

    def read(self, annotation_id: int, video: Video) -> MaskSequence:
        """The track as masks of `video`, one per frame; null where there is no PNG.

        Tracks that share their PNGs are read in one pass and kept until those of another video are asked for.

        Raises:
            AnnotationError: the track has no PNG at all, or one that is no mask of the video's size.
        """
        path = dict(video.pictures)[annotation_id].path
        together = {i: one for i, one in video.pictures if one.path == path}
        asked = video.video_id, video.height, video.width, video.frame_names, path
        if self._last is None or self._last[0] != asked:
            self._last = asked, self._read(video, path, together)
        return self._last[1][annotation_id]

    def _read(self, video: Video, path: str, tracks: dict[int, Pictures]) -> dict[int, MaskSequence]:
        masks: dict[int, list[RLE | None]] = {i: [] for i in tracks}
        for index, name in enumerate(video.frame_names):
            file = self.path / path.replace("{frame}", name)
            place = Place(file=file, video=video.video_id, track=str(min(tracks)), frame=name)
            one_object = next(iter(tracks.values())).value is None
            pixels = read_picture(file, (video.height, video.width), place, one_object=one_object)
            for annotation_id, track in tracks.items():
                masks[annotation_id].append(_mask_of(track, pixels, index))
        if all(mask is None for track in masks.values() for mask in track):
            raise AnnotationError(
                f"{self.path / path.replace('{frame}', '<frame>')} is there for none of the "
                f"{len(video.frame_names)} frames of video {video.video_id!r}",
                kind=Kind.TRACK_MISSING,
                file=self.path,
                video=video.video_id,
                track=str(min(tracks)),
            )
        return {i: MaskSequence.parse(found, video.height, video.width) for i, found in masks.items()}

    def size_of(self, video: Video) -> tuple[int, int] | None:
        """Height and width that the first PNG of any of a video's tracks states, null where there is none."""
        for file in self._files(video):
            if file.is_file() and (size := _stated_size(_content(file, Place(file=file, video=video.video_id)))):
                return size
        return None

    def digest(self, videos: Iterable[Video]) -> str:
        """SHA-256 over the names and the content of all PNGs of these videos."""
        whole = hashlib.sha256()
        for video in videos:
            for file in self._files(video):
                if file.is_file():
                    content = _content(file, Place(file=file, video=video.video_id))
                    whole.update(f"{file.relative_to(self.path).as_posix()}\0{len(content)}\0".encode())
                    whole.update(content)
        return whole.hexdigest()

    def _files(self, video: Video) -> Iterator[Path]:
        for path in dict.fromkeys(pictures.path for _, pictures in video.pictures):
            yield from (self.path / path.replace("{frame}", name) for name in video.frame_names)


def _mask_of(track: Pictures, pixels: np.ndarray | None, index: int) -> RLE | None:
    if pixels is None:
        return None
    within = track.begin <= index and (track.end is None or index < track.end)
    shown = pixels != 0 if track.value is None else pixels == track.value
    return MaskSequence.encode((shown & within)[None])[0]


def read_picture(file: Path, size: tuple[int, int], place: Place, *, one_object: bool) -> np.ndarray | None:
    """The values of a mask PNG, uint8 `size` (height, width); null where there is no such file.

    Args:
        one_object: black is background and all else the object, so that a picture in colours is as good as one in grey.

    Raises:
        AnnotationError: it is no PNG, or one of another kind. `MaskError` where it is of another size.
    """
    try:
        content = _content(file, place)
    except FileNotFoundError:
        return None
    stated = _stated_size(content)
    if stated is None:
        raise _unreadable(file, "it is no PNG", place)
    if stated != size:
        reason = f"it is {stated[0]}x{stated[1]} pixels (height x width), and the video {size[0]}x{size[1]}"
        raise MaskError(f"{file}: {reason}", reason=reason, kind=Kind.MASK_SIZE, **place)
    if stated[0] * stated[1] > MAX_PIXELS:
        raise _unreadable(file, f"{stated[0]}x{stated[1]} pixels are more than a mask can have", place)
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            kind = image.mode
            pixels = np.asarray(image if kind in _NUMBERS else image.convert("L"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _unreadable(file, str(error) or type(error).__name__, place) from None
    if kind not in _NUMBERS and not one_object:
        reason = f"its pixels are {kind}, expected 8 bits of grey or of a palette, which are the number of an object"
        raise _unreadable(file, reason, place)
    return pixels


def _content(file: Path, place: Place) -> bytes:
    try:
        with open_regular(file) as opened:
            return opened.readall()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error), place) from None


def _stated_size(content: bytes) -> tuple[int, int] | None:
    """Height and width in the header of a PNG, null where it has none."""
    if not content.startswith(_SIGNATURE) or len(content) < 24:
        return None
    return int.from_bytes(content[20:24], "big"), int.from_bytes(content[16:20], "big")


def _unreadable(file: Path, reason: str, place: Place) -> AnnotationError:
    return AnnotationError(f"{file} cannot be read as a mask: {reason}", kind=Kind.TRACK_MALFORMED, **place)
