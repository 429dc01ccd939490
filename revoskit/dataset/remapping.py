"""Which frame each mask belongs to, where that is not the frame that the annotations list: accepted by a person.

A mapping file is JSON, a video id to its mapping, in one of two forms:

    {
      "TAO/train/YFCC100M/v_25685519": {"stride": 30, "offset": 0, "frames": 1200},
      "UVO/all/-CiPki3XuVI": ["00000", "00005", "00010", null]
    }

The first: the i-th mask belongs to frame number `stride * i + offset` of the JPEGs in the video's folder, sorted by
name and counted from 0. `frames`, which may be left out, is how many JPEGs that folder held when the mapping was found;
where it holds another number, the mapping is refused, since counting would end at other frames. The second names the
frame of every mask, null where it belongs to none. A mask without a frame is left out, with its frame.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec

from revoskit.atomic import whole
from revoskit.dataset.layout import check_file_stem, check_relative
from revoskit.dataset.records import Video
from revoskit.errors import AnnotationError, MissingFilesError, Place


class Linear(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Mask i belongs to frame number `stride * i + offset` of the folder's own, sorted."""

    stride: Annotated[int, msgspec.Meta(ge=1)]
    offset: int = 0
    frames: Annotated[int, msgspec.Meta(ge=1)] | None = None


Mapping = Linear | list[str | None]


def read_mapping(path: str | os.PathLike[str]) -> dict[str, Mapping]:
    """A mapping file, by video id.

    Raises:
        MissingFilesError: there is no such file.
        AnnotationError: it is not in the format above, or names what could lie outside the dataset's folder.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFilesError(
            f"there is no mapping file {path}: `revoskit check --alignment --output FILE` writes one for ReVOS"
        )
    try:
        mappings = msgspec.json.decode(path.read_bytes(), type=dict[str, Mapping])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AnnotationError(
            f'{path}: {error}. Expected {{video id: {{"stride": s, "offset": o}} or a list of frame names}}', file=path
        ) from None
    for video_id, mapping in mappings.items():
        place: Place = {"file": path, "video": video_id}
        check_relative(video_id, f"{path}: video id", **place)
        if isinstance(mapping, list):
            _check_names(mapping, f"{path}: video {video_id!r}", place)
    return mappings


def _check_names(names: list[str | None], where: str, place: Place) -> None:
    seen: set[str] = set()
    for name in names:
        if name is None:
            continue
        check_file_stem(name, f"{where}: frame", **(place | {"frame": name}))
        if name in seen:
            raise AnnotationError(
                f"{where} gives frame {name!r} two masks: expected each frame once", **(place | {"frame": name})
            )
        seen.add(name)
    if not seen:
        raise AnnotationError(f"{where} leaves no mask a frame: take the video out of the file", **place)


def write_mapping(path: Path, mappings: dict[str, Mapping]) -> None:
    """Write a mapping file, whole or not at all."""
    with whole(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(mappings), indent=2) + b"\n")


def apply_mapping(mapping: Mapping, video: Video, folder: Sequence[str]) -> list[str | None]:
    """The frame of each of a video's masks, null where it has none.

    Args:
        folder: the names of all frames in the video's folder, as `SplitFiles.folder_frames` gives them.

    Raises:
        AnnotationError: the mapping is not one of this video's masks, or not one into this folder.
    """
    masks = len(video.frame_names)
    if isinstance(mapping, list):
        if len(mapping) != masks:
            raise AnnotationError(
                f"the mapping of video {video.video_id!r} names {len(mapping)} frames, expected one for each of its "
                f"{masks} masks",
                video=video.video_id,
            )
        return list(mapping)
    if mapping.frames not in (None, len(folder)):
        raise AnnotationError(
            f"the mapping of video {video.video_id!r} counts among {mapping.frames} frames, but its folder holds "
            f"{len(folder)}: unpack them all, or find the mapping anew",
            video=video.video_id,
        )
    places = [mapping.stride * i + mapping.offset for i in range(masks)]
    names = [folder[place] if 0 <= place < len(folder) else None for place in places]
    if not any(names):
        raise AnnotationError(
            f"the mapping of video {video.video_id!r}, stride {mapping.stride} and offset {mapping.offset}, leads "
            f"outside of its {len(folder)} frames for every mask",
            video=video.video_id,
        )
    return names
