"""Uploads a published folder to the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from huggingface_hub import HfApi, get_token
from huggingface_hub.utils import HFValidationError, RepositoryNotFoundError, validate_repo_id
from tabulate import tabulate

from revoskit.errors import RevosError, UsageError
from revoskit.publishing.card import COPYRIGHT
from revoskit.publishing.publish import CARD, human_size
from revoskit.publishing.shards import Content, WrittenShard

Answer = TypeVar("Answer")

ANSWER_SECONDS = 30
LOG_IN = "log in with `hf auth login`, or set $HF_TOKEN"


class Target(msgspec.Struct, frozen=True):
    """A dataset repository on the Hub."""

    repository: str
    private: bool = False
    """Make it private where it is new, and refuse it where it exists and is not."""


def check_access(target: Target) -> None:
    """See, before hours of work, that the repository can be written to by whoever is logged in.

    Raises:
        UsageError: the name is not OWNER/NAME, nobody is logged in or somebody whose repository it cannot be, the token
            may not write, or the repository is public and was to be private.
        RevosError: the Hub cannot be reached, or refuses.
    """
    if target.repository.count("/") != 1:
        raise UsageError(f"{target.repository!r} is not of the form OWNER/NAME (--push)")
    try:
        validate_repo_id(target.repository)
    except HFValidationError as error:
        raise UsageError(f"{target.repository!r} cannot be a repository (--push): {error}") from None
    if get_token() is None:
        raise UsageError(f"nobody is logged in to the Hub: {LOG_IN}")
    _refuse_public(target)  # first: of these requests, it alone does not wait for ever
    _check_owner(target, _on_hub(HfApi().whoami))


def _check_owner(target: Target, account: dict[str, Any]) -> None:
    owner, name = target.repository.split("/")
    user = account["name"]
    owners = [user, *(organization["name"] for organization in account.get("orgs", []))]
    if owner.casefold() not in (one.casefold() for one in owners):
        raise UsageError(
            f"{owner} is not you ({user}) and not an organization of yours: push to {' or '.join(owners)}, such as "
            f"{user}/{name}, or {LOG_IN} as somebody else"
        )
    if account.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise UsageError(
            f"the token of {user} may only read: make one that may write, at {HfApi().endpoint}/settings/tokens"
        )


def describe(folder: Path, written: list[WrittenShard], target: Target, content: Content) -> str:
    """What an upload would put where, and what that means: to be read before agreeing to it. Asks the Hub who sees it.

    Raises:
        RevosError: the Hub cannot be reached, or refuses.
    """
    sizes: dict[str, list[int]] = {CARD: [(folder / CARD).stat().st_size]}
    for one in written:
        sizes.setdefault(one.shard.pattern, []).append(one.file_bytes)
    files = [[path, f"{len(some):,}", human_size(sum(some))] for path, some in sizes.items()]
    table = tabulate(files, ["", "files", "size"], colalign=("left", "right", "right"), disable_numparse=True)
    is_private = _is_private(target)
    kind = "a new repository" if is_private is None else "which exists"
    seen_by = "private: you, and those you let in" if is_private or target.private else "public: anyone"
    embedded = content.frames == "embed" and any(one.shard.config == "videos" for one in written)
    frames = (
        "The files hold FRAMES of these videos: see that the terms of each source dataset let you pass them on."
        if embedded
        else "The files hold annotations only, none of the videos' frames."
    )
    return (
        f"From: {folder}\nTo:   {_url(target)}, {kind} ({seen_by})\n\n{table}\n\n{COPYRIGHT}\n{frames}\n"
        "The card says so, and gives the license as cc-by-nc-sa-4.0."
    )


def upload(folder: Path, written: list[WrittenShard], target: Target) -> str:
    """Upload the shards, then the card; what an interrupted upload brought there is not sent again.

    Returns:
        The address.

    Raises:
        UsageError: the repository is public and was to be private.
        RevosError: the Hub cannot be reached, or refuses.
    """

    def send() -> None:
        api = HfApi()
        api.create_repo(target.repository, repo_type="dataset", private=target.private, exist_ok=True)
        _refuse_public(target)
        api.upload_folder(
            repo_id=target.repository,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=[one.shard.path for one in written],  # other files may lie in the folder
            commit_message="Add the shards",
        )
        api.upload_file(
            repo_id=target.repository,
            repo_type="dataset",
            path_or_fileobj=folder / CARD,
            path_in_repo=CARD,
            commit_message="Add the card",
        )

    _on_hub(send, "The same command continues where this stopped.")
    return _url(target)


def _refuse_public(target: Target) -> None:
    if _is_private(target) is False and target.private:
        raise UsageError(f"{_url(target)} exists and is public: make it private in its settings, or name another")


def _is_private(target: Target) -> bool | None:
    """Whether the repository is; None where there is none, or none that may be seen."""

    def ask() -> bool | None:
        try:
            found = HfApi().repo_info(target.repository, repo_type="dataset", timeout=ANSWER_SECONDS)
        except RepositoryNotFoundError:
            return None
        return bool(found.private)

    return _on_hub(ask)


def _url(target: Target) -> str:
    return f"{HfApi().endpoint}/datasets/{target.repository}"


def _on_hub(request: Callable[[], Answer], then: str = "") -> Answer:
    """Ask the Hub something. Which errors its client lets through depends on the HTTP library of its version."""
    try:
        return request()
    except RevosError:
        raise
    except Exception as error:
        said, cause = str(error), str(error.__cause__ or "")
        if cause not in said:
            said = f"{said} {cause}"
        status = getattr(getattr(error, "response", None), "status_code", None)
        advice = ""
        if status == 401:
            advice = f"To be let in, {LOG_IN}."
        elif status == 403:
            advice = "See that you and your token may write there."
        lines = [f"the Hub ({HfApi().endpoint}): {said}", advice, then]
        raise RevosError("\n".join(line for line in lines if line)) from error
