"""What can be wrong with a copy of the dataset: the kinds, and how grave each is."""

from __future__ import annotations

import enum


class Severity(str, enum.Enum):
    """`error`: loading it fails or gives wrong data. `warning`: probably not meant. `note`: good to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    __str__ = str.__str__


ERROR, WARNING, NOTE = Severity


class Kind(str, enum.Enum):
    """One thing that can be wrong: its name, how grave it is, and what it says."""

    severity: Severity
    says: str

    FILE_MISSING = "file-missing", ERROR, "a file without which nothing can be loaded is missing"
    FILE_UNREADABLE = "file-unreadable", ERROR, "an annotation file cannot be read"
    ENTRY_MALFORMED = "entry-malformed", ERROR, "an entry is not in the official format"
    FRAMES_DUPLICATE = "frames-duplicate", ERROR, "a video lists a frame twice"
    OBJECTS_UNEVEN = "objects-uneven", ERROR, "an expression has not as many objects as tracks"
    TRACK_MISSING = "track-missing", ERROR, "a track that an expression names is not in mask_dict.json"
    TRACK_SHARED = "track-shared", ERROR, "a track is named in more than one video"
    TRACK_MALFORMED = "track-malformed", ERROR, "a track is not one list of masks and nulls"
    TRACK_LENGTH = "track-length", ERROR, "a track has not one entry for each frame"
    MASK_SIZE = "mask-size", ERROR, "a mask's size is not the video's"
    MASK_RUNS = "mask-runs", ERROR, "a mask's run lengths are not valid"
    FOREGROUND_MALFORMED = (
        "foreground-malformed",
        ERROR,
        "an entry of mask_dict_foreground.json is not in the official format",
    )
    FOREGROUND_LENGTH = "foreground-length", ERROR, "a foreground has not one mask for each frame"
    FOREGROUND_MASK = "foreground-mask", ERROR, "a foreground mask's size or run lengths are not valid"
    FRAME_MISSING = "frame-missing", ERROR, "a listed frame is not on disk"
    FRAME_UNREADABLE = "frame-unreadable", ERROR, "a frame is not a JPEG image that can be read"
    FRAME_TRUNCATED = "frame-truncated", ERROR, "a JPEG breaks off before its end"
    FRAME_DAMAGED = "frame-damaged", ERROR, "a JPEG's data cannot be decoded without gaps"
    FRAME_SIZE = "frame-size", ERROR, "a JPEG has not the shape of the video's size"
    FRAME_SCALED = (
        "frame-scaled",
        WARNING,
        "a JPEG's size is not the video's, but of the same shape; it is sampled on a grid of its own",
    )
    FRAME_TURNED = (
        "frame-turned",
        WARNING,
        "a JPEG's EXIF data want it turned; masks follow the file's rows and columns, as all that reads it here does",
    )
    ALIGNMENT_MISFIT = "alignment-misfit", ERROR, "an accepted mapping is not one of its video's masks and frames"
    ALIGNMENT_UNKNOWN = "alignment-unknown", WARNING, "an accepted mapping is of a video that no split here has"
    VIDEO_TWICE = "video-twice", WARNING, "a video is in both train and validation"
    SUBSET_DIFFERS = "subset-differs", WARNING, "a video of train_sub is not in train, or differs there"
    VIDEO_WITHOUT_EXPRESSIONS = "video-without-expressions", WARNING, "a video has no expression"
    FRAMES_UNSORTED = "frames-unsorted", WARNING, "a video's frames are not listed in their names' order"
    EXPRESSION_BLANK = "expression-blank", WARNING, "an expression has no text"
    EXPRESSION_WITHOUT_TRACKS = (
        "expression-without-tracks",
        WARNING,
        "an expression of an object that is there names no track",
    )
    NONEXISTENT_WITH_TRACKS = (
        "nonexistent-with-tracks",
        WARNING,
        "an expression of an absent object names tracks",
    )
    TRACK_LONG = "track-long", WARNING, "a track has masks beyond the last frame, which are not looked at"
    TRACK_REPEATED = "track-repeated", WARNING, "an expression names a track twice"
    OBJECT_DIFFERS = "object-differs", WARNING, "a track is given to different objects of its video"
    TRACK_UNNAMED = "track-unnamed", WARNING, "no expression names a track"
    TRACK_EMPTY = "track-empty", WARNING, "a track has no mask in any frame"
    FOREGROUND_ABSENT = "foreground-absent", WARNING, "a video is not in mask_dict_foreground.json"
    FOREGROUND_NULL = "foreground-null", WARNING, "a foreground mask is null"
    FOREGROUND_DIFFERS = (
        "foreground-differs",
        WARNING,
        "a foreground mask is not the union of the video's tracks",
    )
    FOREGROUND_RATIO = "foreground-ratio", WARNING, "a foreground ratio is not the share that the mask covers"
    FILE_ABSENT = "file-absent", NOTE, "a file is not here; what depends on it is left out"
    MASK_BLANK = "mask-blank", NOTE, "a mask that is not null covers no pixel"
    FOREGROUND_EXTRA = "foreground-extra", NOTE, "mask_dict_foreground.json has a video that no split here has"
    FRAMES_UNLISTED = "frames-unlisted", NOTE, "a video's folder holds JPEGs that are not listed"
    FOLDER_UNLISTED = "folder-unlisted", NOTE, "a folder holds JPEGs of no video that is listed"

    def __new__(cls, name: str, severity: Severity, says: str) -> Kind:
        kind = str.__new__(cls, name)
        kind._value_, kind.severity, kind.says = name, severity, says
        return kind

    __str__ = str.__str__
