"""Kills, races and changes, for as long as one likes: what is repeated must come out as if nothing had happened.

    python benchmarks/stress.py [--seed 0] [--count 100] [--minutes 10] [--jobs evaluate publish] [--only NUMBER]

On a miniature in a temporary folder, each trial takes a command and does one of three things to it:

kill     SIGKILL or SIGTERM to the process, or SIGINT to its group, at a random moment; then the same command again.
         No process may be left, and the result must be that of a run that was left alone.
race     the command twice at once into one folder: one may be refused, and the result must be the same.
change   an annotation file is replaced while it works: either the file is named, or the result is that of one state.

Results are compared file by file, but for those that two undisturbed runs write differently, which need only be there.
`--seed` and `--only` repeat a trial that failed, with the same command and moment. Exit status: 1 after failures.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from revoskit.atomic import LOCK
from revoskit.dataset.layout import EXPRESSIONS, FRAMES_ARCHIVE, FRAMES_FOLDER, TRACKS
from revoskit.miniature import write_miniature

UNCOMPARED = (LOCK, "export.json")
PATIENCE = 60  # seconds, after which a command hangs
REPOSITORY = Path(__file__).parents[1]
CLI = [sys.executable, "-m", "revoskit.cli"]
ADAPTER = """
import numpy
def model(frames, text, row):
    return numpy.stack([numpy.asarray(frame)[..., 0] > 100 for frame in frames])
"""
LOAD = """
import hashlib, sys
from pathlib import Path
import datasets, revos
config, root, place = sys.argv[1:]
loaded = datasets.load_dataset("revos", config, data_dir=root, cache_dir=f"{place}/cache", num_proc=2)
for split, rows in loaded.items():
    text = "".join(repr(row) for row in rows.remove_columns("frames"))
    Path(place, "out").mkdir(exist_ok=True)
    Path(place, "out", split).write_text(hashlib.sha256(text.encode()).hexdigest())
"""

Digest = dict[str, str]  # of each file, by its name


@dataclass(frozen=True)
class World:
    """What is written once: the miniature, its archive, what is predicted for it, and other annotation files."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "ReVOS"

    @property
    def archive(self) -> Path:
        return self.folder / FRAMES_ARCHIVE

    @property
    def adapter(self) -> Path:
        return self.folder / "adapter.py"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions"

    def changed(self, name: str) -> Path:
        """Another state of an annotation file."""
        return self.folder / "changed" / name


@dataclass(frozen=True)
class Job:
    """A command: how it is called, and where in a trial's folder its result lies."""

    name: str
    command: Callable[[World, Path], list[str]]
    result: str = "out"
    changes: tuple[str, ...] = (TRACKS, EXPRESSIONS["validation"])
    """The files whose replacement it should notice."""


@dataclass(frozen=True)
class Reference:
    """What a job gives where nothing disturbs it, and how long that takes."""

    digest: Digest
    seconds: float
    status: int


@dataclass(frozen=True)
class Outcome:
    """How a process ended; its status is null where it had to be killed for its slowness."""

    status: int | None
    errors: str
    left: bool
    """Whether processes of its group were left."""


def _cli(*words: str) -> Callable[[World, Path], list[str]]:
    """A command in which {root}, {place}, {adapter} and {predictions} stand for what a trial has."""

    def command(world: World, place: Path) -> list[str]:
        known = {"root": place / "ReVOS", "place": place, "adapter": world.adapter, "predictions": world.predictions}
        return [*CLI, *(word.format_map(known) for word in words)]

    return command


def _load(config: str) -> Callable[[World, Path], list[str]]:
    return lambda world, place: [sys.executable, "-c", LOAD, config, str(place / "ReVOS"), str(place)]


TWO = ("--num-proc", "2")
JOBS = [
    Job("evaluate", _cli("evaluate", "{predictions}", "{root}", "-o", "{place}/out", "--resume", *TWO)),
    Job("publish", _cli("publish", "{root}", "-o", "{place}/out", "--shard-size", "100KB", *TWO)),
    Job("export", _cli("export", "{root}", "--to", "webdataset", "-o", "{place}/out", *TWO)),
    Job("unpack", _cli("unpack", "{root}", *TWO), f"ReVOS/{FRAMES_FOLDER}", ()),
    Job("gallery", _cli("gallery", "{root}", "--predictions", "{predictions}", "-o", "{place}/out", *TWO)),
    Job("predict", _cli("predict", "{adapter}:model", "{root}", "-o", "{place}/out", *TWO), changes=()),
    Job("load expressions", _load("expressions")),
    Job("load videos", _load("videos")),
]


# --- what is needed -------------------------------------------------------------------------------------------------


def build(folder: Path) -> World:
    """Write all that trials share."""
    world = World(folder)
    write_miniature(world.data, frames=4, height=48, width=64)
    with zipfile.ZipFile(world.archive, "w") as archive:
        for frame in sorted((world.data / FRAMES_FOLDER).rglob("*.jpg")):
            archive.write(frame, frame.relative_to(world.data))
    world.adapter.write_text(ADAPTER)
    _write_changed(world)
    command = [*CLI, "predict", f"{world.adapter}:model", str(world.data), "-o", str(world.predictions)]
    subprocess.run(command, check=True, capture_output=True, env=environment(folder))
    return world


def _write_changed(world: World) -> None:
    """The same files with an object out of sight, and with another text."""
    world.changed("").mkdir()
    tracks = json.loads((world.data / TRACKS).read_text(encoding="utf-8"))
    for masks in tracks.values():
        masks[0] = None
    world.changed(TRACKS).write_text(json.dumps(tracks))
    videos = json.loads((world.data / EXPRESSIONS["validation"]).read_text(encoding="utf-8"))
    for video in videos["videos"].values():
        for expression in video["expressions"].values():
            expression["exp"] += " now"
    world.changed(EXPRESSIONS["validation"]).write_text(json.dumps(videos))


def furnish(world: World, job: Job, place: Path, changed: str | None = None) -> None:
    """Give a trial a copy of the dataset; frames are links."""
    frames = shutil.ignore_patterns(FRAMES_FOLDER) if job.name == "unpack" else None
    shutil.copytree(world.data, place / "ReVOS", ignore=frames, copy_function=os.link)
    if job.name == "unpack":
        os.link(world.archive, place / "ReVOS" / FRAMES_ARCHIVE)
    if changed:
        replace(world, place, changed)


def replace(world: World, place: Path, name: str) -> None:
    """Put another state of a file in its place, in one step."""
    shutil.copy(world.changed(name), place / "new")
    os.replace(place / "new", place / "ReVOS" / name)


def environment(home: Path) -> dict[str, str]:
    """That of every command: this code, and caches of its own."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_HOME": str(home / "home"), "TQDM_DISABLE": "1"}


def start(world: World, job: Job, place: Path) -> subprocess.Popen[str]:
    """Begin the job in a process group of its own."""
    errors = (place / f"errors-{len(list(place.glob('errors-*')))}").open("w+")
    process = subprocess.Popen(
        job.command(world, place),
        stdout=subprocess.DEVNULL,
        stderr=errors,
        text=True,
        start_new_session=True,
        env=environment(place),
    )
    process.stderr = errors  # a file rather than a pipe, which processes that are left would keep open
    return process


def finish(process: subprocess.Popen[str]) -> Outcome:
    """Wait for its end; whatever is left of its group is killed."""
    try:
        status = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        status = None
    left = status is None or not _gone(process.pid, time.monotonic() + 10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stderr is not None
    with process.stderr as errors:
        errors.seek(0)
        return Outcome(status, errors.read(), left)


def _gone(group: int, until: float) -> bool:
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def digest_of(folder: Path) -> Digest:
    """The files of a result, without what locks leave and what an export tells of its last run."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in UNCOMPARED]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@functools.cache  # a state that jobs are compared with is the same for every trial
def reference_of(world: World, job: Job, changed: str | None = None) -> Reference:
    """Two undisturbed runs: what they have in common is what must come out."""
    digests = []
    for _ in range(2):
        with fresh(world) as place:
            furnish(world, job, place, changed)
            begin = time.monotonic()
            outcome = finish(start(world, job, place))
            seconds = time.monotonic() - begin
            if outcome.status not in (0, 1):
                raise SystemExit(f"{job.name} does not work undisturbed: {outcome.errors}")
            digests.append(digest_of(place / job.result))
    one, two = digests
    same = {name: one[name] if one[name] == two.get(name) else "" for name in one}
    return Reference(same, seconds, outcome.status or 0)


@contextlib.contextmanager
def fresh(world: World) -> Iterator[Path]:
    """A folder for a trial."""
    with tempfile.TemporaryDirectory(dir=world.folder, ignore_cleanup_errors=True) as name:
        yield Path(name)


def differing(found: Digest, wanted: Digest) -> list[str]:
    """The names of files that are missing, too many, or other than they ought to be."""
    return [name for name in {**wanted, **found} if wanted.get(name) != (found.get(name) if wanted.get(name) else "")]


# --- trials -----------------------------------------------------------------------------------------------------------

ENDS = {
    signal.SIGKILL: (-signal.SIGKILL,),
    signal.SIGTERM: (143, -signal.SIGTERM),
    signal.SIGINT: (130, -signal.SIGINT, 1),  # 1 where it comes while Python itself begins
}


def kill(world: World, job: Job, place: Path, reference: Reference, rng: random.Random) -> str | None:
    """A signal at a random moment, and the command again."""
    which = rng.choice(list(ENDS))
    wait = rng.uniform(0, reference.seconds)
    process = start(world, job, place)
    time.sleep(wait)
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if which == signal.SIGINT else os.kill)(process.pid, which)
    outcome = finish(process)
    what = f"{which.name} after {wait:.3f} s"
    if outcome.status is None:
        return f"{what}: it hangs"
    ours = not (job.name.startswith("load") and which != signal.SIGINT)  # its workers are those of `datasets`
    if outcome.left and ours:
        return f"{what}: processes are left"
    if outcome.status not in (*ENDS[which], reference.status):
        return f"{what}: status {outcome.status}: {outcome.errors[-300:]}"
    again = finish(start(world, job, place))
    if again.status != reference.status:
        return f"{what}: the next run has status {again.status}: {again.errors[-300:]}"
    found = differing(digest_of(place / job.result), reference.digest)
    return f"{what}: differs in {found[:5]}" if found else None


def race(world: World, job: Job, place: Path, reference: Reference, rng: random.Random) -> str | None:
    """Two at once."""
    wait = rng.uniform(0, reference.seconds)
    first = start(world, job, place)
    time.sleep(wait)
    outcomes = [finish(process) for process in (start(world, job, place), first)]
    what = f"a second one after {wait:.3f} s"
    for outcome in outcomes:
        refused = outcome.status == 2 and "is in use" in outcome.errors
        if outcome.status != reference.status and not refused:
            return f"{what}: status {outcome.status}: {outcome.errors[-300:]}"
    if all(outcome.status != reference.status for outcome in outcomes):
        return f"{what}: neither was let in"
    found = differing(digest_of(place / job.result), reference.digest)
    return f"{what}: differs in {found[:5]}" if found else None


def change(world: World, job: Job, place: Path, reference: Reference, rng: random.Random) -> str | None:
    """Another annotation file while it works."""
    name, wait = rng.choice(job.changes), rng.uniform(0, reference.seconds)
    process = start(world, job, place)
    time.sleep(wait)
    replace(world, place, name)
    outcome = finish(process)
    what = f"{name} replaced after {wait:.3f} s"
    if outcome.status != reference.status:
        return None if name in outcome.errors else f"{what}: status {outcome.status}: {outcome.errors[-300:]}"
    found = digest_of(place / job.result)
    states = (reference, reference_of(world, job, name))
    return None if any(not differing(found, state.digest) for state in states) else f"{what}: of neither state"


TRIALS = {"kill": kill, "race": race, "change": change}


def stress(world: World, jobs: list[Job], args: argparse.Namespace) -> Counter[tuple[str, str, bool]]:
    """Run trials and print those that fail; counts them by job, kind and whether all was well."""
    counts: Counter[tuple[str, str, bool]] = Counter()
    until = time.monotonic() + 60 * args.minutes if args.minutes else float("inf")
    numbers = [args.only] if args.only is not None else range(args.count)
    for number in tqdm(numbers, unit="trial", disable=None):
        if time.monotonic() > until:
            break
        rng = random.Random(f"{args.seed} {number}")
        job = rng.choice(jobs)
        kind = rng.choice([kind for kind in TRIALS if kind != "change" or job.changes])
        reference = reference_of(world, job)
        with fresh(world) as place:
            furnish(world, job, place)
            fault = TRIALS[kind](world, job, place, reference, rng)
        counts[job.name, kind, fault is None] += 1
        if fault:
            tqdm.write(f"--seed {args.seed} --only {number}: {job.name}, {kind}: {fault}", file=sys.stdout)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=100, help="trials at most (default: 100)")
    parser.add_argument("--minutes", type=float, help="begin no trial after so many (default: no bound)")
    names = [job.name for job in JOBS]
    parser.add_argument("--jobs", nargs="+", choices=names, default=names, metavar="JOB", help=f"of {', '.join(names)}")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this trial alone, with the same --seed and --jobs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stress-", ignore_cleanup_errors=True) as name:
        world = build(Path(name))
        counts = stress(world, [job for job in JOBS if job.name in args.jobs], args)
    print(f"{'job':<18}{'kind':<8}{'well':>6}{'failed':>8}")
    for job, kind in sorted({key[:2] for key in counts}):
        print(f"{job:<18}{kind:<8}{counts[job, kind, True]:>6}{counts[job, kind, False]:>8}")
    return 1 if any(not well for _, _, well in counts) else 0


if __name__ == "__main__":
    sys.exit(main())
