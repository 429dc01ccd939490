"""What the page reads: `data/index.js` with all that its list needs, and a file for each video with the masks."""

from __future__ import annotations

import msgspec


class Thumbnail(msgspec.Struct):
    """The picture of an expression in the list: `data/pictures/<video_id>/<frame>.jpg`, and on it small masks as
    counts, column by column."""

    frame: str
    height: int
    width: int
    truth: str | None = None
    predictions: list[str | None] = []
    """One a method; null where it has drawn nothing there."""


class ListedExpression(msgspec.Struct):
    """An expression in the list; one entry a method in `scores` and `problems`."""

    id: str
    text: str
    type: int | None
    objects: int
    scores: list[list[float | None]]
    problems: list[str | None]
    """Why it has no usable prediction, in a word; null where it has one."""
    slices: list[int]
    """The place of its value among those of each attribute."""
    thumbnail: Thumbnail


class ListedVideo(msgspec.Struct):
    """A video in the list."""

    id: str
    source: str
    height: int
    width: int
    frames: int
    expressions: list[ListedExpression]


class Attribute(msgspec.Struct):
    """What expressions are divided by, and its values in the order in which people would list them."""

    name: str
    values: list[str]


class Index(msgspec.Struct):
    """`data/index.js`; every expression's `scores` are in the order of `methods` and `measures`."""

    title: str
    split: str
    data: str
    """The name of the dataset's folder."""
    methods: list[str]
    """What the sets of predictions are called: none, one or two."""
    hidden: bool
    """The split keeps its masks back."""
    measures: list[str]
    attributes: list[Attribute]
    videos: list[ListedVideo]


class Track(msgspec.Struct):
    """A track's counts per frame; null where it is not annotated. Ids are text: a script's numbers have 53 bits."""

    annotation: str
    object: int | None
    masks: list[str | None]


class Predicted(msgspec.Struct):
    """A method's masks for an expression, and J and F per frame; or, in a sentence, why it has none."""

    masks: list[str | None] | None = None
    J: list[float] | None = None
    F: list[float] | None = None
    problem: str | None = None


class Compared(msgspec.Struct):
    """An expression: its tracks by position, and what each method predicts for it."""

    id: str
    tracks: list[int]
    methods: list[Predicted]


class VideoData(msgspec.Struct):
    """`data/videos/<video_id>.js`; `folder` is where the frames are, as an address relative to the page."""

    id: str
    folder: str
    frames: tuple[str, ...]
    absent: list[int]
    """The positions of frames that are not on disk."""
    tracks: list[Track]
    expressions: list[Compared]
