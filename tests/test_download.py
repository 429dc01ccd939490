"""Downloads from a real server on the loopback that breaks off, ignores ranges, lies about lengths and sends junk."""

import errno
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
from official_files import release

import revos
from revoskit import open_frame
from revoskit.cli import main
from revoskit.dataset import layout
from revoskit.dataset.layout import FOREGROUND, FRAMES_ARCHIVE, FRAMES_FOLDER, SHA256, TRACKS, Layout
from revoskit.errors import DownloadError, StorageError, UsageError
from revoskit.getting import checksums, download, resuming
from revoskit.getting.hub import Hub


class Server:
    """Serves a folder with Range; what it does wrong is set in its fields, by file name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[tuple[str, str, str]] = []  # method, path, Range
        self.content: dict[str, bytes] = {}  # sent in place of a file
        self.break_after: dict[str, int] = {}  # bytes of body that a connection lives
        self.ignore_range = False
        self.wrong_range = 0  # how far from what was asked for a part begins
        self.headers: dict[str, str] = {}  # sent with every file
        self.announce: dict[str, int] = {}  # added to Content-Length
        self.no_length = False
        self.refuse: dict[str, list[tuple[int, dict]]] = {}  # statuses and headers to answer with first
        handler = type("Handler", (_Handler,), {"server_of": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}/data"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def asked(self, name: str) -> list[str]:
        return [ranges for method, path, ranges in self.requests if method == "GET" and name in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the word that its head has come
    server_of: Server

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body: bool):
        server = self.server_of
        name = self.path.partition("?")[0].rpartition("/")[2]
        server.requests.append((self.command, self.path, self.headers.get("Range", "")))
        self.close_connection = True
        if body and server.refuse.get(name):
            status, headers = server.refuse[name].pop(0)
            return self.head(status, {"Content-Length": "0"} | headers)
        path = server.folder / name
        if name not in server.content and not path.is_file():
            return self.head(404, {"Content-Length": "0"})
        content = server.content.get(name, path.read_bytes() if path.is_file() else b"")
        headers, status, start = dict(server.headers), 200, 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and not server.ignore_range:
            start = int(wanted[1])
            if start >= len(content):
                return self.head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
            start = max(0, start + server.wrong_range)
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content) + server.announce.get(name, 0)}"
        if not server.no_length:
            headers["Content-Length"] = str(len(content) - start + server.announce.get(name, 0))
        self.head(status, headers | {"Connection": "close"})
        if body:
            self.wfile.write(content[start:][: server.break_after.get(name)])
        return None

    def head(self, status: int, headers: dict):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    return release(tmp_path / "mirror", monkeypatch)


@pytest.fixture
def server(mirror):
    server = Server(mirror)
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The pauses that are asked for, none of them made."""
    asked = []
    monkeypatch.setattr(resuming.time, "sleep", asked.append)
    return asked


@pytest.fixture
def here(tmp_path):
    return Layout.at(tmp_path / "here")


def states(arrivals):
    return {arrival.name: arrival.state for arrival in arrivals}


def all_official(here):
    found = checksums.verify(here)
    return found.all_official and all(file.state == "official" for file in found.files)


def leftovers(here):
    return sorted(path.name for path in here.root.iterdir() if path.name not in SHA256 and path.name[0] != ".")


@pytest.mark.parametrize("kind", ["folder", "web"])
def test_all_six_files_are_fetched_and_only_once(kind, mirror, server, here):
    source = str(mirror) if kind == "folder" else server.address
    assert set(states(download.download(here, source)).values()) == {"fetched"}
    assert all_official(here)
    assert leftovers(here) == []
    server.requests.clear()
    (here.root / TRACKS).unlink()
    again = states(download.download(here, source))
    assert again.pop(TRACKS) == "fetched"
    assert set(again.values()) == {"here"}
    assert {path.rpartition("/")[2] for _, path, _ in server.requests} <= {TRACKS}


def test_a_connection_that_breaks_is_continued_where_it_broke(server, here):
    size = (server.folder / FRAMES_ARCHIVE).stat().st_size
    server.break_after[FRAMES_ARCHIVE] = step = size // 8 + 1
    download.download(here, server.address)
    assert all_official(here)
    assert server.asked(FRAMES_ARCHIVE) == ["", *(f"bytes={i * step}-" for i in range(1, 8))]


def test_a_download_that_was_killed_is_continued(server, here):
    here.root.mkdir()
    content = (server.folder / TRACKS).read_bytes()
    (here.root / f"{TRACKS}.partial").write_bytes(content[:1000])
    download.download(here, server.address)
    assert server.asked(TRACKS) == ["bytes=1000-"]
    assert all_official(here)


def test_a_whole_partial_file_needs_nothing_more(server, here):
    here.root.mkdir()
    shutil.copy(server.folder / TRACKS, here.root / f"{TRACKS}.partial")
    download.download(here, server.address)
    assert all_official(here)


def test_a_server_that_ignores_ranges_is_read_past_what_is_there(server, here):
    server.ignore_range = True
    here.root.mkdir()
    content = (server.folder / TRACKS).read_bytes()
    (here.root / f"{TRACKS}.partial").write_bytes(content[:1000])
    download.download(here, server.address)
    assert all_official(here)


def test_a_server_that_sends_another_range_than_asked_for_is_asked_for_all(server, here):
    server.wrong_range = -7
    server.break_after[TRACKS] = 900
    with pytest.raises(DownloadError, match=r"900 bytes read|broke off after 900"):
        download.download(here, server.address)
    assert not (here.root / TRACKS).exists()
    server.break_after.clear()
    download.download(here, server.address)
    assert all_official(here)


def test_a_server_that_breaks_at_the_same_place_for_ever_is_given_up(server, here, pauses):
    server.ignore_range = True
    server.break_after[TRACKS] = 1500
    with pytest.raises(DownloadError, match=r"Given up after 6 tries; what came \(1,500 bytes\) is kept"):
        download.download(here, server.address)
    assert (here.root / f"{TRACKS}.partial").read_bytes() == (server.folder / TRACKS).read_bytes()[:1500]
    assert len(server.asked(TRACKS)) == 6
    assert all(later > earlier for earlier, later in itertools.pairwise(pauses))


def test_a_server_that_announces_more_than_it_has_is_believed_by_checksum(server, here):
    server.announce[TRACKS] = 10
    download.download(here, server.address)
    assert all_official(here)


def test_a_server_that_announces_less_than_it_has_gives_no_official_file(server, here):
    server.announce[TRACKS] = -10
    arrivals = download.download(here, server.address)
    assert states(arrivals)[TRACKS] == "rejected"
    assert not (here.root / TRACKS).exists()
    assert leftovers(here) == [f"{TRACKS}.rejected"]


def test_a_server_that_announces_no_length_is_read_to_the_end(server, here):
    server.no_length = True
    download.download(here, server.address)
    assert all_official(here)


def test_what_does_not_match_is_set_aside_and_never_used(server, here):
    server.content[TRACKS] = bytes(reversed((server.folder / TRACKS).read_bytes()))
    server.content[FRAMES_ARCHIVE] = b"<!DOCTYPE html><title>Log in</title>"
    arrivals = {arrival.name: arrival for arrival in download.download(here, server.address)}
    assert arrivals[TRACKS].state == arrivals[FRAMES_ARCHIVE].state == "rejected"
    assert "a web page" in arrivals[FRAMES_ARCHIVE].detail
    assert leftovers(here) == [f"{FRAMES_ARCHIVE}.rejected", f"{TRACKS}.rejected"]
    with pytest.raises(DownloadError, match="does not give what is needed"):
        download.obtain(here, server.address)


def test_halves_of_different_files_are_fetched_again_from_the_start(server, here):
    here.root.mkdir()
    (here.root / f"{TRACKS}.partial").write_bytes(b"x" * 1000)
    assert states(download.download(here, server.address))[TRACKS] == "fetched"
    assert server.asked(TRACKS) == ["bytes=1000-", ""]


def test_a_partial_file_longer_than_the_one_at_the_source_is_begun_anew(server, here):
    here.root.mkdir()
    size = (server.folder / TRACKS).stat().st_size
    (here.root / f"{TRACKS}.partial").write_bytes(b"x" * (size + 1))
    assert states(download.download(here, server.address))[TRACKS] == "fetched"


# --- what is here is not lost for something worse ---------------------------------------------------------------------

LOGIN = b"<!DOCTYPE html><title>Log in</title>"


@pytest.mark.parametrize("no_length", [False, True], ids=["with its length", "without"])
def test_a_page_in_place_of_a_file_costs_nothing_of_what_is_here(server, here, no_length):
    here.root.mkdir()
    begun = (server.folder / TRACKS).read_bytes()[:1000]
    (here.root / f"{TRACKS}.partial").write_bytes(begun)
    server.content[TRACKS], server.ignore_range, server.no_length = LOGIN, True, no_length
    arrivals = {arrival.name: arrival for arrival in download.download(here, server.address)}
    assert arrivals[TRACKS].state == "rejected"
    assert "a web page" in arrivals[TRACKS].detail
    assert "the 1,000 bytes that came before are kept" in arrivals[TRACKS].detail
    assert (here.root / f"{TRACKS}.partial").read_bytes() == begun
    server.content.clear()
    server.ignore_range = server.no_length = False
    server.requests.clear()
    download.download(here, server.address)
    assert all_official(here)
    assert server.asked(TRACKS) == ["bytes=1000-"]


def test_a_longer_page_is_not_appended_to_what_is_here(server, here):
    here.root.mkdir()
    begun = (server.folder / TRACKS).read_bytes()[:10]
    (here.root / f"{TRACKS}.partial").write_bytes(begun)
    server.content[TRACKS], server.ignore_range = LOGIN, True
    assert states(download.download(here, server.address))[TRACKS] == "rejected"
    assert (here.root / f"{TRACKS}.partial").read_bytes() == begun


def test_another_file_after_a_break_is_fetched_anew_in_the_same_run(server, here, monkeypatch):
    official = (server.folder / TRACKS).read_bytes()
    server.content[TRACKS] = b"x" * len(official)
    server.break_after[TRACKS] = 700

    def correct(seconds: float) -> None:
        server.content.clear()
        server.break_after.clear()

    monkeypatch.setattr(resuming.time, "sleep", correct)
    assert states(download.download(here, server.address))[TRACKS] == "fetched"
    assert server.asked(TRACKS) == ["", "bytes=700-", ""]
    assert leftovers(here) == []


def test_a_file_begun_anew_is_continued_by_the_next_run(server, here):
    here.root.mkdir()
    (here.root / f"{TRACKS}.anew").write_bytes((server.folder / TRACKS).read_bytes()[:600])
    (here.root / f"{TRACKS}.partial").write_bytes(b"wrong")
    download.download(here, server.address)
    assert server.asked(TRACKS) == ["bytes=600-"]
    assert all_official(here)
    assert leftovers(here) == []


def test_a_body_without_end_is_not_taken(server, here, monkeypatch):
    monkeypatch.setattr(download, "MOST_BYTES_OF_ANNOTATIONS", 100)
    server.no_length = True
    with pytest.raises(DownloadError, match="sends more than 100 bytes, and does not say how many"):
        download.download(here, server.address)


# --- patience ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"])
@pytest.mark.parametrize("source", ["web", "hub"])
def test_who_is_offline_is_told_at_once(server, here, monkeypatch, variable, source, pauses):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(DownloadError, match=rf"\${variable} is set"):
        download.download(here, server.address if source == "web" else "hf://datasets/o/r")
    assert pauses == []
    assert server.requests == []


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "http://[::1",
        "http://127.0.0.1:99999/",
        f"http://{'a' * 300}.org/",
        "ftp://127.0.0.1/x",
        "/data/mask_dict.json",
        "http://\xff\xfe/",
    ],
    ids=["file", "malformed", "port", "host", "scheme", "loop", "bytes"],
)
def test_a_redirect_that_leads_nowhere_is_followed_once(server, here, target, pauses):
    server.refuse[TRACKS] = [(302, {"Location": target, "Connection": "close"}) for _ in range(100)]
    with pytest.raises(DownloadError) as raised:
        download.download(here, server.address)
    assert TRACKS in str(raised.value)
    assert len(pauses) <= (5 if "\xff" in target else 0)  # a name that is text may become one that somebody has


@pytest.mark.parametrize(
    "address",
    [
        "http://[::1",
        "http://127.0.0.1:99999",
        f"https://{'a' * 300}/",
        "https://",
        "http://user:secret@[::1?sig=secret",
    ],
)
def test_a_malformed_address_is_refused_with_one_sentence(here, address, capsys):
    assert main(["download", str(here.root), "--from", address]) == 2
    printed = capsys.readouterr().err
    assert "is not a web address" in printed
    assert "secret" not in printed


def test_headers_of_absurd_length_are_no_numbers(server, here, pauses):
    absurd = {"Retry-After": "9" * 5000, "Content-Range": f"bytes 0-{'9' * 5000}/{'9' * 5000}"}
    server.refuse[TRACKS] = [(503, absurd), (206, absurd)]
    assert states(download.download(here, server.address))[TRACKS] in ("rejected", "fetched")


def test_a_source_that_brings_a_byte_now_and_then_is_given_up(server, here, monkeypatch, pauses):
    clock = itertools.count(0, 61)
    server.break_after.update(dict.fromkeys(SHA256, 10))
    monkeypatch.setattr(resuming, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=pauses.append))
    with pytest.raises(DownloadError, match=r"brings [\d,]+ bytes a second.*\$REVOSKIT_MIN_RATE"):
        download.download(here, server.address)


def test_silence_is_given_up_after_two_minutes(here, monkeypatch, pauses):
    clock = itertools.count(0, 30)
    monkeypatch.setattr(resuming, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=pauses.append))
    with pytest.raises(DownloadError, match="Given up after 4 tries"):
        download.download(here, "http://127.0.0.1:9/data")


def test_identity_in_any_spelling_is_no_compression(server, here):
    server.headers["Content-Encoding"] = "Identity"
    download.download(here, server.address)
    assert all_official(here)


# --- secrets, and where nothing may be written ------------------------------------------------------------------------


def test_no_message_shows_credentials_or_a_query(server, here, mirror):
    (mirror / FOREGROUND).unlink()
    (mirror / TRACKS).unlink()
    address = server.address.replace("http://", "http://user:secret@") + "?sig=secret"
    with pytest.raises(DownloadError) as raised:
        download.obtain(here, address)
    assert "secret" not in str(raised.value)
    assert "secret" not in repr(revos.Revos(data_dir=str(here.root), source=address).config)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_folder_that_may_not_be_written_to_is_named(server, here):
    here.root.mkdir(mode=0o500)
    with pytest.raises(StorageError, match="may not be written to"):
        download.download(here, server.address)


def test_a_disk_that_is_read_only_is_named(server, here, monkeypatch):
    def mkdir(path, **how):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(
        StorageError, match=rf"{re.escape(str(here.root))} may not be written to \(Read-only file system"
    ):
        download.obtain(here, server.address)


def test_nothing_is_written_where_all_is_here(server, here, monkeypatch):
    download.download(here, server.address)
    monkeypatch.setattr(download, "sole_writer", None)
    assert set(states(download.download(here, server.address)).values()) == {"here"}


def test_a_busy_server_is_waited_for_as_long_as_it_asks(server, here, pauses):
    server.refuse[TRACKS] = [(503, {"Retry-After": "17"}), (429, {}), (500, {})]
    download.download(here, server.address)
    assert all_official(here)
    assert pauses[0] == 17
    assert len(pauses) == 3


def test_a_refusal_is_not_tried_again(server, here):
    server.refuse[TRACKS] = [(403, {})]
    with pytest.raises(DownloadError, match="403"):
        download.download(here, server.address)
    assert len(server.asked(TRACKS)) == 1


def test_a_server_that_is_not_there_is_given_up_with_its_address(here):
    with pytest.raises(DownloadError, match=r"http://127.0.0.1:9/data/mask_dict_foreground.*Given up after 6 tries"):
        download.download(here, "http://127.0.0.1:9/data")


def test_the_room_on_the_disk_is_looked_at_before_anything_is_fetched(server, here, monkeypatch):
    free = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: free)
    with pytest.raises(DownloadError, match="1,000 bytes free"):
        download.download(here, server.address)
    assert leftovers(here) == []
    assert [method for method, _, _ in server.requests] == ["HEAD"] * 6


def test_an_absurd_length_is_refused_for_want_of_room(server, here):
    server.announce[TRACKS] = 10**17
    with pytest.raises(DownloadError, match="make room"):
        download.download(here, server.address)


def test_a_file_that_is_not_official_is_left_alone(server, here):
    here.root.mkdir()
    (here.root / TRACKS).write_bytes(b"mine")
    assert states(download.download(here, server.address))[TRACKS] == "not official"
    assert (here.root / TRACKS).read_bytes() == b"mine"


def test_an_archive_whose_frames_are_all_unpacked_is_not_fetched(server, mirror, here):
    shutil.copytree(mirror.parent / "mirror-made" / FRAMES_FOLDER, here.root / FRAMES_FOLDER)
    assert states(download.download(here, server.address))[FRAMES_ARCHIVE] == "unpacked"
    assert server.asked(FRAMES_ARCHIVE) == []


def test_a_query_goes_with_every_address_and_is_not_shown(server, here):
    server.break_after[TRACKS] = 0
    with pytest.raises(DownloadError) as error:
        download.download(here, server.address + "?secret=1")
    assert all(path.endswith(".json?secret=1") or path.endswith(".zip?secret=1") for _, path, _ in server.requests)
    assert "secret" not in str(error.value)


def test_a_source_without_the_archive_says_what_it_has_instead(mirror, here):
    (mirror / FRAMES_ARCHIVE).rename(mirror / "revos.zip")
    arrivals = {arrival.name: arrival for arrival in download.download(here, str(mirror))}
    assert arrivals[FRAMES_ARCHIVE].state == "not at the source"
    assert "It has revos.zip" in arrivals[FRAMES_ARCHIVE].detail
    with pytest.raises(DownloadError, match=r"JPEGImages\.zip: .* has no JPEGImages\.zip"):
        download.obtain(here, str(mirror))


def test_a_source_without_train_sub_and_foreground_will_do(mirror, here):
    (mirror / layout.EXPRESSIONS["train_sub"]).unlink()
    (mirror / FOREGROUND).unlink()
    assert download.complete(download.download(here, str(mirror)))
    with pytest.warns(UserWarning, match="meta_expressions_train_sub_.json: what is in there is left out"):
        download.obtain(here, str(mirror))


def test_without_a_source_the_command_says_what_to_do_by_hand(here, mirror, capsys):
    assert main(["download", str(here.root)]) == 2
    said = capsys.readouterr().out
    assert layout.ONEDRIVE in said
    assert layout.BAIDU in said
    assert all(name in said for name in SHA256)
    assert main(["download", str(here.root), "--json"]) == 2
    assert sorted(json.loads(capsys.readouterr().out)["missing"]) == sorted(SHA256)
    download.download(here, str(mirror))
    assert main(["download", str(here.root)]) == 0


def test_the_command_fetches_and_says_what_was_rejected(server, here, capsys):
    assert main(["download", str(here.root), "--from", server.address]) == 0
    (here.root / TRACKS).unlink()
    server.content[TRACKS] = b"{}"
    assert main(["download", str(here.root), "--from", server.address]) == 1
    assert "kept as mask_dict.json.rejected, not used" in capsys.readouterr().out


# --- the Hub ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("hf://datasets/o/r", ("o/r", "", None)),
        ("hf://datasets/o/r/", ("o/r", "", None)),
        ("hf://datasets/o/r/a/b", ("o/r", "a/b", None)),
        ("hf://datasets/o/r@v1", ("o/r", "", "v1")),
        ("hf://datasets/o/r@v1/a/b", ("o/r", "a/b", "v1")),
        ("hf://datasets/o/r/a/b@v1", ("o/r", "a/b", "v1")),
        ("hf://datasets/o/r/a@refs/pr/1", ("o/r", "a", "refs/pr/1")),
        ("hf://datasets/o/r@refs/pr/1/a", ("o/r", "a", "refs/pr/1")),
        ("hf://datasets/o/r@refs%2Fpr%2F1/a", ("o/r", "a", "refs/pr/1")),
    ],
)
def test_addresses_on_the_hub(address, expected):
    hub = Hub.at(address)
    assert (hub.repo_id, hub.folder, hub.revision) == expected


@pytest.mark.parametrize(
    "address",
    [
        "hf://o/r",
        "hf://datasets/r",
        "hf://datasets/o/r@a/b@c",
        "hf://datasets/o/r/../x",
        "ftp://x/y",
        "/no/such/folder",
    ],
)
def test_what_is_no_source(address, here):
    with pytest.raises(UsageError, match=r"is not"):
        download.download(here, address)


_ON_THE_HUB = """
import sys
from revoskit.dataset import layout
from revoskit import cli
layout.SHA256.update(%r)
sys.exit(cli.main(sys.argv[1:]))
"""


class _HubHandler(_Handler):
    """As much of the Hub as its client asks for to download from a repository."""

    def answer(self, body: bool):
        server = self.server_of
        server.requests.append((self.command, self.path, self.headers.get("Range", "")))
        self.close_connection = True
        match = re.fullmatch(r"/datasets/o/r/resolve/v1/copy/(.+)", self.path)
        path = server.folder / match[1] if match else None
        if path is None or not path.is_file():
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": "a" * 40} if match else {}
            return self.head(404, {"Content-Length": "0"} | headers)
        content = path.read_bytes()
        start = int((re.search(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0, 0])[1])
        headers = {"ETag": f'"{SHA256[path.name]}"', "X-Repo-Commit": "a" * 40, "Connection": "close"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.head(206 if start else 200, headers | {"Content-Length": str(len(content) - start)})
        if body:
            left = server.refuse.get(path.name)
            self.wfile.write(content[start:][: left.pop() if left else None])
        return None


def test_a_hub_listing_is_of_its_folder_alone_and_empty_where_it_cannot_be_had(monkeypatch):
    files = ["copy/revos.zip", "copying/other.zip", "copy.zip"]
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", lambda *args, **options: files)
    assert Hub("o/r", "copy", None).listing() == ["copy/revos.zip"]
    assert Hub("o/r", "", None).listing() == files

    def fail(*args, **options):
        raise RuntimeError("the connection broke")

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", fail)
    assert Hub("o/r", "copy", None).listing() == []


def test_a_hub_repository_is_read_by_its_own_client(server, here, tmp_path):
    server.http.RequestHandlerClass = type("Handler", (_HubHandler,), {"server_of": server})
    server.refuse[TRACKS] = [900]  # the first connection breaks
    (server.folder / layout.EXPRESSIONS["train_sub"]).unlink()
    environment = os.environ | {
        "HF_ENDPOINT": server.address.removesuffix("/data"),
        "HF_HOME": str(tmp_path / "hub-home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "PYTHONPATH": str(Path(revos.__file__).parent),
    }
    done = subprocess.run(
        [sys.executable, "-c", _ON_THE_HUB % dict(SHA256), "download", str(here.root)]
        + ["--from", "hf://datasets/o/r/copy@v1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {file.name: file.state for file in checksums.verify(here).files}
    assert found.pop(layout.EXPRESSIONS["train_sub"]) == "missing"
    assert set(found.values()) == {"official"}
    assert leftovers(here) == []
    assert not (here.root / ".hub-download").exists()
    assert len(server.asked(TRACKS)) == 2


# --- load_dataset(source=...) -----------------------------------------------------------------------------------------


def load(tmp_path, name="videos", **options):
    return datasets.load_dataset("revos", name, cache_dir=str(tmp_path / "cache"), **options)


def test_a_dataset_is_loaded_from_a_source_and_then_from_the_cache(server, mirror, tmp_path):
    loaded = load(tmp_path, source=server.address)
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 3, "validation": 1, "train_sub": 1}
    frame = loaded["train"][0]["frames"][0]
    assert frame["path"].endswith(str(tmp_path / "cache" / "downloads" / "revos" / FRAMES_ARCHIVE))
    assert open_frame(frame).size == (64, 48)
    assert not (tmp_path / "cache" / "downloads" / "revos" / FRAMES_FOLDER).exists()  # nothing is unpacked
    server.requests.clear()
    assert len(load(tmp_path, source=server.address, split="train")) == 3
    assert len(load(tmp_path, "expressions", source=server.address, split="train")) > 3  # built, from the same files
    assert server.requests == []


def test_a_dataset_is_streamed_from_a_source(mirror, tmp_path):
    rows = list(load(tmp_path, source=str(mirror), streaming=True, split="validation"))
    assert len(rows) == 1
    assert open_frame(rows[0]["frames"][0]).size == (64, 48)


def test_a_source_and_a_folder_put_the_files_there(mirror, here, tmp_path):
    assert len(load(tmp_path, source=str(mirror), data_dir=str(here.root), split="validation")) == 1
    assert all_official(here)
    assert (here.root / FRAMES_ARCHIVE).is_file()


def test_the_cache_is_named_after_the_source_and_the_checksums(mirror, tmp_path, monkeypatch):
    def name(**options):
        return revos.Revos(cache_dir=str(tmp_path / "cache"), **options).cache_dir

    names = {name(source="a"), name(source="b"), name(source="a", decode_frames=True)}
    assert len(names) == 3
    assert name(source="a") in names
    monkeypatch.setitem(layout.SHA256, TRACKS, "0" * 64)
    assert name(source="a") not in names


def test_a_source_that_gives_something_else_builds_nothing(server, tmp_path):
    server.content[TRACKS] = b"{}"
    with pytest.raises(DownloadError, match=r"mask_dict\.json: 2 bytes that are not the official file"):
        load(tmp_path, source=server.address)
