"""The columns of every config of the dataset, and the rows that fill them.

Standard features only: a file written with a registered custom feature cannot be read without this package.
A list of structs is written `[{...}]`, which reads the same on every version of `datasets`; `Sequence({...})` does not.
`size` is a plain list, since 3.6 cannot cast a list of fixed length that stands beside null masks.
"""

from __future__ import annotations

from typing import Any

from datasets import ClassLabel, Features, Image, Value

from revoskit.dataset.records import Expression, ExpressionType, Video
from revoskit.dataset.video_masks import VideoMasks
from revoskit.frames import EncodedFrame

EXPRESSION_TYPES = [kind.label for kind in ExpressionType]


def _rle() -> dict[str, Any]:
    return {"size": [Value("int32")], "counts": Value("string")}


def _video_columns(decode_frames: bool) -> dict[str, Any]:
    return {
        "video_id": Value("string"),
        "height": Value("int32"),
        "width": Value("int32"),
        "frame_names": [Value("string")],
        "frames": [Image(decode=decode_frames)],
    }


def _expression_columns() -> dict[str, Any]:
    return {
        "expression_id": Value("string"),
        "expression": Value("string"),
        "expression_type": ClassLabel(names=EXPRESSION_TYPES),
        "object_ids": [Value("int32")],
        "annotation_ids": [Value("int64")],
    }


def expressions_features(decode_frames: bool = False) -> Features:
    """Config `expressions`: a row per video and expression."""
    video, expression = _video_columns(decode_frames), _expression_columns()
    names = ["video_id", "expression_id", "expression", "expression_type", "height", "width", "frame_names", "frames"]
    columns = {name: (video | expression)[name] for name in names}
    columns["masks"] = [_rle()]
    return Features(columns | {name: expression[name] for name in ("object_ids", "annotation_ids")})


def videos_features(decode_frames: bool = False) -> Features:
    """Config `videos`: a row per video, with its tracks and expressions."""
    return Features(
        {
            **_video_columns(decode_frames),
            "tracks": [{"annotation_id": Value("int64"), "object_id": Value("int32"), "masks": [_rle()]}],
            "expressions": [_expression_columns()],
            "foreground": [_rle()],
        }
    )


def video_columns(video: Video, frames: list[EncodedFrame | None]) -> dict[str, Any]:
    """What every row about a video says of it."""
    return {
        "video_id": video.video_id,
        "height": video.height,
        "width": video.width,
        "frame_names": list(video.frame_names),
        "frames": frames,
    }


def expression_columns(expression: Expression) -> dict[str, Any]:
    """What a row says of an expression, less its masks."""
    return {
        "expression_id": expression.expression_id,
        "expression": expression.text,
        "expression_type": None if expression.type is None else int(expression.type),
        "object_ids": list(expression.object_ids),
        "annotation_ids": list(expression.annotation_ids),
    }


def expression_example(
    video: Video, expression: Expression, masks: VideoMasks, frames: list[EncodedFrame | None]
) -> dict[str, Any]:
    """A row of config `expressions`."""
    return video_columns(video, frames) | expression_columns(expression) | {"masks": list(masks.of(expression))}


def video_example(video: Video, masks: VideoMasks, frames: list[EncodedFrame | None]) -> dict[str, Any]:
    """A row of config `videos`."""
    tracks = [
        {"annotation_id": i, "object_id": object_id, "masks": list(masks.track(i))}
        for i, object_id in video.objects().items()
    ]
    return video_columns(video, frames) | {
        "tracks": tracks,
        "expressions": [expression_columns(expression) for expression in video.expressions],
        "foreground": list(masks.foreground()),
    }
