"""How much of what a copy of the dataset holds, per split and per source dataset."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import msgspec
from tabulate import tabulate

from revoskit.dataset.annotations import Annotations, open_annotations
from revoskit.dataset.families import FAMILIES
from revoskit.dataset.layout import Layout
from revoskit.dataset.records import ExpressionType, Video

ALL_SOURCES = "all"
WIDTH = 100  # columns of a table, and of what is said below it
UNTYPED = "untyped"  # all the expressions of a dataset that has no types


class Counts(msgspec.Struct, frozen=True):
    """What one split holds of one source dataset, or of all of them (`source` is "all")."""

    split: str
    source: str
    videos: int
    frames: int
    expressions: dict[str, int]
    tracks: int
    objects_per_expression: float
    sizes: dict[str, int]
    """Videos by size, "width x height"; "unknown" where nothing tells it."""
    hidden: bool
    """The masks are kept back: what is counted of tracks and masks is 0, and says nothing."""


class Statistics(Counts, frozen=True):
    """The same, and what of it is covered by masks."""

    annotated: float
    """Share of track entries that are not null."""
    coverage: float
    """Share of a frame's pixels that some annotated object covers, mean over all frames."""


class _Covered(msgspec.Struct, frozen=True):
    """What the masks of a video add to the statistics."""

    entries: int
    annotated: int
    coverage: float


def count(layout: Layout, splits: Iterable[str]) -> list[Counts]:
    """Count every split: first each as a whole, then by source dataset. No mask is read."""
    return [
        _count(annotations, source, videos)
        for annotations in (open_annotations(layout, split) for split in splits)
        for source, videos in _by_source(annotations)
    ]


def measure(
    layout: Layout, splits: Iterable[str], progress: Callable[[int], object] = lambda videos: None
) -> list[Statistics]:
    """Like `count`, with every mask decoded as far as its area. `progress` is called with 1 after each video."""
    measured = []
    for split in splits:
        annotations = open_annotations(layout, split)
        covered = {}
        for video in annotations:
            covered[video.video_id] = _cover(annotations, video)
            progress(1)
        covered |= dict.fromkeys(annotations.unsized, _Covered(0, 0, 0.0))  # nor do they have a mask
        for source, videos in _by_source(annotations):
            counts = _count(annotations, source, videos)
            some = [covered[video.video_id] for video in videos]
            entries = sum(one.entries for one in some)
            annotated = sum(one.annotated for one in some) / entries if entries else 0.0
            coverage = sum(one.coverage for one in some) / counts.frames if counts.frames else 0.0
            measured.append(Statistics(**msgspec.structs.asdict(counts), annotated=annotated, coverage=coverage))
    return measured


def _by_source(annotations: Annotations) -> Iterator[tuple[str, list[Video]]]:
    videos = [*annotations, *(error.record for error in annotations.unsized.values())]
    yield ALL_SOURCES, videos
    for source in sorted({video.source for video in videos} - {""}):
        yield source, [video for video in videos if video.source == source]


def _cover(annotations: Annotations, video: Video) -> _Covered:
    masks = annotations.masks(video)
    tracks = [masks.track(i) for i in video.annotation_ids]
    covered = masks.foreground().areas().sum() / (video.height * video.width)
    entries = sum(len(track) for track in tracks)
    return _Covered(entries, entries - sum(mask is None for track in tracks for mask in track), float(covered))


def _count(annotations: Annotations, source: str, videos: list[Video]) -> Counts:
    kinds = list(ExpressionType) if FAMILIES[annotations.layout.family].typed else [None]
    expressions = [expression for video in videos for expression in video.expressions]
    naming = [len(e.annotation_ids) for e in expressions if e.type is not ExpressionType.NONEXISTENT]
    found = Counter(expression.type for expression in expressions)
    return Counts(
        split=annotations.split,
        source=source,
        videos=len(videos),
        frames=sum(len(video.frame_names) for video in videos),
        expressions={kind.label if kind is not None else UNTYPED: found[kind] for kind in kinds},
        tracks=sum(len(video.annotation_ids) for video in videos),
        objects_per_expression=sum(naming) / len(naming) if naming else 0.0,
        sizes=dict(Counter(map(_size, videos)).most_common()),
        hidden=annotations.hidden,
    )


def _size(video: Video) -> str:
    return f"{video.width}x{video.height}" if video.height else "unknown"


def table(statistics: list[Statistics]) -> str:
    """The statistics for reading, at most 100 columns wide: a row for each split and source, then the videos' sizes."""
    kinds = [kind for kind in dict.fromkeys(kind for row in statistics for kind in row.expressions) if kind != UNTYPED]
    rows, sizes = [], []
    for row in statistics:
        of_kinds = [" + ".join(f"{row.expressions[kind]:,}" for kind in kinds)] if kinds else []
        tracks = f"{row.tracks:,}"
        covered = [f"{row.objects_per_expression:.2f}", f"{row.annotated:.1%}", f"{row.coverage:.1%}"]
        if row.hidden:
            tracks, covered = "-", ["-"] * 3
        whole = row.source == ALL_SOURCES
        rows.append(
            [row.split if whole else f"· {row.source}", f"{row.videos:,}", f"{sum(row.expressions.values()):,}"]
            + [*of_kinds, tracks, f"{row.frames:,}", *covered]
        )
        if whole:
            sizes.append(f"{row.split}: {_listed(row.sizes)}")
    headers = ["split\n· source", "videos", "ex-\npres-\nsions", *([" +\n".join(kinds)] if kinds else [])]
    headers += ["tracks", "frames", "ob-\njects", "anno-\ntated", "co-\nvered"]
    alignment = ["left", *["right"] * (len(headers) - 1)]
    text = tabulate(rows, headers, colalign=alignment, disable_numparse=True)
    lines = [f"{text}\n", *textwrap.wrap("Sizes of videos, width x height: " + "; ".join(sizes), WIDTH)]
    if hidden := dict.fromkeys(row.split for row in statistics if row.hidden):
        lines.append(f"The masks of {', '.join(hidden)} are kept back: there are none to count.")
    return "\n".join(lines)


def _listed(sizes: dict[str, int], shown: int = 3) -> str:
    """The commonest sizes and how many videos have each."""
    found = [f"{size} ({videos:,})" for size, videos in sizes.items()]
    return ", ".join(found[:shown]) + (f", {len(found) - shown} more" if len(found) > shown else "")
