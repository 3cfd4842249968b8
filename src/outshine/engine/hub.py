"""Calls to the hub: bounded retries, no progress bars, refusals in one line."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

from outshine.engine.errors import HubError, OutshineError, SettingsError

RETRY_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before each new try of a hub that answers "try again"
NUM_RETRIES_UNREACHABLE = 2  # of those, for a hub that does not answer at all
RETRY_DEADLINE = 40.0  # seconds after which nothing is tried again (the client retries some calls by itself)
REQUEST_TIMEOUT = 10.0  # seconds
KNOCK_TIMEOUT = 3.0  # seconds
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_TOKEN = re.compile(r"[!-~]+")  # what an HTTP header can carry

RepoKind = Literal["model", "dataset"]
T = TypeVar("T")


class NoAnswerError(HubError):
    """The hub did not answer, or kept answering that it cannot just now."""


class NotAHubError(HubError):
    """What answered is no hub: a proxy's page, or another server at HF_ENDPOINT."""


class Repo(NamedTuple):
    """A repository of the hub, and the branch, tag or commit meant."""

    kind: RepoKind
    name: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


class Snapshot(NamedTuple):
    """Files of a repository at one commit, in the hub client's own cache."""

    commit: str
    folder: Path


def snapshot(repo: Repo, patterns: Sequence[str]) -> Snapshot:
    """The files of `repo` that match `patterns`, at the commit that its revision names now.

    A pattern is a name or glob of files at the top of the repository; with a slash, of files in a folder.
    Offline (HF_HUB_OFFLINE=1) or with the hub out of reach, the commit and the files come from the cache
    if they are all there. Raises HubError.
    """
    from huggingface_hub import snapshot_download

    at_top = [pattern for pattern in patterns if "/" not in pattern]
    in_folders = [pattern for pattern in patterns if "/" in pattern]

    def download() -> str:
        revision, folder = repo.revision, ""
        for allowed, ignored in ((at_top, ["*/*"]), (in_folders, None)):  # the client's `*` matches a slash too
            if allowed:
                folder = snapshot_download(
                    repo.name, repo_type=repo.kind, revision=revision, allow_patterns=allowed, ignore_patterns=ignored
                )
                revision = checked_commit(Path(folder).name)
        return folder

    folder = Path(ask(repo, download))
    return Snapshot(folder.name, folder)


def checked_commit(told: Any) -> str:
    """The commit that a hub names. Raises ValueError where that is none: to be called inside of `ask`."""
    if not isinstance(told, str) or not _COMMIT.fullmatch(told):
        raise ValueError(f"it names {told!r} in place of a commit")
    return told


def answers() -> bool:
    """Whether there is a hub to ask: one short request, no second try. False where HF_HUB_OFFLINE is set.

    Raises HubError for an answer that is none of HTTP, and SettingsError where HF_ENDPOINT is no address.
    """
    from huggingface_hub.errors import (
        HTTPError,  # pyright: ignore[reportPrivateImportUsage] -- as below
        OfflineModeIsEnabled,
    )
    from huggingface_hub.utils import get_session

    _check_endpoint()
    with _understood():
        try:
            return get_session().head(_endpoint(), timeout=KNOCK_TIMEOUT).status_code not in TRANSIENT
        except (HTTPError, OfflineModeIsEnabled):
            return False


@contextmanager
def offline() -> Iterator[None]:
    """The client works from its cache alone while the block runs, as with HF_HUB_OFFLINE=1."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def ask(repo: Repo, call: Callable[[], T]) -> T:
    """Call the hub's client; retry what may pass (5xx, time-outs, resets) with growing waits, within a deadline.

    What is read from an answer belongs into the call: whatever that raises becomes a HubError in one line. Raises
    SettingsError where HF_ENDPOINT or the token cannot be used.
    """
    _check_endpoint()
    with _understood():
        _check_token()
        return _ask(repo, call)


def _ask(repo: Repo, call: Callable[[], T]) -> T:
    from huggingface_hub.errors import (
        HFValidationError,
        HTTPError,  # pyright: ignore[reportPrivateImportUsage] -- the transport's, whichever the client uses
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    started = time.monotonic()
    num_tries = 0
    while True:
        num_tries += 1
        try:
            with quiet():
                return call()
        except RecursionError:  # an answer nested too deep, which no retry mends
            raise
        except (HTTPError, OfflineModeIsEnabled, LocalEntryNotFoundError, RuntimeError) as error:
            # the client reports a failed look-up as a file missing from the cache, with the reason as its cause;
            # its transfer engine (hf_xet) raises bare RuntimeErrors when a transfer breaks off
            cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) else error
            waits = _waits(cause)
            if num_tries > len(waits) or time.monotonic() - started > RETRY_DEADLINE:
                raise _explain(repo, cause, num_tries) from error
            time.sleep(waits[num_tries - 1])
        except HFValidationError:
            raise HubError(f"'{repo.name}' is neither a folder nor the name of a hub {repo.kind} (org/name)") from None
        except OSError as error:
            raise HubError(
                f"'{repo.name}' cannot be kept in the hub cache ({_first_line(error)}); "
                f"make room, or set HF_HOME to a folder that can be written"
            ) from error


@contextmanager
def _understood() -> Iterator[None]:
    """The one guard round what a hub answers: any error of reading it is told as such."""
    try:
        yield
    except (OutshineError, MemoryError):
        raise
    except Exception as error:  # a server of another kind makes the client raise anything
        raise NotAHubError(
            f"{_endpoint()} does not answer like a hub ({_first_line(error)}); check HF_ENDPOINT and proxies"
        ) from error


def _check_endpoint() -> None:
    """Raises SettingsError where HF_ENDPOINT is no address."""
    try:
        parts = urlsplit(_endpoint())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number, brackets that do not close
        usable = False
    if not usable or not _TOKEN.fullmatch(_endpoint()):
        raise SettingsError(f"HF_ENDPOINT is '{_endpoint()}'; an address such as https://huggingface.co is expected")


def _check_token() -> None:
    """Raises SettingsError where the user's token cannot be read or sent. It is shown in no case."""
    from huggingface_hub import constants, get_token

    names = [name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if os.environ.get(name)]
    source = names[0] if names else f"the token file {constants.HF_TOKEN_PATH}"
    try:
        token = get_token()
    except (OSError, ValueError) as error:
        why = type(error).__name__ if isinstance(error, ValueError) else error.strerror
        raise SettingsError(f"{source} cannot be read ({why}); mend it, delete it, or set HF_TOKEN") from None
    if token and not _TOKEN.fullmatch(token):
        raise SettingsError(f"{source} holds a character that no token has (such as a blank or an accent); set it anew")


def _waits(cause: BaseException | None) -> tuple[float, ...]:
    """Seconds to wait before each retry of what failed by `cause`; empty where a retry is no use."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(cause, OfflineModeIsEnabled):
        return ()
    status = _status(cause)
    if status is None:
        return RETRY_WAITS[:NUM_RETRIES_UNREACHABLE]
    return RETRY_WAITS if status in TRANSIENT else ()


def _status(error: BaseException | None) -> int | None:
    """The HTTP status of the hub's answer; None where there was no answer."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _explain(repo: Repo, cause: BaseException | None, num_tries: int) -> HubError:
    """What went wrong and what to do about it, in one line."""
    from huggingface_hub import errors

    what, where = str(repo), _endpoint()
    status = _status(cause)
    if isinstance(cause, errors.OfflineModeIsEnabled):
        return NoAnswerError(f"{what} is not in the cache {cache_folder()} and HF_HUB_OFFLINE is set; {_OFFLINE_HELP}")
    if isinstance(cause, errors.GatedRepoError):
        return HubError(f"{what} is gated: accept its terms at {_page(repo)}, then set HF_TOKEN")
    if isinstance(cause, errors.RevisionNotFoundError):
        return HubError(f"{what} at {where} has no revision '{repo.revision}' or no longer has the commit asked for")
    if status == 401 or isinstance(cause, errors.RepositoryNotFoundError):
        return HubError(f"{what} is not at {where}, or is private or gated; check the name, or set HF_TOKEN")
    if status is None:
        return NoAnswerError(f"the hub at {where} cannot be reached ({_first_line(cause)}); {_OFFLINE_HELP}")
    if status in TRANSIENT:
        return NoAnswerError(
            f"the hub at {where} answers {status} for {what} ({num_tries} tries); try later, or {_OFFLINE_HELP}"
        )
    return HubError(f"the hub at {where} refuses {what} with status {status}: {_first_line(cause)}")


_OFFLINE_HELP = (
    "to work offline run once with a network, so that the files lie in the cache, then set HF_HUB_OFFLINE=1; "
    "or use files and models on disk, or the embedded default (`outshine demo`)"
)


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines() if error is not None else []
    return lines[0] if lines else type(error).__name__


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def _page(repo: Repo) -> str:
    return f"{_endpoint()}/datasets/{repo.name}" if repo.kind == "dataset" else f"{_endpoint()}/{repo.name}"


def cache_folder() -> Path:
    """Where the client keeps what it fetched."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


@contextmanager
def quiet() -> Iterator[None]:
    """The client's own bars and notices off; progress has one place to be shown, and it is not here."""
    from huggingface_hub import constants
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    verbosity = logging.get_verbosity()
    hide_bars = constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not are_progress_bars_disabled()
    logging.set_verbosity_error()
    if hide_bars:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if hide_bars:
            enable_progress_bars()
