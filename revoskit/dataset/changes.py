"""Files that change under a job: noticed before anything is kept that was made from two states of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from revoskit.dataset.layout import FileState, Layout
from revoskit.errors import ChangedError


@contextlib.contextmanager
def unchanged(layout: Layout, state: FileState | None = None) -> Iterator[None]:
    """See that no annotation file of a copy changes while the block works from them.

    What the block keeps should take its name only behind it, so that nothing is left of files that changed.

    Args:
        layout: the copy.
        state: what `layout.annotation_state()` was when the job began; by default, what it is now.

    Raises:
        ChangedError: a file is another one than it was. What else goes wrong in the block may come of that, so this is
            said instead.
    """
    began = _exactly(layout)
    if state is not None:
        refuse_changes(layout, state, layout.annotation_state())
    try:
        yield
    except Exception as error:
        if changed := _differing(began, _exactly(layout)):
            raise ChangedError(layout.root, changed) from error
        raise
    if changed := _differing(began, _exactly(layout)):
        raise ChangedError(layout.root, changed)


def refuse_changes(layout: Layout, before: FileState, now: FileState) -> None:
    """See that two states are the same.

    Raises:
        ChangedError: they are not.
    """
    then, here = ({name: stamp for name, *stamp in state} for state in (before, now))
    if changed := _differing(then, here):
        raise ChangedError(layout.root, changed)


def _exactly(layout: Layout) -> dict[str, tuple[int, ...]]:
    """More than a cache is named after: what was put back meanwhile is noticed too, whatever time it says."""
    return {
        name: (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        for name, status in layout.status().items()
    }


def _differing(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]
