"""One video of a page: its tracks, what each method predicts for its expressions, and how it scores frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from revoskit.dataset.annotations import Annotations
from revoskit.dataset.records import Expression, Video
from revoskit.dataset.video_masks import VideoMasks
from revoskit.frames import nearest
from revoskit.looking.folder import bounded, link_or_copy, write_pictures, write_script
from revoskit.looking.page_data import Compared, Predicted, Thumbnail, Track, VideoData
from revoskit.masks.packed import PackedMasks
from revoskit.masks.rle import MaskSequence
from revoskit.scoring.attributes import attributes
from revoskit.scoring.measures import boundary_measure, region_similarity
from revoskit.scoring.predictions import Predictions
from revoskit.scoring.truth import Truth

THUMBNAIL_SIDE = 64  # pixels of the longer side of the masks on a picture in the list
PICTURE_SIDE = 160  # of the frame below them: on many screens a pixel of the page is two of the screen
MEASURED = ("binary_J&F", "binary_J", "binary_F")
"""What the page measures itself."""


@dataclass(frozen=True)
class MadeExpression:
    """What came of one expression; a list has an entry for each method."""

    means: list[list[float | None]]
    """In percent, in the order of `MEASURED`."""
    problems: list[str | None]
    """Why there is no usable prediction, in a word."""
    thumbnail: Thumbnail
    words: list[str]
    """Its attributes, where they were asked for."""


@dataclass(frozen=True)
class MadeVideo:
    """What came of one video: its expressions by id, and its files under the folder."""

    missing_frames: int
    expressions: dict[str, MadeExpression]
    files: tuple[str, ...]
    other_sizes: tuple[tuple[int, int], ...]
    """Height and width of frames that have not those of the video, as far as frames were opened."""


@dataclass(frozen=True)
class VideoWriter:
    """Writes the file of one video, named by its id; runs in any process."""

    annotations: Annotations
    folder: Path
    predictions: tuple[Predictions, ...]
    max_side: int | None
    attributed: bool
    """Tell the attributes of every expression, which takes its masks to be decoded."""

    def __call__(self, video_id: str) -> MadeVideo:
        annotations = self.annotations
        video = annotations.video(video_id)
        masks = annotations.masks(video)
        placed = link_or_copy(video_id, video.frame_names, annotations.files, self.folder, self.max_side)
        tracks = [Track(str(i), of, _counts(masks.track(i))) for i, of in video.objects().items()]
        absent = [number for number, frame in enumerate(annotations.files.frames(video)) if frame is None]
        place = {annotation_id: number for number, annotation_id in enumerate(video.annotation_ids)}
        true = Truth(video, masks)  # what a true mask costs, it costs once a set of tracks
        compared, made = [], {}
        for expression in video.expressions:
            methods, problems = self._predicted(true, expression)
            tracks_of = sorted({place[i] for i in expression.annotation_ids})
            compared.append(Compared(expression.expression_id, tracks_of, methods))
            words = list(msgspec.structs.astuple(attributes(true, expression))) if self.attributed else []
            picture = _thumbnail(video, masks, expression, methods)
            made[expression.expression_id] = MadeExpression([_means(one) for one in methods], problems, picture, words)
        script = f"data/videos/{video_id}.js"
        data = VideoData(video_id, placed.address, video.frame_names, absent, tracks, compared)
        write_script(self.folder / script, "revosVideo", data)
        shown = sorted({one.thumbnail.frame for one in made.values()})
        pictures = write_pictures(video_id, shown, annotations.files, self.folder, PICTURE_SIDE)
        others = tuple(sorted(placed.sizes - {(video.height, video.width)}))
        return MadeVideo(len(absent), made, (script, *placed.copies, *pictures), others)

    def _predicted(self, true: Truth, expression: Expression) -> tuple[list[Predicted], list[str | None]]:
        """What each method says, and in a word what is wrong with that which cannot be used."""
        found: list[Predicted] = []
        problems: list[str | None] = []
        for predictions in self.predictions:
            prediction = predictions.read(true.video, expression)
            if prediction.binary is None:
                assert prediction.problem is not None  # without masks there is a reason
                kind = prediction.problem.kind.value
                problems.append(kind)
                found.append(Predicted(problem=f"No usable prediction ({kind}): {prediction.problem.reason}."))
                continue
            problems.append(None)
            j, f = _of_frames(true, expression, prediction.binary)
            found.append(Predicted(_counts(prediction.binary.unpack()), j, f))
        return found, problems


def _of_frames(true: Truth, expression: Expression, prediction: PackedMasks) -> tuple[list[float], list[float]]:
    """J and F of every frame, a part of a long video after the other, so that memory does not follow its length."""
    j, f = [], []
    for begin, end, part in true.parts():
        truth, predicted = part.of(expression.annotation_ids), prediction.some(begin, end)
        j.append(region_similarity(truth, predicted))
        f.append(boundary_measure(truth, predicted))
    return _rounded(np.concatenate(j)), _rounded(np.concatenate(f))


def _thumbnail(video: Video, masks: VideoMasks, expression: Expression, methods: Sequence[Predicted]) -> Thumbnail:
    """Of the frame in which one method is worst, or two differ most; without any, where the object is largest."""
    truth = masks.of(expression)
    scores = [np.add(one.J, one.F) for one in methods if one.J is not None and one.F is not None]
    if len(scores) == 2 and (scores[0] != scores[1]).any():
        frame = int(np.abs(scores[0] - scores[1]).argmax())
    elif scores:
        frame = int(scores[0].argmin())
    else:  # where the split keeps its masks back, there is none to look for: the frame in the middle then
        frame = int(truth.areas().argmax()) if len(truth) else len(video.frame_names) // 2
    height, width = bounded((video.height, video.width), THUMBNAIL_SIDE)
    rows, columns = nearest(video.height, height), nearest(video.width, width)

    def small(mask: MaskSequence) -> str | None:
        pixels = mask.sample(rows, columns)
        return _counts(MaskSequence.encode(pixels))[0] if pixels.any() else None

    def of(method: Predicted) -> str | None:
        if method.masks is None or (counts := method.masks[frame]) is None:
            return None
        return small(
            MaskSequence.parse([{"size": [video.height, video.width], "counts": counts}], video.height, video.width)
        )

    true = small(truth.take([frame])) if len(truth) else None
    return Thumbnail(video.frame_names[frame], height, width, true, [of(one) for one in methods])


def _rounded(values: np.ndarray) -> list[float]:
    rounded: list[float] = np.round(values, 4).tolist()
    return rounded


def _means(predicted: Predicted) -> list[float | None]:
    if predicted.J is None or predicted.F is None:
        return [0.0, 0.0, 0.0]
    j, f = (round(100 * sum(values) / len(values), 2) for values in (predicted.J, predicted.F))
    return [round((j + f) / 2, 2), j, f]


def _counts(masks: MaskSequence) -> list[str | None]:
    return [None if mask is None else mask["counts"] for mask in masks]
