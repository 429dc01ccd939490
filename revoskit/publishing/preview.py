"""The config `preview`: a row for every expression, with a small picture, to look through the dataset on the Hub."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from datasets import Features, Image, Value

from revoskit.dataset.annotations import Annotations
from revoskit.dataset.columns import expression_columns, expressions_features, video_columns
from revoskit.dataset.records import Video
from revoskit.looking import pictures

PREVIEW = "preview"
PICTURE = "picture"
FRAMES = 3
GAP = 4  # pixels between two frames
MOST_SIDE = 512  # pixels of a picture
MOST_BYTES = 24_000  # of a picture: the 5,822 of the validation split take 140 MB at most
_QUALITIES = (85, 80, 70, 60, 45, 30)  # tried in turn where a picture takes more
_COPIED = ("video_id", "expression_id", "expression", "expression_type", "height", "width")


def preview_features() -> Features:
    """The columns; what other configs have, too, is the same there."""
    known = expressions_features()
    return Features(
        {
            PICTURE: Image(),
            **{name: known[name] for name in _COPIED},
            "num_frames": Value("int32"),
            "num_objects": Value("int32"),
            "covered_percent": Value("float32"),
        }
    )


def preview_examples(annotations: Annotations, video: Video, size: tuple[int, int]) -> Iterator[dict[str, Any]]:
    """The rows of a video.

    Args:
        size: height and width that the other configs give; pictures and masks are of the original.

    Raises:
        FrameError: a frame that is shown cannot be read.
    """
    masks = annotations.masks(video)
    for expression in video.expressions:
        areas = masks.of(expression).areas()
        row = video_columns(video, []) | expression_columns(expression)
        picture = _jpeg(pictures.scene(annotations, video, expression), _chosen(areas))
        yield {
            PICTURE: {"bytes": picture, "path": None},
            **{name: row[name] for name in _COPIED},
            "height": size[0],
            "width": size[1],
            "num_frames": len(video.frame_names),
            "num_objects": len(expression.object_ids),
            "covered_percent": 100 * areas.sum() / (video.height * video.width * len(areas)),
        }


def _chosen(areas: np.ndarray) -> list[int]:
    """Of the frames in which the object is seen, the first, the middle one and the last; of all where it is in none."""
    seen = np.flatnonzero(areas) if areas.any() else np.arange(len(areas))
    return [int(seen[i]) for i in pictures.evenly_spaced(len(seen), FRAMES)]


def _jpeg(scene: pictures.Scene, chosen: list[int]) -> bytes:
    """The frames side by side, as well as `MOST_BYTES` allows; a smaller picture where that is too few for any."""
    video = scene.video
    width = min(video.width, (MOST_SIDE - GAP * (FRAMES - 1)) // FRAMES, MOST_SIDE * video.width // video.height)
    while True:
        strip = pictures.strip(scene, chosen, max(1, width), GAP)
        for quality in _QUALITIES:
            made = io.BytesIO()
            strip.save(made, "JPEG", quality=quality, optimize=True)
            if made.tell() <= MOST_BYTES:
                return made.getvalue()
        width //= 2
