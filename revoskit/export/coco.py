"""The COCO-style JSON of YouTube-VIS: videos in place of images, and for each track a mask per frame.

    FOLDER/<split>/JPEGImages/<video_id>/<frame>.jpg
    FOLDER/<split>/instances.json
        videos        id, height, width, length, file_names (under JPEGImages/)
        annotations   one a track: id, video_id, category_id, iscrowd, and for each frame
                      segmentations (RLE or null), bboxes ([x, y, width, height] or null), areas (pixels or null);
                      an RLE's counts are a list of numbers, as in YouTube-VIS, not COCO's compressed string
        categories    one, "object": ReVOS has none
        expressions   not of YouTube-VIS: id, video_id, expression_id, expression, type, object_ids (as ReVOS has them),
                      annotation_ids (each an id of an annotation here)

An annotation's `id` is ReVOS's annotation id, or a number above all of those where an earlier video has the same track,
or where COCO would read the id as none; `annotation_id` and `object_id` are ReVOS's. A track without a pixel is left
out: nothing that is predicted could match it. Each annotation also has `image_id`, equal to its `video_id`, without
which COCO's own class does not open the file.
Read in public documents and code: TrackEval's `docs/YouTube-VIS-format.txt` and `trackeval/datasets/youtube_vis.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from revoskit.atomic import whole
from revoskit.dataset.annotations import Annotations
from revoskit.dataset.families import FAMILIES
from revoskit.dataset.records import Video
from revoskit.export.job import Counts, Job, own_ids, place_all_frames
from revoskit.masks.rle import MaskSequence

PASSES = 2
NAMES = {"validation": "valid"}
HOW_TO_READ = "Readers of YouTube-VIS take {folder}/<split>/instances.json and {folder}/<split>/JPEGImages."


def write(job: Job, progress: Callable[[int], object]) -> Counts:
    name = NAMES.get(job.split, job.split)
    counts = job.counts(name)
    place_all_frames(job, job.folder / name, counts, progress)
    counts.tracks_left_out = _write_instances(job.annotations, job.folder / name / "instances.json", progress)
    return counts


def _write_instances(annotations: Annotations, path: Path, progress: Callable[[int], object]) -> int:
    """One track at a time: all of them together can be larger than memory. Returns how many are left out."""
    videos = {video.video_id: number for number, video in enumerate(annotations, 1)}
    ids = own_ids(annotations, lowest=1)  # COCO's class takes 0 for none
    left_out: set[int] = set()
    with whole(path) as file, annotations.unchanged():
        title = FAMILIES[annotations.layout.family].title
        file.write(b'{"info": {"description": "%s, %s"}, ' % (title.encode(), annotations.split.encode()))
        file.write(b'"categories": [{"id": 1, "name": "object", "supercategory": "object"}], "videos": ')
        file.write(msgspec.json.encode([_video(video, videos[video.video_id]) for video in annotations]))
        file.write(b', "annotations": [')
        between = b""
        for video in annotations:
            masks = annotations.masks(video)
            for annotation_id, object_id in video.objects().items():
                track, number = masks.track(annotation_id), ids[video.video_id, annotation_id]
                if not track.areas().any():
                    left_out.add(number)
                    continue
                known: dict[str, object] = {
                    "id": number,
                    "annotation_id": annotation_id,
                    "object_id": object_id,
                }
                known |= _track(videos[video.video_id], video, track)
                file.write(between + msgspec.json.encode(known))
                between = b", "
            progress(1)
        file.write(b'], "expressions": ')
        shown = {track: number for track, number in ids.items() if number not in left_out}
        file.write(msgspec.json.encode(list(_expressions(annotations, videos, shown))) + b"}")
    return len(left_out)


def _video(video: Video, number: int) -> dict[str, object]:
    return {
        "id": number,
        "height": video.height,
        "width": video.width,
        "length": len(video.frame_names),
        "file_names": [f"{video.video_id}/{name}.jpg" for name in video.frame_names],
    }


def _track(video_number: int, video: Video, track: MaskSequence) -> dict[str, object]:
    def annotated(values: list[object]) -> list[object]:
        return [None if mask is None else value for mask, value in zip(track, values, strict=True)]

    return {
        "video_id": video_number,
        "image_id": video_number,
        "category_id": 1,
        "iscrowd": 0,
        "height": video.height,
        "width": video.width,
        "length": len(track),
        "segmentations": [runs and {"size": [video.height, video.width], "counts": runs} for runs in track.runs()],
        "bboxes": annotated(track.boxes().tolist()),
        "areas": annotated(track.areas().tolist()),
    }


def _expressions(
    annotations: Annotations, videos: dict[str, int], ids: dict[tuple[str, int], int]
) -> Iterator[dict[str, object]]:
    every = ((video, expression) for video in annotations for expression in video.expressions)
    for number, (video, expression) in enumerate(every, 1):
        yield {
            "id": number,
            "video_id": videos[video.video_id],
            "expression_id": expression.expression_id,
            "expression": expression.text,
            "type": None if expression.type is None else expression.type.label,
            "object_ids": expression.object_ids,
            "annotation_ids": [ids[video.video_id, i] for i in expression.annotation_ids if (video.video_id, i) in ids],
        }
