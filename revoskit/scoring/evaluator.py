"""Scores predictions as they come, one expression at a time: for a training loop."""

from __future__ import annotations

import os
from typing import Any, Literal

from revoskit.dataset.annotations import open_annotations
from revoskit.dataset.families import REVOS
from revoskit.dataset.layout import Faults, Layout
from revoskit.dataset.records import Expression, Video
from revoskit.errors import UsageError
from revoskit.scoring.identity import Identity
from revoskit.scoring.prediction import Prediction, Problem, ProblemKind, from_masks
from revoskit.scoring.protocols import ExpressionScores, Protocol, protocols_of, require_scorable, score
from revoskit.scoring.result import Result
from revoskit.scoring.scored_frames import VideoTruth


class Evaluator:
    """Scores predictions as they come, in a training loop: nothing has to be written to know a score.

    >>> evaluator = Evaluator("ReVOS")
    >>> evaluator.add("OVIS/train/00e92ab4", "0", masks)  # (T, height, width), or RLEs
    >>> print(evaluator.result().table())

    With several ranks, give each an evaluator, gather them (they pickle, and hold numbers only) and `merge`.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        family: str = REVOS,
        split: str = "validation",
        protocol: Protocol | Literal["both"] = "binary",
        alignment: str | os.PathLike[str] | None = None,
        faults: Faults = "error",
        extra: bool = False,
    ) -> None:
        self.protocols = protocols_of(protocol)
        self._annotations = open_annotations(Layout.at(data_dir, family, alignment=alignment, faults=faults), split)
        require_scorable(self._annotations, self.protocols)
        self._found: dict[tuple[str, str], ExpressionScores] = {}
        self._extra = extra
        self._truth: VideoTruth | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_truth": None}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, video_id: str, expression_id: str, masks: Any) -> ExpressionScores:
        """Score the prediction for one expression; a later one for the same expression replaces it.

        The true masks of the video are kept until another video's turn comes: keep a video's expressions together.

        Args:
            video_id, expression_id: as the dataset has them.
            masks: all frames of the video: an array or tensor (T, height, width) of bool or whole numbers, or T RLEs
                (null is an empty mask).

        Raises:
            AnnotationError: the split has no such video.
            UsageError: it has no such expression, or the masks do not fit the video.
        """
        video = self._annotations.video(video_id)
        if self._truth is None or self._truth.video is not video:
            self._truth = VideoTruth(self._annotations, video)
        expression = next((e for e in video.expressions if e.expression_id == str(expression_id)), None)
        if expression is None:
            known = ", ".join(e.expression_id for e in video.expressions)
            raise UsageError(f"video {video_id!r} has no expression {expression_id!r}; it has {known}")
        prediction = self._truth.prediction(expression, lambda video, expression: from_masks(video, expression, masks))
        if prediction.problem is not None:
            reason = prediction.problem.reason
            raise UsageError(f"video {video_id!r}, expression {expression.expression_id!r}: {reason}")
        found = score(self._truth.of(expression), expression, prediction, self.protocols, further=self._extra)
        self._found[video_id, expression.expression_id] = found
        return found

    def merge(self, other: Evaluator) -> Evaluator:
        """Take over what another rank has scored; an expression that both have counts once. Returns this one.

        Raises:
            UsageError: the other one is for another split or protocol.
        """
        mine, theirs = ((e._annotations.split, e.protocols) for e in (self, other))
        if mine != theirs:
            raise UsageError(f"cannot merge an evaluator for {theirs} into one for {mine} (split, protocols)")
        self._found |= other._found
        return self

    def result(self, *, added_only: bool = False) -> Result:
        """The scores so far. What was not added is missing and scores 0, as the protocol wants it.

        With `added_only` it is left out instead: the score of a sample, not one to publish.
        """
        expressions = []
        for video in self._annotations:
            for expression in video.expressions:
                found = self._found.get((video.video_id, expression.expression_id))
                if found is None and not added_only:
                    found = self._missing(video, expression)
                if found is not None:
                    expressions.append(found)
        return Result.of(Identity.of(self._annotations), self.protocols, expressions)

    def _missing(self, video: Video, expression: Expression) -> ExpressionScores:
        reason = "no masks were added for it"
        problem = Problem(video.video_id, expression.expression_id, ProblemKind.MISSING, reason)
        truth = VideoTruth(self._annotations, video).of(expression)
        return score(truth, expression, Prediction(None, None, problem), self.protocols, further=self._extra)
