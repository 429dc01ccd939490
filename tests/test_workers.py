"""revoskit.workers: a function over items, with workers that may die."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from revoskit import workers
from revoskit.errors import AnnotationError, UsageError, WorkerError


def square(number: int) -> int:
    return number * number


def fail_on_three(number: int) -> int:
    if number == 3:
        raise AnnotationError("three is wrong")
    return number


class Awkward(Exception):
    def __init__(self, one, two):
        super().__init__("awkward")


def raise_awkward(number: int) -> int:
    raise Awkward(1, 2)


def return_lambda(number: int):
    return lambda: number


def die_on_two(item: tuple[int, str]) -> int:
    if item[0] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item[0]


def die_once(item: tuple[int, str]) -> int:
    """Killed on the first try of item 2; a file remembers."""
    number, folder = item
    tried = Path(folder) / "tried"
    if number == 2 and not tried.exists():
        tried.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def gather(results: list, pairs) -> None:
    """Keeps what came before an error."""
    for _, result in pairs:
        results.append(result)


def process_id(_: int) -> int:
    time.sleep(0.02)
    return os.getpid()


@pytest.mark.parametrize("num_proc", [1, 2, 5])
def test_every_item_comes_back_with_its_result(num_proc):
    assert sorted(workers.run(square, range(9), num_proc=num_proc)) == [(i, i * i) for i in range(9)]


def test_no_items_need_no_workers():
    assert list(workers.run(square, [], num_proc=4)) == []


def test_one_process_works_here_and_more_do_not():
    assert {pid for _, pid in workers.run(process_id, range(3))} == {os.getpid()}
    elsewhere = {pid for _, pid in workers.run(process_id, range(6), num_proc=2)}
    assert os.getpid() not in elsewhere
    assert len(elsewhere) == 2


def test_items_are_taken_as_workers_fall_idle():
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    results = workers.run(square, items(), num_proc=2)
    next(results)
    assert len(taken) <= 5
    results.close()


@pytest.mark.parametrize("num_proc", [1, 2])
def test_an_error_in_the_function_is_raised_as_it_is(num_proc):
    with pytest.raises(AnnotationError, match="three is wrong"):
        list(workers.run(fail_on_three, range(6), num_proc=num_proc))


def test_an_error_tells_where_in_the_worker_it_came_from():
    with pytest.raises(AnnotationError) as caught:
        list(workers.run(fail_on_three, range(6), num_proc=2))
    assert "fail_on_three" in str(caught.value.__cause__)


def test_errors_and_results_that_cannot_be_pickled_are_reported():
    with pytest.raises(RuntimeError, match="Awkward: awkward"):
        list(workers.run(raise_awkward, [1, 2], num_proc=2))
    with pytest.raises(Exception, match="lambda"):
        list(workers.run(return_lambda, [1, 2], num_proc=2))


def test_a_worker_that_dies_once_costs_nothing(tmp_path):
    items = [(i, str(tmp_path)) for i in range(6)]
    assert sorted(result for _, result in workers.run(die_once, items, num_proc=2)) == list(range(6))
    assert (tmp_path / "tried").exists()


def test_an_item_that_always_kills_its_worker_is_named_after_all_others_are_done():
    results = []
    with pytest.raises(WorkerError, match=r"died 3 times .*\(2, 'x'\) \(killed by SIGKILL"):
        gather(results, workers.run(die_on_two, [(i, "x") for i in range(6)], num_proc=2))
    assert sorted(results) == [0, 1, 3, 4, 5]


@pytest.mark.skipif(not hasattr(signal, "SIGBUS"), reason="there is no such signal")
def test_a_worker_that_a_truncated_file_kills_is_said_to_have_read_one():
    assert "mask_dict.json or another file is cut short" in workers.how_it_ended(-signal.SIGBUS)
    assert "memory runs out" in workers.how_it_ended(-signal.SIGKILL)


def test_closing_the_iterator_stops_the_workers():
    results = workers.run(process_id, range(1000), num_proc=2)
    pids = {next(results)[1] for _ in range(4)}
    results.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


INTERRUPTED = """
import signal, sys, time
from revoskit import workers
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell makes what it starts in the background deaf to it
def slow(number):
    time.sleep(0.05 if number < 2 else 60)
    return number
if __name__ == "__main__":
    try:
        for item, _ in workers.run(slow, range(8), num_proc=2):
            print("done", item, flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(130)
"""


def started(tmp_path: Path, code: str) -> subprocess.Popen:
    """A script in a process group of its own."""
    script = tmp_path / "script.py"
    script.write_text(code)
    return subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(workers.__file__).parents[1])},
    )


@pytest.mark.skipif(os.name == "nt", reason="sends a signal to a process group")
def test_an_interrupt_ends_the_run_at_once_without_noise_from_workers(tmp_path):
    process = started(tmp_path, INTERRUPTED)
    assert process.stdout.readline().startswith("done")
    assert process.stdout.readline().startswith("done")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "interrupted\n", "")


TERMINATED = """
import os, sys, time
from revoskit import cli, workers
from revoskit.cli.options import Command
def slow(number):
    os.write(1, b"%d\\n" % os.getpid())  # in one piece: `print` writes a line's end alone where Python does not buffer
    time.sleep(60)
def run(args):
    list(workers.run(slow, range(8), num_proc=2))
if __name__ == "__main__":
    cli.COMMANDS = (Command("slow", "", lambda parser: None, run),)
    sys.exit(cli.main(["slow"]))
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_a_command_that_is_terminated_ends_its_workers_and_says_so(tmp_path):
    process = started(tmp_path, TERMINATED)
    pids = [int(process.stdout.readline()) for _ in range(2)]
    process.terminate()
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (143, "", "\nrevoskit slow: terminated\n")
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_worker_that_misses_its_signal_to_end_is_not_waited_for(monkeypatch):
    """One that comes between a fork and what Python does behind it is lost, and its parent waited for ever."""
    monkeypatch.setattr(workers, "_GRACE", 0.05)
    monkeypatch.setattr(multiprocessing.Process, "terminate", lambda self: None)
    worker = workers._Worker(time.sleep)
    worker.begin(60, 1)
    worker.stop()
    assert not worker.process.is_alive()


@pytest.mark.skipif(os.name == "nt", reason="nothing is killed like that here")
def test_workers_of_a_parent_that_was_killed_do_not_finish_what_they_do(tmp_path):
    process = started(tmp_path, TERMINATED)
    assert [process.stdout.readline() for _ in range(2)]
    process.kill()
    assert process.communicate(timeout=20)[1] == ""  # the pipe ends with the last worker


INTERRUPTED_WHILE_FORKING = """
import multiprocessing, os, signal, sys
from revoskit import workers
signal.signal(signal.SIGINT, signal.default_int_handler)
interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)
if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    os.register_at_fork(after_in_parent=interrupt, after_in_child=interrupt)
    try:
        list(workers.run(str, range(8), num_proc=2))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="no process is forked here")
def test_an_interrupt_while_a_worker_is_started_is_not_lost(tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED_WHILE_FORKING)
    root = str(Path(workers.__file__).parents[1])
    process = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=20, env={**os.environ, "PYTHONPATH": root}
    )
    assert (process.returncode, process.stderr) == (130, "")


def test_interrupts_that_are_held_come_once_the_block_is_done():
    done = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupted_twice():
        with workers.interrupts_held():
            for _ in range(2):
                signal.raise_signal(signal.SIGINT)
            done.append("whole")
        done.append("more")

    with pytest.raises(KeyboardInterrupt):
        interrupted_twice()
    assert done == ["whole"]
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


KILLED = """
import os, signal, sys, time
from revoskit import workers
def slow(number):
    time.sleep(0.02 if number == 0 else 0.2)
    return number
if __name__ == "__main__":
    for item, _ in workers.run(slow, range(8), num_proc=2):
        time.sleep(0.6)  # the answer of the other worker comes and is not read
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="nothing is killed like that here")
def test_workers_whose_parent_is_killed_end_quietly(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(workers.__file__).parents[1])}
    process = subprocess.run([sys.executable, script], stderr=subprocess.PIPE, text=True, timeout=20, env=environment)
    assert (process.returncode, process.stderr) == (-signal.SIGKILL, "")  # the pipe ends with the last worker


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(UsageError, match="no engine 'dask'"):
        workers.run(square, [1], engine="dask")
    with pytest.raises(UsageError, match="goes with engine ray"):
        workers.run(square, [1], address="auto")
    with pytest.raises(UsageError, match=r"\(num_proc, --num-proc\) is 0"):
        workers.run(square, [1], num_proc=0)


def test_without_ray_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"revos-dataset\[ray\]"):
        workers.run(square, [1], engine="ray")


def test_a_ray_cluster_that_is_not_there_is_named():
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match=r"Ray cannot be reached at 'nonsense' \(--address\): Invalid address"):
        list(workers.run(square, [1], engine="ray", address="nonsense"))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # whatever is forked later ends when it is ended


def test_a_local_ray_gives_the_same_and_survives_its_workers(monkeypatch):
    ray = pytest.importorskip("ray")
    before = signal.getsignal(signal.SIGTERM)
    root = Path(workers.__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(Path(__file__).parent)]))
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)  # once for all: starting it takes seconds
    try:
        found = workers.run(functools.partial(pow, 2), range(5), engine="ray", num_proc=2)
        assert sorted(found) == [(i, 2**i) for i in range(5)]
        with pytest.raises(AnnotationError, match="three is wrong"):
            list(workers.run(fail_on_three, range(5), engine="ray", num_proc=2))
        results = []
        with pytest.raises(WorkerError, match=r"\(2, 'x'\) \(WorkerCrashedError\)"):
            gather(results, workers.run(die_on_two, [(i, "x") for i in range(4)], engine="ray", num_proc=2))
        assert sorted(results) == [0, 1, 3]
        assert ray.is_initialized()  # it was the caller's
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)  # the handler of `ray.init` would stay
