"""The official files in a dataset repository on the Hugging Face Hub."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

from revoskit.archives.answers import reason
from revoskit.errors import DownloadError, MissingFilesError, RevosError, UsageError
from revoskit.getting.resuming import Broken, patiently, refuse_offline
from revoskit.text import shown

HUB = "hf://datasets/"
STAGING = ".hub-download"


@dataclass(frozen=True)
class Hub:
    """A dataset repository on the Hugging Face Hub, read by its own client: with its token, its resuming, its cache."""

    repo_id: str
    folder: str
    revision: str | None
    token: str | bool | None = field(default=None, repr=False)

    continues = False  # its own client keeps what came, elsewhere

    @classmethod
    def at(cls, address: str, token: str | bool | None = None) -> Hub:
        match = re.fullmatch(
            HUB + r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<early>refs/(pr|convert)/\w+|[^/@]+))?(?P<folder>(/[^/@]+)*)/?"
            r"(@(?P<late>[^@]+))?",
            address,
        )
        if not match or (match["early"] and match["late"]) or ".." in match["folder"].split("/"):
            raise UsageError(f"{shown(address)} is not of the form {HUB}<owner>/<repo>[/folder][@revision]")
        revision = match["early"] or match["late"]
        return cls(match["repo"], match["folder"].strip("/"), revision and unquote(revision), token)

    def size(self, name: str) -> int | None:
        refuse_offline()
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        try:
            url = hf_hub_url(self.repo_id, self._path(name), repo_type="dataset", revision=self.revision)
            return get_hf_file_metadata(url, token=self.token).size
        except Exception:  # whatever it is (the client's HTTP library differs by version), fetching will tell
            return None

    def listing(self) -> list[str]:
        from huggingface_hub import HfApi

        api = HfApi(token=self.token)
        try:
            files = api.list_repo_files(self.repo_id, repo_type="dataset", revision=self.revision)
        except Exception:  # as in `size`; the list only says what else there is
            return []
        return [file for file in files if file.startswith(self._path(""))]

    def fetch(self, name: str, partial: Path, most: int) -> bool:
        refuse_offline()
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            HFValidationError,
            LocalEntryNotFoundError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )

        staging = partial.parent / STAGING

        def attempt() -> None:
            try:
                got = hf_hub_download(
                    self.repo_id, self._path(name), repo_type="dataset", revision=self.revision, local_dir=staging,
                    token=self.token,
                )  # fmt: skip
            except LocalEntryNotFoundError as error:  # that is what "no connection" looks like
                raise Broken(reason(error)) from error
            except EntryNotFoundError as error:
                raise MissingFilesError(f"{self.repo_id} has no {self._path(name)}") from error
            except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError, OfflineModeIsEnabled) as error:
                raise DownloadError(shown(f"{self}: {error}")) from error
            except RevosError:
                raise
            except Exception as error:  # the client's HTTP library, and so its errors, differ by version
                if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                    raise DownloadError(f"the disk of {partial.parent} is full; what came is kept") from error
                raise Broken(reason(error)) from error
            os.replace(got, partial)

        patiently(attempt, lambda: _size_below(staging), f"{self}: {name}")
        return True

    def address(self, name: str) -> str:
        """Where a file is, as fsspec writes it."""
        revision = f"@{quote(self.revision, safe='')}" if self.revision else ""
        return f"{HUB}{self.repo_id}{revision}/{self._path(name)}"

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def __str__(self) -> str:
        folder = f"/{self.folder}" if self.folder else ""
        return f"{HUB}{self.repo_id}{folder}{f'@{self.revision}' if self.revision else ''}"


def _size_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
