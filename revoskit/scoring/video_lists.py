"""Files that name videos: those to leave out, and what a check of their alignment found about each."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from revoskit.errors import MissingFilesError, UsageError

DOUBTFUL = ("misaligned", "shifted", "unsupported")
"""The verdicts for which an alignment report names a video to leave out."""


class VideoList(msgspec.Struct, frozen=True):
    """Videos, and the name of the file that they were read from."""

    name: str
    video_ids: frozenset[str]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> VideoList:
        """The videos that a file names.

        The file has a video id on each line (what follows a # is a comment) or a JSON list of them, or is a file of
        mappings, or what `revoskit check --alignment --json` printed: those that are misaligned, shifted or
        unsupported.

        Raises:
            MissingFilesError: there is no such file.
            UsageError: it is none of these, or names no video.
        """
        path = Path(os.path.expanduser(path))
        content = _content(path)
        if content.lstrip()[:1] in (b"[", b"{"):
            ids = _from_json(path, content)
        else:
            try:
                lines = content.decode().splitlines()
            except UnicodeDecodeError as error:
                raise UsageError(f"{path} is no text: {error}. {_EXPECTED}") from None
            ids = [line.partition("#")[0].strip() for line in lines]
        found = frozenset(ids) - {""}
        if not found:
            raise UsageError(f"{path} names no video. {_EXPECTED}")
        return cls(path.name, found)


def read_verdicts(path: str | os.PathLike[str]) -> dict[str, str]:
    """What `revoskit check --alignment --json` found, by video.

    Raises:
        MissingFilesError: there is no such file.
        UsageError: it is something else.
    """
    path = Path(os.path.expanduser(path))
    try:
        report = msgspec.json.decode(_content(path), type=list[_Judged])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        expected = "expected what `revoskit check ROOT --alignment --json > FILE` prints"
        raise UsageError(f"{path}: {error}: {expected}") from None
    return {one.video_id: one.verdict for one in report}


class _Judged(msgspec.Struct):
    """What is needed of the report on one video."""

    video_id: str
    verdict: str


_EXPECTED = (
    "Expected a video id on each line, a JSON list of them, or what `revoskit check ROOT --alignment` writes or, with "
    "--json, prints."
)


def _content(path: Path) -> bytes:
    if not path.exists() or path.is_dir():
        raise MissingFilesError(f"there is no file {path}. {_EXPECTED}")
    return path.read_bytes()


def _from_json(path: Path, content: bytes) -> list[str]:
    try:
        found = msgspec.json.decode(content, type=list[str | _Judged] | dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}. {_EXPECTED}") from None
    if isinstance(found, dict):
        return list(found)
    return [one if isinstance(one, str) else one.video_id for one in found if _is_meant(one)]


def _is_meant(one: str | _Judged) -> bool:
    return isinstance(one, str) or one.verdict in DOUBTFUL
