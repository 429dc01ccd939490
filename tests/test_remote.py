"""Archives on a server: what is asked for, what comes of what goes wrong, and that two states are never mixed."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import pickle
import random
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Thread

import huggingface_hub
import numpy as np
import pytest
from archive_reader import fetched
from datasets import load_dataset
from official_files import release
from standin_hub import TOKEN, Repository, StandInHub

import revos
from revoskit import Clips, cli, open_frame
from revoskit.archives import cache, index, remote
from revoskit.archives.index import open_archive
from revoskit.dataset.layout import FRAMES_ARCHIVE
from revoskit.errors import ArchiveError, DownloadError, FrameError, UsageError
from revoskit.frames import frame_of

CONTENTS = {f"LV-VIS/train/{i // 10:05d}/{i % 10:05d}.jpg": random.Random(i).randbytes(5000 + i) for i in range(200)}
NAME = "LV-VIS/train/00003/00004.jpg"


class Server:
    """One archive on loopback; `fault` spoils an answer: it gets the handler, returns whether it has answered."""

    def __init__(self, content: bytes) -> None:
        self.content, self.etag = content, '"one"'
        self.files: dict[str, bytes] = {}  # others, which are asked for whole
        self.requests: list[str] = []
        self.sent = 0
        self.authorizations: list[str | None] = []
        self.fault = lambda handler: False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_of": self}))
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/data/JPEGImages.zip"

    def __enter__(self) -> Server:
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server_of: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the word that its head has come

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server_of
        server.requests.append(f"{self.path} {self.headers.get('Range', 'all')}")
        server.authorizations.append(self.headers.get("Authorization"))
        name = self.path.partition("?")[0].rpartition("/")[2]
        if name in server.files and "Range" not in self.headers:
            self.whole(server.files[name])
        elif name not in server.files and name.endswith(".json"):
            self.refuse(404)
        elif not server.fault(self):
            self.stretch()

    def do_HEAD(self) -> None:
        self.refuse(200)

    def whole(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stretch(self, **changed) -> None:
        """Answer as asked, but for what is `changed`."""
        content = self.server_of.content
        start, end = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        part = content[start : end + 1]
        body = changed.get("body", part)
        self.send_response(changed.get("status", 206))
        self.send_header("Content-Range", changed.get("range", f"bytes {start}-{start + len(part) - 1}/{len(content)}"))
        self.send_header("Content-Length", str(changed.get("length", len(body))))
        if self.server_of.etag:
            self.send_header("ETag", self.server_of.etag)
        self.end_headers()
        self.server_of.sent += len(body)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def refuse(self, status: int, **headers) -> bool:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        return True


def content_of(contents: dict[str, bytes], folder: Path) -> bytes:
    path = folder / "made.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path.read_bytes()


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """No index, connection or state of an earlier test; no waiting."""
    monkeypatch.setattr(index.constants, "HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.001)
    monkeypatch.delenv(cache.FOLDER_VARIABLE, raising=False)
    forget()


def forget() -> None:
    """What a process knows: then it is as another one."""
    index._opened.cache_clear()
    remote.remote_file.cache_clear()
    remote._led_to.clear()
    remote._sessions.clear()


@pytest.fixture
def server(tmp_path):
    with Server(content_of(CONTENTS, tmp_path)) as running:
        yield running


def test_every_member_is_read_and_each_costs_one_request_for_its_bytes(server):
    archive = open_archive(server.address)
    assert archive.read(NAME) == CONTENTS[NAME]
    for name, content in CONTENTS.items():
        before = len(server.requests), server.sent
        assert archive.read(name) == content
        assert len(server.requests) - before[0] <= 1  # none for the last of them, which came with the directory
        assert server.sent - before[1] <= len(content) + 1024


def test_a_second_process_asks_for_one_byte_to_know_the_directory_again(server):
    open_archive(server.address)
    assert len(server.requests) <= 4
    forget()
    server.requests.clear()
    archive = open_archive(server.address)
    assert server.requests == ["/data/JPEGImages.zip bytes=0-0"]
    assert archive.read(NAME) == CONTENTS[NAME]
    assert len(server.requests) == 2


def once(answer):
    """A fault of the first answer alone."""
    left = [answer]
    return lambda handler: bool(left) and left.pop()(handler) is not False


def _breaking(handler) -> None:
    handler.stretch(body=b"the first half", length=100_000)
    handler.close_connection = True


def _cut(handler) -> None:
    handler.connection.close()
    handler.close_connection = True


FAULTS = {
    "a connection that breaks": _breaking,
    "one that is closed at once": _cut,
    "fewer bytes than asked for": lambda h: h.stretch(body=b"few"),
    "more bytes than asked for": lambda h: h.stretch(body=b"m" * 100_000),
    "another part": lambda h: h.stretch(range=f"bytes 0-99/{len(h.server_of.content)}"),
    "no word on which part": lambda h: h.stretch(range="bytes"),
    "a busy server": lambda h: h.refuse(503, Retry_After="0"),
    "too many requests": lambda h: h.refuse(429),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_once_is_asked_for_again(server, fault):
    archive = open_archive(server.address)
    server.fault = once(FAULTS[fault])
    server.requests.clear()
    assert archive.read(NAME) == CONTENTS[NAME]
    assert len(server.requests) == 2


@pytest.mark.parametrize("fault", FAULTS)
def test_what_always_goes_wrong_is_given_up_with_the_address(server, fault):
    archive = open_archive(server.address)
    server.fault = lambda handler: FAULTS[fault](handler) is not False
    server.requests.clear()
    with pytest.raises(DownloadError, match=re.escape(f"{server.address}: ")) as caught:
        archive.read(NAME)
    assert f"Given up after {remote.TRIES} tries" in str(caught.value)
    assert len(server.requests) == remote.TRIES


def test_a_busy_server_is_waited_for_as_long_as_it_asks(server, monkeypatch):
    archive = open_archive(server.address)
    pauses = []
    monkeypatch.setattr(remote.time, "sleep", pauses.append)
    server.fault = once(lambda handler: handler.refuse(503, Retry_After="7"))
    archive.read(NAME)
    assert pauses == [7.0]


def test_a_server_that_ignores_ranges_is_told_before_its_answer_is_read(server):
    def everything(handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", str(48_000_000_000))
        handler.end_headers()
        with contextlib.suppress(ConnectionError):
            for _ in range(2000):
                handler.wfile.write(bytes(100_000))
                server.sent += 100_000
        handler.close_connection = True
        return True

    server.fault = everything
    with pytest.raises(ArchiveError, match=r"would send all 48,000,000,000 bytes for every frame.* `revoskit download"):
        open_archive(server.address)
    assert len(server.requests) == 1
    assert server.sent < 50_000_000  # what the system's buffers took before the connection was closed


@pytest.mark.parametrize("change", ["etag", "size", "etag alone"])
def test_an_archive_that_changes_between_two_reads_is_an_error_and_never_mixed(server, tmp_path, change):
    archive = open_archive(server.address)
    assert archive.read(NAME) == CONTENTS[NAME]
    if change != "etag alone":
        others = {name: content[::-1] for name, content in CONTENTS.items()}
        server.content = content_of(others | ({"more.jpg": b"more"} if change == "size" else {}), tmp_path)
    if change != "size":
        server.etag = '"two"'
    with pytest.raises(ArchiveError, match="has changed at the server since its directory was read"):
        archive.read("LV-VIS/train/00005/00000.jpg")
    forget()
    assert open_archive(server.address).read(NAME) == (CONTENTS[NAME] if change == "etag alone" else others[NAME])


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (500, remote.TRIES)])
def test_a_file_that_is_not_to_be_had_is_told_with_its_address(server, status, tries):
    server.fault = lambda handler: handler.refuse(status)
    with pytest.raises(DownloadError, match=rf"{re.escape(server.address)}: the server says {status}"):
        open_archive(server.address)
    assert len(server.requests) == tries


MALFORMED = {
    "redirect to no address": lambda handler: handler.refuse(302, Location="http://[::1"),
    "redirect that is no text": lambda handler: handler.refuse(302, Location="/\xff\xfe"),
    "redirect to a port of five digits": lambda handler: handler.refuse(302, Location="http://127.0.0.1:99999/x"),
    "endless number of bytes": lambda handler: handler.refuse(200, Content_Length="9" * 5000),
    "bytes of an endless file": lambda handler: handler.stretch(range="bytes 0-0/" + "9" * 5000),
    "bytes in other digits": lambda handler: handler.stretch(range="bytes 0-0/\xb2"),
    "wait without end": lambda handler: handler.refuse(503, Retry_After="9" * 5000),
}


@pytest.mark.parametrize("answer", MALFORMED)
def test_a_malformed_answer_is_an_error_with_the_address(server, monkeypatch, answer):
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)
    server.fault = lambda handler: MALFORMED[answer](handler) is not False
    with pytest.raises((DownloadError, ArchiveError), match=re.escape(server.address)):
        open_archive(server.address)


def test_a_query_and_a_password_are_sent_and_never_shown(server):
    server.fault = lambda handler: handler.refuse(404)
    secret = server.address.replace("http://", "http://me:secret@") + "?token=secret"
    with pytest.raises(DownloadError) as caught:
        open_archive(secret)
    assert "secret" not in str(caught.value)
    assert server.requests == ["/data/JPEGImages.zip?token=secret bytes=0-0"]


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("http://[::1]:80/x.zip", ("", "http://[::1]:80/x.zip")),
        ("a/b.zip::https://[::1]/x.zip", ("a/b.zip", "https://[::1]/x.zip")),
        ("b.zip::/data/x.zip", ("b.zip", "/data/x.zip")),
        ("/data/x.zip", ("", "/data/x.zip")),
    ],
)
def test_an_address_within_an_archive_is_told_from_a_host_that_has_colons(address, parts):
    assert remote.place_of(address) == parts


@pytest.mark.parametrize("rest", ["@127.0.0.1:9/x.zip?token=secret", "@[::1/x.zip?token=secret"])
def test_a_secret_is_not_shown_where_nobody_answers_either(monkeypatch, rest):
    monkeypatch.setattr(remote, "TRIES", 1)
    with pytest.raises(DownloadError) as caught:
        open_archive("http://me:secret" + rest)
    assert "secret" not in str(caught.value)
    assert "x.zip" in str(caught.value)


def test_what_a_server_says_has_no_power_over_a_terminal(server):
    def answer(handler):
        handler.send_response(404, "gone \x1b[2Jaway")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    server.fault = answer
    with pytest.raises(DownloadError, match="gone") as caught:
        open_archive(server.address)
    assert "\x1b" not in str(caught.value)


def test_where_a_server_leads_is_asked_at_once_until_that_is_good_no_more(server):
    """As the Hub does: it leads to a store, by an address that is good for an hour."""
    good = ["/store-1"]

    def lead(handler) -> bool:
        if handler.path == "/data/JPEGImages.zip":
            return handler.refuse(302, Location=good[0])
        return handler.refuse(403) if handler.path != good[0] else False

    server.fault = lead
    archive = open_archive(server.address)
    server.requests.clear()
    archive.read(NAME)
    assert [request.split()[0] for request in server.requests] == ["/store-1"]
    good[0] = "/store-2"
    server.requests.clear()
    assert archive.read(NAME) == CONTENTS[NAME]
    assert [request.split()[0] for request in server.requests] == ["/store-1", "/data/JPEGImages.zip", "/store-2"]


def test_connections_are_kept_open_and_several_are_used_at_once(server):
    archive = open_archive(server.address)
    connections = set()
    server.fault = lambda handler: connections.add(handler.client_address) is not None
    names = list(CONTENTS)[:160]
    with ThreadPoolExecutor(remote.CONNECTIONS) as threads:
        assert list(threads.map(archive.read, names)) == [CONTENTS[name] for name in names]
    assert len(connections) <= remote.CONNECTIONS + 1


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_another_process_has_connections_of_its_own(server, method):
    assert fetched(server.address, NAME) == CONTENTS[NAME]
    with multiprocessing.get_context(method).Pool(1) as pool:
        there = pool.apply_async(fetched, (server.address, NAME))
        assert fetched(server.address, NAME) == CONTENTS[NAME]
        assert there.get(60) == CONTENTS[NAME]
    assert pickle.loads(pickle.dumps(remote.remote_file(server.address))) is remote.remote_file(server.address)


# --- what is kept on disk ---------------------------------------------------------------------------------------------


def test_what_came_once_is_kept_and_not_asked_for_again(server, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "kept"))
    open_archive(server.address).read(NAME)
    forget()
    archive = open_archive(server.address)
    server.requests.clear()
    assert archive.read(NAME) == CONTENTS[NAME]
    assert server.requests == []


def test_what_was_kept_of_another_state_or_is_damaged_is_asked_for_again(server, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "kept"))
    open_archive(server.address).read(NAME)
    (kept,) = (path for path in (tmp_path / "kept").rglob("*") if path.is_file())
    kept.write_bytes(b"damaged")
    assert open_archive(server.address).read(NAME) == CONTENTS[NAME]
    assert kept.read_bytes() == CONTENTS[NAME]
    server.content = content_of({name: content[::-1] for name, content in CONTENTS.items()}, tmp_path)
    server.etag = '"two"'
    forget()
    assert open_archive(server.address).read(NAME) == CONTENTS[NAME][::-1]


def test_no_more_is_kept_than_fits_and_what_lay_unused_the_longest_goes(tmp_path):
    kept = cache.ByteCache(tmp_path, 40_000)
    for i in range(120):
        kept.put(str(i), bytes(1000))
        os.utime(kept._path(str(i)), (i, i))
        assert kept.get("0") is not None or i == 0  # used all the time
        assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 40_000
    assert kept.get("119") == bytes(1000)
    assert kept.get("1") is None
    assert sum(kept.get(str(i)) is not None for i in range(120)) >= 32
    kept.put("too large", bytes(40_001))
    assert kept.get("too large") is None


def test_where_nothing_can_be_kept_that_is_said_once_and_frames_come_all_the_same(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "file"))
    archive = open_archive(server.address)
    with pytest.warns(UserWarning, match="frames are not kept: .* cannot be written") as warned:
        contents = list(map(archive.read, list(CONTENTS)[:3]))
    assert contents == list(CONTENTS.values())[:3]
    assert len(warned) == 1


@pytest.mark.parametrize("size", ["much", "0", "-1", "nan", "inf"])
def test_a_size_of_the_cache_that_is_none_is_told(tmp_path, monkeypatch, size):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setenv(cache.SIZE_VARIABLE, size)
    with pytest.raises(UsageError, match="expected how many gigabytes"):
        cache.frame_cache()


# --- the dataset with its frames on a server --------------------------------------------------------------------------


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A server with all that is official, and the folder that it serves."""
    folder = release(tmp_path / "mirror", monkeypatch, frames=9)
    with Server((folder / FRAMES_ARCHIVE).read_bytes()) as running:
        running.files = {path.name: path.read_bytes() for path in folder.glob("*.json")}
        running.source = running.address.removesuffix(f"/{FRAMES_ARCHIVE}")
        running.folder = folder
        yield running


def load(tmp_path, source: str, **options):
    options = {"cache_dir": str(tmp_path / "cache"), "frames": "remote"} | options
    return load_dataset(revos.NAME, source=source, split="train", **options)


def expected_of(mirror, tmp_path):
    """The same rows from a copy that is here."""
    return load(tmp_path, str(mirror.folder), frames="local", data_dir=str(mirror.folder))


def test_a_dataset_is_loaded_without_its_frames_which_come_when_they_are_opened(mirror, tmp_path):
    rows = load(tmp_path, mirror.source)
    assert not list((tmp_path / "cache").rglob("*.zip"))
    local = expected_of(mirror, tmp_path)
    assert rows[0]["frames"][4]["path"].endswith(f"::{mirror.address}")
    mirror.requests.clear()
    assert open_frame(rows[0]["frames"][4]) == open_frame(local[0]["frames"][4])
    assert len(mirror.requests) <= 1
    for one, other in zip(rows.with_transform(Clips(3, size=24)), local.with_transform(Clips(3, size=24)), strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_frames_of_a_clip_are_asked_for_at_once(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_TAIL", 1)
    clips = load(tmp_path, mirror.source).with_transform(Clips(6, size=24, training=False))
    waiting = Barrier(6)

    def together(handler) -> bool:
        waiting.wait(10)  # breaks unless six requests are under way at a time
        return False

    mirror.fault = together
    assert clips[0]["valid"].all()
    assert waiting.n_waiting == 0


def test_a_row_streams_with_its_frames_on_the_server(mirror, tmp_path):
    row = next(iter(load(tmp_path, mirror.source, streaming=True)))
    assert open_frame(row["frames"][0]).size == (64, 48)


def test_a_frame_that_cannot_be_had_is_named_and_can_be_done_without(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_TAIL", 1)
    row = load(tmp_path, mirror.source)[0]
    mirror.fault = lambda handler: handler.refuse(404)
    with pytest.raises(FrameError, match=r"frame '.*' \(number \d\): .*\.jpg in http://.* cannot be read: .*says 404"):
        Clips(2)(row)


def test_to_leave_out_what_is_wrong_fetches_no_frame(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_TAIL", 1)
    content = mirror.content
    with zipfile.ZipFile(io.BytesIO(content)) as whole:
        names = [name for name in whole.namelist() if name.endswith(".jpg")]
        by_video = {}
        for name in names:
            by_video.setdefault(name.rpartition("/")[0], []).append(name)
        first, second = list(by_video)[:2]
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as changed:
            for name in names:
                if name != by_video[first][3]:
                    changed.writestr(name, b"" if name == by_video[second][4] else whole.read(name))
    mirror.content = made.getvalue()
    with pytest.warns(UserWarning, match="has left 2 videos out of .* for 1 frame-missing, 1 frame-unreadable"):
        found = load_dataset(
            revos.NAME,
            source=mirror.source,
            frames="remote",
            faults="skip",
            splits=["train", "validation"],
            cache_dir=str(tmp_path / "cache"),
        )
    left = {row["video_id"] for rows in found.values() for row in rows}
    assert left == set(by_video) - {first, second}
    with zipfile.ZipFile(made) as archive:
        frames = {info.header_offset for info in archive.infolist()} - {0}  # where it is seen that it is no tar
    asked = [re.search(rf"{FRAMES_ARCHIVE} bytes=(\d+)", request) for request in mirror.requests]
    assert any(asked)
    assert frames.isdisjoint(int(match[1]) for match in asked if match)


def test_frames_that_were_kept_need_no_server(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, "")  # and put back as it was
    monkeypatch.setattr(remote, "_TAIL", 1)
    clips = load(tmp_path, mirror.source, frame_cache=str(tmp_path / "kept")).with_transform(Clips(9, size=24))
    first = clips[0]
    mirror.requests.clear()
    assert np.array_equal(clips[0]["frames"], first["frames"])
    assert mirror.requests == []


def test_what_cannot_be_on_a_server_is_told(mirror, tmp_path):
    with pytest.raises(UsageError, match="is a folder: frames on a server"):
        load(tmp_path, str(mirror.folder))
    with pytest.raises(UsageError, match="frames='remote' needs a source"):
        load(tmp_path, None, data_dir=str(mirror.folder))
    with pytest.raises(UsageError, match="expected 'local' or 'remote'"):
        load(tmp_path, mirror.source, frames="far")


def test_a_contact_sheet_is_drawn_of_a_few_frames_alone(mirror, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(remote, "_TAIL", 1)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    output = tmp_path / "sheet.png"
    command = ["show", "LV-VIS/train/01020", "--frames", "3", "-o", str(output)]
    assert cli.main([*command, "--source", mirror.source]) == 0
    stretches = [request for request in mirror.requests if f"{FRAMES_ARCHIVE} bytes" in request]
    assert len(stretches) <= 3 + 12  # the directory's, each small
    assert cli.main([*command[:-1], str(tmp_path / "local.png"), "--data-dir", str(mirror.folder)]) == 0
    assert output.read_bytes() == (tmp_path / "local.png").read_bytes()


def test_the_token_travels_to_the_hub_alone(tmp_path, monkeypatch):
    """The stand-in Hub asks for it and leads to a store elsewhere, which must not see it."""
    folder = release(tmp_path / "mirror", monkeypatch)
    content = (folder / FRAMES_ARCHIVE).read_bytes()
    with Server(content) as store, StandInHub() as hub:
        hub.repositories["someone/revos"] = repository = Repository(private=True)
        for path in folder.iterdir():
            repository.files[path.name] = hub.keep(path.read_bytes())
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            hub.address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        address = f"hf://datasets/someone/revos/{FRAMES_ARCHIVE}"
        remote.use_token(address, TOKEN)
        assert len(open_archive(address)) > 0
        forget()
        remote._led_to[address] = store.address
        archive = open_archive(address)
        name = f"LV-VIS/train/01020/{archive.names('LV-VIS/train/01020')[0]}"
        assert archive.read(name)[:2] == b"\xff\xd8"
        assert store.authorizations
        assert set(store.authorizations) == {None}
        remote._led_to.clear()
        forget()
        remote.use_token(address, "wrong")
        with pytest.raises(DownloadError, match=r"says 401.*\$HF_TOKEN.* not in workers that it starts anew"):
            open_archive(address)


@pytest.mark.parametrize("saved", [True, False])
def test_a_spawned_worker_takes_the_token_of_the_environment_and_no_other(tmp_path, monkeypatch, saved):
    folder = release(tmp_path / "mirror", monkeypatch)
    with StandInHub() as hub:
        hub.repositories["someone/revos"] = repository = Repository(private=True)
        repository.files[FRAMES_ARCHIVE] = hub.keep((folder / FRAMES_ARCHIVE).read_bytes())
        for name, value in hub.environment.items():
            monkeypatch.setenv(name, value)
        if not saved:
            monkeypatch.delenv("HF_TOKEN")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        address = f"hf://datasets/someone/revos/{FRAMES_ARCHIVE}"
        with zipfile.ZipFile(folder / FRAMES_ARCHIVE) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".jpg"))
            content = archive.read(name)
        remote.use_token(address, TOKEN)  # here, and not there
        assert pickle.loads(pickle.dumps(remote.remote_file(address))).address == address
        assert TOKEN.encode() not in pickle.dumps(
            [remote.remote_file(address), frame_of({"path": f"zip://a::{address}"})]
        )
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            if saved:
                assert pool.apply(fetched, (address, name)) == content
            else:
                with pytest.raises(DownloadError, match=r"\$HF_TOKEN"):
                    pool.apply(fetched, (address, name))
