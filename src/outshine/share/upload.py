"""Upload of files to a repository of the hub, in one commit, by the hub's own client."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from outshine.engine.errors import HubError
from outshine.engine.hub import Repo, ask
from outshine.share.repository_files import MANIFEST, Files

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_OF_THE_HUB = frozenset({".gitattributes"})  # what a new repository holds


class PushResult(NamedTuple):
    """Where the files are now."""

    url: str
    commit: str


def check_name(repo: str) -> None:
    """That it names a repository. Raises HubError."""
    if not _NAME.fullmatch(repo) or ".." in repo or "--" in repo or len(repo) > 96:
        raise HubError(f"'{repo}' names no repository of the hub; expected is owner/name, such as me/sciq-student")


def push(files: Files, repo: str, message: str, *, private: bool) -> PushResult:
    """Make the repository, where there is none, hold exactly these files.

    Raises HubError where it may not be written, where it holds what outshine did not write, and where it is public
    though `private` is asked for: nothing is uploaded then.
    """
    from huggingface_hub import HfApi, get_token

    check_name(repo)
    if get_token() is None:
        raise HubError("no token to write to the hub with: set HF_TOKEN to one that may write, or `hf auth login`")
    api = HfApi()
    _ask_to_write(repo, lambda: api.create_repo(repo, private=private or None, exist_ok=True))
    there = _ask_to_write(repo, lambda: _check_ours(api, repo, private))
    return _ask_to_write(repo, lambda: _commit(api, files, repo, message, obsolete=there - files.keys()))


def _check_ours(api: HfApi, repo: str, private: bool) -> set[str]:
    """The files that are there. Raises HubError where they must not be touched, or could be seen by others."""
    info = api.model_info(repo)
    if private and not info.private:
        raise HubError(f"'{repo}' exists and is public; make it private on its page, or name a new repository")
    there = {sibling.rfilename for sibling in info.siblings or ()} - _OF_THE_HUB
    if there and MANIFEST not in there:
        raise HubError(f"'{repo}' holds files that outshine did not write ({sorted(there)[0]}); name a new repository")
    return there


def _commit(api: HfApi, files: Files, repo: str, message: str, obsolete: set[str]) -> PushResult:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        CommitOperationAdd(name, content) for name, content in files.items()
    ]
    operations += [CommitOperationDelete(name) for name in sorted(obsolete)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "It seems that you are about to commit a data file")  # predictions
        warnings.filterwarnings("ignore", "Warnings while validating metadata")
        done = api.create_commit(repo, operations, commit_message=message)
    return PushResult(done.commit_url.rpartition("/commit/")[0], done.oid)


def _ask_to_write(repo: str, call: Callable[[], T]) -> T:
    """Call the hub's client as `hub.ask` does; what keeps one from writing is told in one line."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    def writing() -> T:
        try:
            return _unwrapped(call)
        except OfflineModeIsEnabled:
            raise HubError(f"nothing can be pushed to '{repo}' while HF_HUB_OFFLINE is set") from None
        except HfHubHTTPError as error:
            if error.response is not None and error.response.status_code in (401, 403):
                raise HubError(
                    f"the hub does not let this token write to '{repo}' (status {error.response.status_code}); the "
                    "token must be valid, allowed to write, and its user an owner or member"
                ) from error
            raise
        except ValueError as error:
            if "metadata in README.md" not in str(error):
                raise
            raise HubError(f"the hub refuses what the card says of itself ({error}); check --license") from error

    return ask(Repo("model", repo), writing)


def _unwrapped(call: Callable[[], T]) -> T:
    """Call the client; what went wrong with one of many files is raised as if it were the only one."""
    from huggingface_hub.errors import HTTPError  # pyright: ignore[reportPrivateImportUsage] -- as in `hub.ask`

    try:
        return call()
    except RuntimeError as error:
        if isinstance(error.__cause__, HTTPError):
            raise error.__cause__ from None
        raise
