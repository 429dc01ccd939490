"""What can be wrong, as exceptions: one base, and each kind also the builtin that fits it."""

from __future__ import annotations

from typing import Any


class RevosError(Exception):
    """Base of every error that this project raises on purpose."""


class UsageError(RevosError, ValueError):
    """An argument or option that cannot be meant."""


class MissingFilesError(RevosError, FileNotFoundError):
    """Files or frames that ought to be on disk and are not."""


class AnnotationError(RevosError, ValueError):
    """An annotation file that does not say what the official format says."""


class UnsizedError(AnnotationError):
    """A video whose size neither its entry nor a frame or mask of it tells: none of its frames is on disk."""

    video: Any
    """The `annotations.Video`, with 0 for its height and width."""


class MaskError(AnnotationError):
    """A run-length encoding that does not describe a mask of the stated size."""


class WorkerError(RevosError, RuntimeError):
    """Worker processes that died, however often their work was tried."""


class FrameError(RevosError, OSError):
    """A frame that cannot be read: it is not there, or not the JPEG that it ought to be."""


class DownloadError(RevosError, OSError):
    """A file that could not be fetched; another source, or a later time, may do."""


class ArchiveError(RevosError, ValueError):
    """An archive that is broken, or that holds what must not be unpacked."""
