"""Uploads a published folder to the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from huggingface_hub import HfApi, get_token
from huggingface_hub.hf_api import DatasetInfo
from huggingface_hub.utils import HFValidationError, RepositoryNotFoundError, validate_repo_id
from tabulate import tabulate

from revoskit.errors import RevosError, UsageError
from revoskit.publishing.card import COPYRIGHT
from revoskit.publishing.preview import PREVIEW
from revoskit.publishing.publish import CARD, Plan, human_size
from revoskit.publishing.shards import Content, Shard, WrittenShard

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
    check_name(target)
    if get_token() is None:
        raise UsageError(f"nobody is logged in to the Hub: {LOG_IN}")
    _refuse_public(target)  # first: of these requests, it alone does not wait for ever
    _check_owner(target, _on_hub(HfApi().whoami))


def check_name(target: Target) -> None:
    """See that the name is one that a repository can have.

    Raises:
        UsageError: it is not.
    """
    if target.repository.count("/") != 1:
        raise UsageError(f"{target.repository!r} is not of the form OWNER/NAME (--push)")
    try:
        validate_repo_id(target.repository)
    except HFValidationError as error:
        raise UsageError(f"{target.repository!r} cannot be a repository (--push): {error}") from None


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


class Upload(msgspec.Struct, frozen=True):
    """What would be sent where, as far as it is known."""

    folder: Path
    target: Target
    files: dict[str, list[int]]
    """The bytes of each file, by the pattern of its path."""
    shown: str
    """What of the videos' frames is among them, as `_shown` says it."""
    is_private: bool | None = None
    """Whether the repository that is there may be seen by few; None where there is none."""
    outdated: tuple[str, ...] = ()
    """Shards of the same splits in the repository that are not of this publication, and go when it arrives."""


def prepare(folder: Path, written: list[WrittenShard], target: Target, content: Content) -> Upload:
    """What there is to send, and what the Hub has of it.

    Raises:
        RevosError: the Hub cannot be reached, or refuses.
    """
    files: dict[str, list[int]] = {CARD: [(folder / CARD).stat().st_size]}
    for one in written:
        files.setdefault(one.shard.pattern, []).append(one.file_bytes)
    there = _look(target)
    shards = [one.shard for one in written]
    shown = _shown(shards, content)
    if there is None:
        return Upload(folder, target, files, shown)
    outdated = _outdated([sibling.rfilename for sibling in there.siblings or []], shards)
    return Upload(folder, target, files, shown, bool(there.private), outdated)


def _shown(shards: Sequence[Shard], content: Content) -> str:
    """What of the videos' frames the shards hold."""
    configs = {shard.config for shard in shards}
    terms = "see that the terms of each source dataset let you pass them on."
    if content.frames == "embed" and "videos" in configs:
        return f"The files hold FRAMES of these videos: {terms}"
    if PREVIEW in configs:
        return f"The files hold small PICTURES of these videos' frames: {terms}"
    return "The files hold annotations only, none of the videos' frames."


def _outdated(there: Iterable[str], shards: Sequence[Shard]) -> tuple[str, ...]:
    """What an earlier upload left of these splits: another number of shards has other names, which are read too."""
    ours = {shard.path for shard in shards}
    theirs = [re.escape(pattern) for pattern in {f"{shard.config}/{shard.split}" for shard in shards}]
    shape = re.compile(rf"(?:{'|'.join(theirs)})-\d{{5}}-of-\d{{5}}\.parquet")
    return tuple(sorted(path for path in there if shape.fullmatch(path) and path not in ours))


def describe(upload: Upload) -> str:
    """What an upload would put where, and what that means: to be read before agreeing to it."""
    is_private = upload.is_private
    kind = "a new repository" if is_private is None else "which exists"
    seen_by = "private: you, and those you let in" if is_private or upload.target.private else "public: anyone"
    return "\n\n".join(
        [
            f"From: {upload.folder}\nTo:   {_url(upload.target)}, {kind} ({seen_by})",
            _table(upload.files) + _removed(upload.outdated),
            _terms(upload.shown),
        ]
    )


def describe_plan(folder: Path, plan: Plan, target: Target) -> str:
    """The same before anything is written, without asking the Hub: sizes are those of the official files."""
    files: dict[str, list[int]] = {}
    for shard in plan.shards:
        files.setdefault(shard.pattern, []).append(shard.num_bytes)
    seen_by = "private: you, and those you let in" if target.private else "public, unless it is a private one already"
    return "\n\n".join(
        [
            f"From: {folder}\nTo:   {_url(target)} ({seen_by})",
            _table(files)
            + f"\nand {CARD}. Sizes are of the frames and masks in the official files; compressed masks take "
            "less.\nShards of these splits that lie there and are not of this division are removed in the same commit.",
            _terms(_shown(plan.shards, plan.content)),
        ]
    )


def _table(files: dict[str, list[int]]) -> str:
    rows = [[path, f"{len(some):,}", human_size(sum(some))] for path, some in files.items()]
    return tabulate(rows, ["", "files", "size"], colalign=("left", "right", "right"), disable_numparse=True)


def _removed(outdated: Sequence[str]) -> str:
    if not outdated:
        return ""
    shown = ", ".join(outdated[:3]) + (", …" if len(outdated) > 3 else "")
    return f"\nRemoved in the same commit, since they are of an earlier division: {len(outdated):,} files ({shown})"


def _terms(shown: str) -> str:
    return f"{COPYRIGHT}\n{shown}\nThe card says so, and gives the license as cc-by-nc-sa-4.0."


def send(upload: Upload, written: list[WrittenShard]) -> str:
    """Upload shards and card, and remove outdated shards, in one commit; what arrived earlier is not sent again.

    Returns:
        The address.

    Raises:
        UsageError: the repository is public and was to be private.
        RevosError: the Hub cannot be reached, or refuses.
    """
    target = upload.target

    def commit() -> None:
        api = HfApi()
        api.create_repo(target.repository, repo_type="dataset", private=target.private, exist_ok=True)
        _refuse_public(target)
        api.upload_folder(
            repo_id=target.repository,
            repo_type="dataset",
            folder_path=upload.folder,
            allow_patterns=[CARD, *(one.shard.path for one in written)],  # other files may lie in the folder
            delete_patterns=list(upload.outdated) or None,
            commit_message="Publish the dataset",
        )

    _on_hub(commit, "The same command continues where this stopped.")
    return _url(target)


def _refuse_public(target: Target) -> None:
    there = _look(target)
    if there is not None and not there.private and target.private:
        raise UsageError(f"{_url(target)} exists and is public: make it private in its settings, or name another")


def _look(target: Target) -> DatasetInfo | None:
    """What the Hub says of the repository; None where there is none, or none that may be seen."""

    def ask() -> DatasetInfo | None:
        try:
            return HfApi().dataset_info(target.repository, timeout=ANSWER_SECONDS)
        except RepositoryNotFoundError:
            return None

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
