"""A stand-in for the Hugging Face Hub on loopback: what `huggingface_hub` and `datasets` ask of it, kept in memory.

It speaks the protocol of Git LFS, checks the SHA-256 of what it is sent, and knows one user. It has no Xet storage, so
clients must be told $HF_HUB_DISABLE_XET=1.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_standin"


@dataclass
class Repository:
    private: bool
    files: dict[str, str] = field(default_factory=dict)  # path -> SHA-256 of its content
    commits: int = 0

    @property
    def sha(self) -> str:
        return hashlib.sha1(repr((self.commits, self.files)).encode()).hexdigest()


class StandInHub:
    """Use as a context manager; `environment` is what a client's process needs to talk to it."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.received: list[str] = []  # the SHA-256 of every object that was sent
        self.refuse_uploads_after: int | None = None
        self.organizations: list[str] = []
        self.role = "write"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.environment = {"HF_ENDPOINT": self.address, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}

    def __enter__(self) -> StandInHub:
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    def content(self, repository: str, path: str) -> bytes:
        return self.objects[self.repositories[repository].files[path]]

    def keep(self, content: bytes) -> str:
        oid = hashlib.sha256(content).hexdigest()
        self.objects[oid] = content
        return oid


class _Handler(BaseHTTPRequestHandler):
    hub: StandInHub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits 40 ms for the word that its head has come

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        self._route("GET")

    def do_HEAD(self) -> None:
        self._route("HEAD")

    def do_POST(self) -> None:
        self._route("POST")

    def do_PUT(self) -> None:
        self._route("PUT")

    def _route(self, method: str) -> None:
        path = unquote(urlsplit(self.path).path)
        self.body = self._read_body()
        if not path.startswith("/lfs/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._reply(401, {"error": "Invalid username or password."})
        for verb, pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and verb in (method, "GET" if method == "HEAD" else method):
                arguments = found.groupdict()
                if "repository" in arguments:
                    repository = self.hub.repositories.get(arguments.pop("repository"))
                    if repository is None:
                        return self._reply(404, {"error": "Not found"}, {"X-Error-Code": "RepoNotFound"})
                    arguments = {"repository": repository, **arguments}
                return answer(self, **arguments)
        return self._reply(404, {"error": f"the stand-in has no {method} {path}"}, {"X-Error-Code": "EntryNotFound"})

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _reply(self, status: int, content: dict | list | bytes, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # --- accounts and repositories

    def whoami(self) -> None:
        organizations = [{"type": "org", "name": name} for name in self.hub.organizations]
        token = {"accessToken": {"displayName": "made", "role": self.hub.role}}
        self._reply(200, {"type": "user", "name": "someone", "orgs": organizations, "auth": token})

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or 'someone'}/{asked['name']}"
        answer = {"url": f"{self.hub.address}/datasets/{name}", "name": name}
        if name in self.hub.repositories:
            return self._reply(409, {"error": "You already created this dataset repo", **answer})
        self.hub.repositories[name] = Repository(asked.get("private", asked.get("visibility") == "private"))
        return self._reply(200, answer)

    def info(self, repository: Repository, revision: str | None = None) -> None:
        about = {"id": self._name(repository), "sha": repository.sha, "private": repository.private, "tags": []}
        self._reply(200, {**about, "siblings": [{"rfilename": path} for path in repository.files]})

    def _name(self, repository: Repository) -> str:
        return next(name for name, one in self.hub.repositories.items() if one is repository)

    # --- upload

    def validate_yaml(self) -> None:
        self._reply(200, {"errors": [], "warnings": []})

    def preupload(self, repository: Repository, revision: str) -> None:
        asked = json.loads(self.body)["files"]
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".parquet") else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in asked
        ]
        self._reply(200, {"files": files})

    def lfs_batch(self, repository: Repository) -> None:
        objects = []
        for asked in json.loads(self.body)["objects"]:
            upload = {"upload": {"href": f"{self.hub.address}/lfs/{asked['oid']}", "header": {}}}
            known = asked["oid"] in self.hub.objects
            objects.append({**asked, **({} if known else {"actions": upload})})
        self._reply(200, {"transfer": "basic", "objects": objects}, {"Content-Type": "application/vnd.git-lfs+json"})

    def lfs_put(self, oid: str) -> None:
        limit = self.hub.refuse_uploads_after
        if limit is not None and len(self.hub.received) >= limit:
            return self._reply(403, {"error": "the upload is interrupted here"})
        if self.hub.keep(self.body) != oid:
            del self.hub.objects[hashlib.sha256(self.body).hexdigest()]
            return self._reply(400, {"error": "the content does not have the SHA-256 that was announced"})
        self.hub.received.append(oid)
        return self._reply(200, {})

    def commit(self, repository: Repository, revision: str) -> None:
        for line in self.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if operation["key"] == "file":
                repository.files[value["path"]] = self.hub.keep(base64.b64decode(value["content"]))
            elif operation["key"] == "lfsFile":
                if value["oid"] not in self.hub.objects:
                    return self._reply(400, {"error": f"{value['path']}: no such object"})
                repository.files[value["path"]] = value["oid"]
            elif operation["key"] == "deletedFile":
                del repository.files[value["path"]]
        repository.commits += 1
        url = f"{self.hub.address}/datasets/{self._name(repository)}/commit/{repository.sha}"
        return self._reply(200, {"commitUrl": url, "commitOid": repository.sha})

    # --- download

    def tree(self, repository: Repository, revision: str, folder: str | None = None) -> None:
        inside = [path for path in repository.files if path.startswith(f"{folder}/" if folder else "")]
        if not inside:
            return self._reply(404, {"error": "no such folder"}, {"X-Error-Code": "EntryNotFound"})
        recursive = "recursive=true" in self.path.lower()
        start = len(folder) + 1 if folder else 0
        entries = [self._entry(repository, path) for path in inside if recursive or "/" not in path[start:]]
        folders = dict.fromkeys(path[: path.index("/", start)] for path in inside if "/" in path[start:])
        return self._reply(200, entries + [{"type": "directory", "oid": "0", "path": path} for path in folders])

    def paths_info(self, repository: Repository, revision: str) -> None:
        is_json = "json" in self.headers.get("Content-Type", "")  # old clients send a form
        asked = json.loads(self.body)["paths"] if is_json else parse_qs(self.body.decode())["paths"]
        found = [self._entry(repository, path) for path in asked if path in repository.files]
        folders = [path for path in asked if any(file.startswith(f"{path}/") for file in repository.files)]
        self._reply(200, found + [{"type": "directory", "oid": "0", "path": path} for path in folders])

    def _entry(self, repository: Repository, path: str) -> dict:
        oid = repository.files[path]
        size = len(self.hub.objects[oid])
        entry = {"type": "file", "oid": oid[:40], "size": size, "path": path}
        return entry | ({"lfs": {"oid": oid, "size": size, "pointerSize": 134}} if path.endswith(".parquet") else {})

    def resolve(self, repository: Repository, revision: str, path: str) -> None:
        if path not in repository.files:
            return self._reply(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        content = self.hub.objects[repository.files[path]]
        status, headers = 200, {"ETag": f'"{repository.files[path]}"', "X-Repo-Commit": repository.sha}
        headers["Accept-Ranges"] = "bytes"
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(found[1]), int(found[2] or len(content) - 1)
            status, headers["Content-Range"] = 206, f"bytes {start}-{end}/{len(content)}"
            content = content[start : end + 1]
        return self._reply(status, content, headers)


_NAME = r"(?P<repository>[^/]+/[^/]+?)"
_API = rf"/api/datasets/{_NAME}"
_ROUTES = [
    ("GET", r"/api/whoami-v2", _Handler.whoami),
    ("POST", r"/api/repos/create", _Handler.create),
    ("POST", r"/api/validate-yaml", _Handler.validate_yaml),
    ("POST", rf"{_API}/preupload/(?P<revision>[^/]+)", _Handler.preupload),
    ("POST", rf"{_API}/commit/(?P<revision>[^/]+)", _Handler.commit),
    ("POST", rf"{_API}/paths-info/(?P<revision>[^/]+)", _Handler.paths_info),
    ("GET", rf"{_API}/tree/(?P<revision>[^/]+)/?(?P<folder>.+)?", _Handler.tree),
    ("GET", rf"{_API}(/revision/(?P<revision>[^/]+))?", _Handler.info),
    ("POST", rf"/datasets/{_NAME}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler.lfs_put),
    ("GET", rf"/datasets/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
]
