"""Uploads a published folder to the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from huggingface_hub import HfApi
from huggingface_hub.errors import HFValidationError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id

from revoskit.card import COPYRIGHT
from revoskit.errors import RevosError, UsageError
from revoskit.publish import CARD, human_size
from revoskit.shards import CONFIGS, Content

Answer = TypeVar("Answer")

UPLOADED = [CARD, *(f"{config}/*.parquet" for config in CONFIGS)]


class Target(msgspec.Struct, frozen=True):
    """A dataset repository on the Hub."""

    repository: str
    private: bool = False


def check_access(target: Target) -> None:
    """See, before hours of work, that the name can be one and that someone is logged in.

    Raises:
        UsageError: the name is not OWNER/NAME, or nobody is logged in.
        RevosError: the Hub cannot be reached, or refuses.
    """
    try:
        validate_repo_id(target.repository)
    except HFValidationError as error:
        raise UsageError(f"{target.repository!r} cannot be a repository: {error}") from None
    if target.repository.count("/") != 1:
        raise UsageError(f"{target.repository!r} is not of the form OWNER/NAME")
    _on_hub(HfApi().whoami)


def describe(folder: Path, target: Target, content: Content) -> str:
    """What an upload would put where, and what that means: to be read before agreeing to it."""
    files = [path for pattern in UPLOADED for path in sorted(folder.glob(pattern))]
    size = human_size(sum(path.stat().st_size for path in files))
    seen_by = "private: you, and those you let in" if target.private else "public: anyone"
    frames = (
        "The files hold FRAMES of these videos: see that the terms of each source dataset let you pass them on."
        if content.frames == "embed"
        else "The files hold annotations only, none of the videos' frames."
    )
    return (
        f"To upload: {len(files)} files, {size}, from {folder}\n"
        f"To:        {_url(target)} ({seen_by})\n\n{COPYRIGHT}\n{frames}\n"
        "The card says so, and gives the license as cc-by-nc-sa-4.0."
    )


def upload(folder: Path, target: Target) -> str:
    """Upload the shards and the card; what an interrupted upload brought there is not sent again. Returns the address.

    Raises:
        UsageError: nobody is logged in, or the repository is public and was to be private.
        RevosError: the Hub cannot be reached, or refuses.
    """
    return _on_hub(lambda: _upload(folder, target))


def _upload(folder: Path, target: Target) -> str:
    api = HfApi()
    api.create_repo(target.repository, repo_type="dataset", private=target.private, exist_ok=True)
    if target.private and not api.repo_info(target.repository, repo_type="dataset").private:
        raise UsageError(f"{_url(target)} exists and is public: make it private in its settings, or name another")
    # Until 1.x the resumable upload had a name of its own; since 2.0 every upload of a folder is.
    send = getattr(api, "upload_large_folder", api.upload_folder)
    send(repo_id=target.repository, folder_path=str(folder), repo_type="dataset", allow_patterns=UPLOADED)
    return _url(target)


def _url(target: Target) -> str:
    return f"{HfApi().endpoint}/datasets/{target.repository}"


def _on_hub(request: Callable[[], Answer]) -> Answer:
    """Ask the Hub something. Which errors its client lets through depends on the HTTP library of its version."""
    try:
        return request()
    except RevosError:
        raise
    except LocalTokenNotFoundError:
        raise UsageError("nobody is logged in to the Hub: run `hf auth login`, or set $HF_TOKEN") from None
    except Exception as error:
        said = " ".join(dict.fromkeys(str(one) for one in (error, error.__cause__) if one))
        raise RevosError(f"{HfApi().endpoint}: {said}\nThe same command continues where this stopped.") from error
