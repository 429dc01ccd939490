"""Who does which videos, when several processes share a split without a word between them.

Everyone works out the same division from the annotations alone. Nobody waits for anybody.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from revoskit.dataset.records import Video
from revoskit.errors import UsageError

# Of torchrun and accelerate, and of Slurm: this process, all processes, and this one among those of its machine.
_ENVIRONMENTS = (
    ("RANK", ("WORLD_SIZE",), "LOCAL_RANK"),
    ("SLURM_PROCID", ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"), "SLURM_LOCALID"),
)


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of a split, counted from 0, and which of its machine's processes works on it."""

    index: int
    count: int
    local: int = 0

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def name(self) -> str:
        """What its files are called; names of one division sort in its order."""
        return f"shard-{self.index:05d}-of-{self.count:05d}"

    def videos(self, videos: Sequence[Video]) -> list[Video]:
        """The videos of this part, in the split's order.

        Whole videos, spread by cost (frames times expressions): the dearest first, each to the part that has least.
        """
        loads = [0] * self.count
        mine: set[str] = set()
        for video in sorted(videos, key=cost, reverse=True):  # stable: those of equal cost stay in file order
            part = loads.index(min(loads))
            loads[part] += cost(video)
            if part == self.index:
                mine.add(video.video_id)
        return [video for video in videos if video.video_id in mine]


def cost(video: Video) -> int:
    """Frames to be predicted: those of the video, for each of its expressions."""
    return len(video.frame_names) * len(video.expressions)


def parse_shard(text: str) -> Shard:
    """`i/n`, as `--shard` takes it.

    Raises:
        UsageError: it is no such thing.
    """
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
    if not found:
        raise UsageError(f"the shard is {text!r}: expected i/n, such as 0/4 for the first of four")
    return checked(int(found[1]), int(found[2]))


def checked(index: int, count: int, local: int = 0) -> Shard:
    """A part that there is.

    Raises:
        UsageError: there is none of this number.
    """
    if count < 1 or not 0 <= index < count:
        raise UsageError(f"there is no shard {index}/{count}: shards are counted from 0, so that 0/4 to 3/4 are four")
    return Shard(index, count, local)


def from_environment(environment: Mapping[str, str] = os.environ) -> Shard:
    """This process's part, as torchrun, accelerate or Slurm have numbered it; all of it where they have not.

    Raises:
        UsageError: the variables are there and do not say which part.
    """
    for rank, sizes, local in _ENVIRONMENTS:
        size = next((name for name in sizes if environment.get(name)), None)
        if environment.get(rank) and size:
            numbers = {name: environment.get(name) or "0" for name in (rank, size, local)}
            if not all(number.isdecimal() for number in numbers.values()):
                said = ", ".join(f"{name}={number}" for name, number in numbers.items())
                raise UsageError(f"expected numbers in {said}: unset them, or say which shard (--shard i/n)")
            return checked(*map(int, numbers.values()))
    return Shard(0, 1)
