"""Other ways to write what is not in doubt, brought to the official one.

Only what is not in the official form is looked at here, so that a sound file costs nothing: ids as text, one id without
a list, whole numbers with a point, null or -1 for no id; a mask that is not there as `{}`, `[]`, `""` or 0, a mask in a
list, several for one frame, run lengths that are not compressed. What is neither is left as it is, for the reader to
refuse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from revoskit.errors import MaskError
from revoskit.masks.rle import RLE, MaskSequence, compressed

_WHOLE = re.compile(r"-?[0-9]{1,19}")


def whole(value: Any) -> Any:
    """A whole number that is written as text or with a point."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    return value


def expression(entry: dict[str, Any]) -> dict[str, Any]:
    """An expression with its ids as lists of whole numbers and its type as one."""
    found = dict(entry)
    if found.get("anno_id") == [None] == found.get("obj_id"):  # beside an object, null is an id that was lost
        found |= {"anno_id": [], "obj_id": []}
    found.update({key: _ids(found[key]) for key in ("obj_id", "anno_id") if key in found})
    if "type_id" in found:
        found["type_id"] = whole(found["type_id"])
    return found


def _ids(value: Any) -> Any:
    if value is None:
        return []
    return [whole(one) for one in value] if isinstance(value, list) else [whole(value)]


def without_none(ids: Sequence[int]) -> tuple[int, ...]:
    """Ids, of which -1 alone means none."""
    return () if ids.count(-1) == len(ids) else tuple(ids)


def video(entry: dict[str, Any]) -> dict[str, Any]:
    """A video whose size is in whole numbers, also where they are written with a point."""
    sides = {side: entry[side] for side in ("height", "width") if isinstance(entry.get(side), float)}
    return entry | {side: whole(value) for side, value in sides.items()}


def masks(entries: Any) -> Any:
    """A track, each mask in COCO's compressed form or null.

    Raises:
        MaskError: run lengths, or masks of one frame, that are of no one size; `index` says which frame's.
    """
    return [_mask(entry, index) for index, entry in enumerate(entries)] if isinstance(entries, list) else entries


def foreground(entry: Any) -> Any:
    """A video's foreground with its masks as those of a track."""
    return entry | {"masks_rle": masks(entry.get("masks_rle"))} if isinstance(entry, dict) else entry


def _mask(entry: Any, index: int) -> Any:
    if not entry:
        return None
    try:
        if isinstance(entry, list) and all(isinstance(one, dict) or one is None for one in entry):
            return _union([_rle(one) for one in entry if one])
        return _rle(entry) if isinstance(entry, dict) else entry
    except MaskError as error:
        raise MaskError(f"mask {index}: {error.reason}", index=index, reason=error.reason) from None


def _rle(entry: dict[str, Any]) -> Any:
    size = entry.get("size")
    if isinstance(size, list):
        size = [whole(side) if isinstance(side, float) else side for side in size]
        if isinstance(entry.get("counts"), list):
            return compressed(entry["counts"], size)
    return entry | {"size": size}


def _union(masks: list[Any]) -> RLE | Any | None:
    if len(masks) < 2:
        return masks[0] if masks else None
    size = masks[0]["size"]
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        return masks  # the reader refuses it
    each = MaskSequence.parse(masks, *size)
    first, *others = (each.take([i]) for i in range(len(each)))
    return first.union(*others)[0]
