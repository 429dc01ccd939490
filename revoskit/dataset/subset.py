"""`meta_expressions_train_sub_.json`, where it is not in the official form: as that part of train which it names.

No public code reads this file, so its schema is a guess. Whatever names videos or expressions of train, all of them and
each without doubt, is taken for a list of those: ids of videos, as JSON or a line each; videos with ids or texts of
expressions, with or without the rest of an entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from revoskit.dataset.records import Expression, Video


class _InDoubt(Exception):
    """Something that train has not, or has several times."""


def read_subset(path: Path, train: dict[str, Video]) -> dict[str, Video] | None:
    """The videos of train that a file names, with the expressions that it names; null where that is in doubt."""
    try:
        content = path.read_text(encoding="utf-8-sig")
        try:
            document = json.loads(content)
        except ValueError:
            document = content.split("\n")
        if isinstance(document, dict):
            document = document.get("videos", document)
        return dict(_videos(document, train)) or None
    except (OSError, UnicodeDecodeError, RecursionError, _InDoubt):
        return None


def _videos(named: Any, train: dict[str, Video]) -> Iterator[tuple[str, Video]]:
    if isinstance(named, dict):
        for video_id, entry in named.items():
            yield video_id, _of(_known(video_id, train), entry)
    elif isinstance(named, list):
        for name in filter(None, (one.strip() if isinstance(one, str) else one for one in named)):
            yield name, _known(name, train)
    else:
        raise _InDoubt


def _known(video_id: Any, train: dict[str, Video]) -> Video:
    if not isinstance(video_id, str) or video_id not in train:
        raise _InDoubt
    return train[video_id]


def _of(video: Video, entry: Any) -> Video:
    """A video with those of its expressions that an entry names; with all of them where it names none at all."""
    named = entry.get("expressions") if isinstance(entry, dict) else entry
    if named is None:
        return video
    if isinstance(named, dict):
        found = [_expression(video, key, said) for key, said in named.items()]
    elif isinstance(named, list):
        found = [_expression(video, None, said) for said in named]
    else:
        raise _InDoubt
    return msgspec.structs.replace(video, expressions=tuple(found))


def _expression(video: Video, expression_id: str | None, said: Any) -> Expression:
    """The expression of that id and text, or the only one that has either where the other is not given."""
    text = said.get("exp") if isinstance(said, dict) else said
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    if not isinstance(text, str):
        raise _InDoubt
    if expression_id is not None:
        found = [e for e in video.expressions if e.expression_id == expression_id and e.text == text]
    else:
        found = [e for e in video.expressions if text in (e.expression_id, e.text)]
    if len(found) != 1:
        raise _InDoubt
    return found[0]
