"""Parts of a loaded dataset by video: rows of a video share its frames, so a split by row would leak them."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from datasets import Dataset

from revoskit.errors import UsageError


def select_videos(dataset: Dataset, wanted: Collection[str] | Callable[[str], bool]) -> Dataset:
    """The rows of some videos, in the order in which they are.

    Only the column `video_id` is read, where `filter` without `input_columns` decodes every mask.

    Args:
        dataset: of either config, with the column `video_id`.
        wanted: the ids, or a function that says of an id whether it is wanted.

    Raises:
        UsageError: the dataset has no column `video_id`, or none of its videos is wanted.
    """
    ids = _video_ids(dataset)
    kept = {one for one in set(ids) if (wanted(one) if callable(wanted) else one in wanted)}
    if not kept:
        raise UsageError(f"none of the {len(set(ids)):,} videos is among those that are wanted, such as {ids[0]!r}")
    return dataset.select([i for i, video_id in enumerate(ids) if video_id in kept])


def split_by_video(dataset: Dataset, share: float, *, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Divide a dataset at random into two that have no video in common.

    Args:
        dataset: of either config, with the column `video_id`.
        share: of the videos, how many go to the second part: above 0 and below 1. Each part gets at least one.
        seed: of the choice, which depends on the ids and on nothing else.

    Raises:
        UsageError: `share` is not a share, or the dataset has no column `video_id`, or fewer than two videos.
    """
    if not 0 < share < 1:
        raise UsageError(f"share is {share!r}: expected a number above 0 and below 1")
    videos = sorted(set(_video_ids(dataset)))
    if len(videos) < 2:
        raise UsageError(f"{len(videos)} videos cannot be divided: expected two or more")
    count = min(len(videos) - 1, max(1, round(share * len(videos))))
    second = set(np.random.default_rng(seed).permutation(videos)[:count].tolist())
    return select_videos(dataset, set(videos) - second), select_videos(dataset, second)


def _video_ids(dataset: Dataset) -> list[str]:
    if "video_id" not in dataset.column_names:
        raise UsageError(f"the dataset has no column video_id; it has {', '.join(dataset.column_names)}")
    ids: list[str] = dataset.select_columns("video_id").with_format("arrow")[:]["video_id"].to_pylist()
    return ids
