"""The frames that a dataset's own evaluator looks at, where these are not all of a video."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from revoskit.dataset.annotations import Annotations
from revoskit.dataset.families import FAMILIES
from revoskit.dataset.records import Expression, Video
from revoskit.dataset.video_masks import KeptMasks
from revoskit.scoring.prediction import Prediction, ProblemKind, from_rles
from revoskit.scoring.truth import Truth


class VideoTruth:
    """The true masks of one video for each of its expressions, made once for all that are scored at the same frames."""

    def __init__(self, annotations: Annotations, video: Video) -> None:
        self.video = video
        self._masks = annotations.masks(video)
        self._scored = FAMILIES[annotations.layout.family].scored_frames
        self._truths: dict[tuple[int, ...] | None, Truth] = {}

    def of(self, expression: Expression) -> Truth:
        """The true masks at the frames at which an expression is scored: those that its `video` has."""
        kept = self._kept(expression)
        if kept not in self._truths:
            self._truths[kept] = Truth(self.video, self._masks) if kept is None else self._at(kept)
        return self._truths[kept]

    def prediction(self, expression: Expression, read: Callable[[Video, Expression], Prediction]) -> Prediction:
        """A prediction for the frames that are scored, which may also have been made for all of the video's.

        Args:
            read: reads the prediction for an expression of a video, with the frames that this one has.
        """
        found = read(self.of(expression).video, expression)
        kept = self._kept(expression)
        if kept is None or found.problem is None or found.problem.kind is ProblemKind.MISSING:
            return found
        whole = read(self.video, expression)
        if whole.binary is None:
            return found
        part = self.of(expression).video
        return from_rles(part, expression, whole.binary.unpack().take(kept), extra=whole.extra)

    def _kept(self, expression: Expression) -> tuple[int, ...] | None:
        """The numbers of the frames at which an expression is scored, null where these are all."""
        frames = len(self.video.frame_names)
        if self._scored == "all":
            return None
        if self._scored == "annotated":
            tracks = [self._masks.track(i) for i in expression.annotation_ids]
            kept = tuple(i for i in range(frames) if any(track[i] is not None for track in tracks))
            return None if len(kept) in (0, frames) else kept
        return tuple(np.linspace(0, frames - 1, self._scored, dtype=int).tolist())

    def _at(self, kept: tuple[int, ...]) -> Truth:
        video = msgspec.structs.replace(self.video, frame_names=tuple(self.video.frame_names[i] for i in kept))
        return Truth(video, KeptMasks(video, self._masks, list(kept)))
