"""A page to look through a split: every expression with its masks, the predictions of one method or two, and how they
do.

FOLDER/data/index.js                every video and expression with its scores: what the list needs
FOLDER/data/videos/<video_id>.js    one video's masks as run-length counts: read when it is opened, then let go
FOLDER/data/pictures/<video_id>/    the frames that the list shows, small

`folder` says what else is there, `page_data` what these files hold.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from revoskit.atomic import remove_parts, sole_writer
from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.families import FAMILIES
from revoskit.dataset.layout import Layout
from revoskit.dataset.records import Expression, Video
from revoskit.errors import ChangedError, UsageError
from revoskit.looking.compared import MEASURED, MadeExpression, MadeVideo, VideoWriter
from revoskit.looking.folder import Kind, claim, refuse_what_is_no_page, remove_others, write_page, write_script
from revoskit.looking.methods import Methods, open_methods
from revoskit.looking.page_data import Attribute, Index, ListedExpression, ListedVideo
from revoskit.looking.pictures import tell_of_size
from revoskit.scoring.attributes import ATTRIBUTES, NONE, order
from revoskit.workers import run


@dataclass(frozen=True)
class Written:
    """What `write_gallery` wrote: the page, and how much is on it."""

    page: Path
    videos: int
    expressions: int
    missing_frames: int
    unsized: int
    """Videos that are left out, since nothing tells their size."""
    hidden: bool
    """The split keeps its masks back."""


def write_gallery(
    layout: Layout,
    split: str,
    folder: str | os.PathLike[str],
    *,
    predictions: Any = None,
    scores: str | os.PathLike[str] | None = None,
    against: Any = None,
    against_scores: str | os.PathLike[str] | None = None,
    names: Sequence[str] | None = None,
    max_side: int | None = None,
    num_proc: int = 1,
    progress: Callable[[int], object] = lambda count: None,
) -> Written:
    """Write the page of a split into `folder`; what is there of an earlier page is replaced, or removed.

    Args:
        predictions: a method's masks, as `predictions.open_predictions` takes them.
        scores: the folder of the evaluation's `scores.csv`. Without it, J and F of the predictions are shown.
        against: a second method's masks, to stand beside the first one's.
        against_scores: the folder of their scores; given where `scores` is.
        names: what to call the methods (default: the last parts of their paths).
        max_side: write copies of the frames whose longer side has at most so many pixels, so that the folder can be
            moved or sent. By default frames are linked where they are.
        num_proc: processes to write with.
        progress: called with 1 after each video.

    Raises:
        UsageError: the folder holds something that is no page, an option is not valid, the scores are of other
            predictions, or predictions are to be compared with masks that are kept back.
        FolderInUseError: another process writes to the folder.
        ChangedError: the annotation files changed meanwhile.
        MissingFilesError: there is no `scores.csv`.
    """
    if max_side is not None and max_side < 16:
        raise UsageError(f"max_side is {max_side} pixels: expected 16 or more")
    if against is not None and predictions is None:
        raise UsageError("there is a second set of predictions and no first: name `predictions`, too")
    folder = Path(os.path.realpath(folder))
    refuse_what_is_no_page(folder, Kind.GALLERY)
    annotations = open_annotations(layout, split)
    methods = open_methods(
        annotations,
        [one for one in (predictions, against) if one is not None],
        [one for one in (scores, against_scores) if one is not None],
        names,
    )
    attributed = bool(methods.predictions) and not methods.scores
    writer = VideoWriter(annotations, folder, methods.predictions, max_side, attributed)
    with sole_writer(folder):
        remove_parts(folder)
        claim(folder, Kind.GALLERY)
        try:
            with annotations.unchanged():
                return _write_all(writer, methods, num_proc, progress)
        except ChangedError:
            shutil.rmtree(folder / "data")  # of what changed, and of what an earlier page had
            raise


def _write_all(writer: VideoWriter, methods: Methods, num_proc: int, progress: Callable[[int], object]) -> Written:
    annotations, folder = writer.annotations, writer.folder
    made: dict[str, MadeVideo] = {}
    for video_id, one in run(writer, list(annotations.videos), num_proc=num_proc):
        made[video_id] = one
        for size in one.other_sizes[:1]:  # here, where the caller sees warnings: workers have their own
            tell_of_size(annotations.video(video_id), size)
        progress(1)
    index = _index(annotations, methods, made)
    write_script(folder / "data" / "index.js", "revosIndex", index)
    page = write_page(folder, Kind.GALLERY)
    remove_others(folder, {"data/index.js", *page, *(name for one in made.values() for name in one.files)})
    return Written(
        folder / "index.html",
        len(index.videos),
        sum(len(video.expressions) for video in index.videos),
        sum(one.missing_frames for one in made.values()),
        len(annotations.unsized),
        annotations.hidden,
    )


def _index(annotations: Annotations, methods: Methods, made: dict[str, MadeVideo]) -> Index:
    rows = _Rows(methods)
    words = [
        rows.words(video, expression, made[video.video_id].expressions[expression.expression_id])
        for video in annotations
        for expression in video.expressions
    ]
    values = [sorted({of[place] for of in words}, key=order) for place in range(len(rows.attributes))]
    listed = [_listed(video, made[video.video_id], rows, values) for video in annotations]
    return Index(
        FAMILIES[annotations.layout.family].title,
        annotations.split,
        annotations.layout.root.name,
        list(methods.names),
        annotations.hidden,
        list(rows.measures),
        [Attribute(name, of) for name, of in zip(rows.attributes, values, strict=True)],
        listed,
    )


class _Rows:
    """What is said of every expression: the scores that were given, or those that were measured."""

    def __init__(self, methods: Methods) -> None:
        self._given = methods.scores
        self.measures: tuple[str, ...] = methods.measures
        self.attributes: tuple[str, ...] = methods.scores[0].attributes if methods.scores else ()
        if methods.predictions and not methods.scores:
            self.measures, self.attributes = MEASURED, ATTRIBUTES

    def scores(self, video: Video, expression: Expression, made: MadeExpression) -> list[list[float | None]]:
        key = video.video_id, expression.expression_id
        return [one.of(self.measures, key) for one in self._given] if self._given else made.means

    def words(self, video: Video, expression: Expression, made: MadeExpression) -> list[str]:
        if not self._given:
            return made.words
        return self._given[0].words.get((video.video_id, expression.expression_id), [NONE] * len(self.attributes))


def _listed(video: Video, made: MadeVideo, rows: _Rows, values: list[list[str]]) -> ListedVideo:
    expressions = []
    for expression in video.expressions:
        one = made.expressions[expression.expression_id]
        words = rows.words(video, expression, one)
        expressions.append(
            ListedExpression(
                expression.expression_id,
                expression.text,
                None if expression.type is None else int(expression.type),
                len(set(expression.annotation_ids)),
                rows.scores(video, expression, one),
                one.problems,
                [of.index(word) for of, word in zip(values, words, strict=True)],
                one.thumbnail,
            )
        )
    return ListedVideo(video.video_id, video.source, video.height, video.width, len(video.frame_names), expressions)
