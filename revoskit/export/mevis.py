"""The layout of MeViS: a folder for each split, with its frames, its tracks and its expressions.

    FOLDER/<split>/JPEGImages/<video_id>/<frame>.jpg
    FOLDER/<split>/mask_dict.json              the tracks, by annotation id, as ReVOS has them; one that two videos
                                               share is there for each, as the order of their frames can differ
    FOLDER/<split>/meta_expressions.json       as in ReVOS, with its type_id

ReVOS's validation split becomes `valid_u`, MeViS's split with masks; its `valid` is the one without. MeViS has no
`train_sub`, which keeps its name. Frames are put in the order of their names, and masks with them, since loaders of
MeViS sort the one and count on the other.
Read in public code: `lmpm/data/datasets/mevis.py` and `tools/eval_mevis.py` of henghuiding/MeViS.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from revoskit.atomic import whole
from revoskit.dataset.annotations import Annotations
from revoskit.dataset.records import Expression, Video
from revoskit.export.job import Counts, Job, own_ids, place_all_frames

PASSES = 2
Ids = dict[tuple[str, int], int]

NAMES = {"validation": "valid_u"}
HOW_TO_READ = (
    "Loaders of MeViS take {folder} for their mevis folder; revos with family='mevis' reads train and valid_u there, "
    "the splits with masks that MeViS has."
)


def write(job: Job, progress: Callable[[int], object]) -> Counts:
    name = NAMES.get(job.split, job.split)
    folder = job.folder / name
    counts = job.counts(name)
    place_all_frames(job, folder, counts, progress)
    ids = own_ids(job.annotations)
    _write_tracks(job.annotations, ids, folder / "mask_dict.json", progress)
    entries = {video.video_id: _entry(video, number, ids) for number, video in enumerate(job.annotations)}
    with whole(folder / "meta_expressions.json") as file, job.annotations.unchanged():
        file.write(msgspec.json.encode({"videos": entries}))
    return counts


def _write_tracks(annotations: Annotations, ids: Ids, path: Path, progress: Callable[[int], object]) -> None:
    with whole(path) as file, annotations.unchanged():
        file.write(b"{")
        between = b""
        for video in annotations:
            masks, order = annotations.masks(video), _by_name(video)
            for annotation_id in video.annotation_ids:
                file.write(between + b'"%d": ' % ids[video.video_id, annotation_id])
                file.write(msgspec.json.encode(list(masks.track(annotation_id).take(order))))
                between = b", "
            progress(1)
        file.write(b"}")


def _by_name(video: Video) -> list[int]:
    """The positions of a video's frames, in the order of their names."""
    return sorted(range(len(video.frame_names)), key=video.frame_names.__getitem__)


def _entry(video: Video, number: int, ids: Ids) -> dict[str, object]:
    """A video as `meta_expressions*.json` has it."""
    return {
        "vid_id": number,
        "height": video.height,
        "width": video.width,
        "frames": sorted(video.frame_names),
        "expressions": {
            e.expression_id: _expression(e, [ids[video.video_id, i] for i in e.annotation_ids])
            for e in video.expressions
        },
    }


def _expression(expression: Expression, annotation_ids: list[int]) -> dict[str, object]:
    said: dict[str, object] = {"exp": expression.text, "obj_id": expression.object_ids, "anno_id": annotation_ids}
    return said if expression.type is None else said | {"type_id": int(expression.type)}
