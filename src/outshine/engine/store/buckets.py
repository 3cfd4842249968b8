"""Object storage through fsspec: S3, Google Cloud Storage, and this process's memory for tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import unquote, urlsplit

from outshine.engine.errors import StoreError
from outshine.engine.store.objects import FolderObjects, Objects

_EXTRAS = {
    "s3": "pip install 'outshine[s3]'",
    "s3a": "pip install 'outshine[s3]'",
    "gs": "pip install gcsfs",
    "gcs": "pip install gcsfs",
}
_KNOWN = ("file", "local", "memory", *_EXTRAS)
_RETRIES = 3  # by s3fs, each of them up to
_ATTEMPTS = 2  # requests by botocore
_UNREACHABLE = re.compile(
    r"EndpointConnection|ConnectTimeout|ReadTimeout|ConnectionClosed|ConnectionError|ClientConnector|ProxyConnection"
    r"|FSTimeout|ServerDisconnected|HTTPClientError"
)
_DENIED = {
    *("AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidSecurity", "403", "Forbidden"),
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed"),
}
_CLIENTS = ("fsspec", "s3fs", "gcsfs", "botocore", "aiobotocore", "aiohttp", "google")
_ONE_AT_A_TIME = Lock()  # fsspec's memory looks before it writes, and others may write in between


def without_credentials(text: str) -> str:
    """A URL, or a message with URLs in it, without `user:password@`."""
    return re.sub(r"://([^/\s]*|[^/:@\s]+:\S*)@", "://", text)


def open_objects(url: str) -> Objects:
    """The objects below a URL. Raises StoreError where it is not understood or its client is not installed."""
    scheme = url.split("://", 1)[0].lower()
    shown = without_credentials(url)
    if scheme not in _KNOWN:
        raise StoreError(
            f"the store {shown}: nothing is known of '{scheme}://' that would keep two from writing at once; "
            f"known: {', '.join(f'{name}://' for name in _KNOWN)}, or a folder"
        )
    if scheme in ("file", "local"):
        path = Path(unquote(url.split("://", 1)[1]))
        if not path.is_absolute():
            raise StoreError(
                f"the store {shown}: an absolute path is expected after {scheme}://, such as file:///shared"
            )
        return FolderObjects(path)
    return BucketObjects(url)


class BucketObjects(Objects):
    """Objects of a bucket below a prefix."""

    def __init__(self, url: str) -> None:
        scheme, rest = without_credentials(url).split("://", 1)
        self.where = f"{scheme}://{rest.rstrip('/')}"
        if not rest.strip("/"):
            raise StoreError(f"the store {self.where}: a bucket is expected, such as {scheme}://bucket/prefix")
        self._fs = self._client(scheme.lower(), url)
        self._base = str(self._fs._strip_protocol(self.where))
        self._alone = scheme.lower() == "memory"

    def _client(self, scheme: str, url: str) -> Any:
        import fsspec

        try:
            fsspec.get_filesystem_class(scheme)
        except ImportError:
            raise StoreError(f"the store {self.where} needs a package that is missing: {_EXTRAS[scheme]}") from None
        options: dict[str, Any] = {}
        if scheme in ("s3", "s3a"):
            parts = urlsplit(url)
            if parts.username and parts.password:
                options = {"key": unquote(parts.username), "secret": unquote(parts.password)}
            elif self.where != url.rstrip("/"):
                raise StoreError(
                    f"the store {self.where}: credentials in a URL are expected as key:secret@, with '/' written %2F; "
                    "better set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                )
            retries = {"mode": "standard", "total_max_attempts": _ATTEMPTS}
            options |= {"use_listings_cache": False, "config_kwargs": {"retries": retries}}
        elif self.where != url.rstrip("/"):
            raise StoreError(f"the store {self.where}: credentials in a URL are understood for s3:// only")
        with self._told():
            client = fsspec.filesystem(scheme, **options)
        if scheme in ("s3", "s3a"):
            client.retries = _RETRIES
        return client

    def read(self, name: str) -> bytes | None:
        with self._told():
            try:
                return bytes(self._fs.cat_file(self._path(name)))
            except FileNotFoundError as error:
                self._check_bucket(error)
                return None

    def read_many(self, names: Iterable[str]) -> dict[str, bytes]:
        paths = {self._path(name): name for name in names}
        if not paths:
            return {}
        with self._told():
            contents = self._fs.cat(list(paths), on_error="return")
            for error in contents.values():
                if isinstance(error, Exception) and not isinstance(error, FileNotFoundError):
                    raise error
        return {paths[path]: bytes(data) for path, data in contents.items() if not isinstance(data, Exception)}

    def write(self, name: str, data: bytes) -> None:
        with self._told():
            self._fs.pipe_file(self._path(name), data)

    def create(self, name: str, data: bytes) -> bool:
        with self._told():
            try:
                with _ONE_AT_A_TIME if self._alone else nullcontext():
                    self._fs.pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                # the answer to a first request may have been lost: the object is ours, and only the repeat was refused
                return self.read(name) == data
            except Exception as error:
                if _code(error) in ("PreconditionFailed", "412", "ConditionalRequestConflict", "409"):
                    return self.read(name) == data
                raise
        return True

    def list(self, prefix: str) -> dict[str, int]:
        with self._told():
            self._fs.invalidate_cache()
            try:
                infos = self._fs.find(self._path(prefix), detail=True)
            except FileNotFoundError as error:
                self._check_bucket(error)
                return {}
        return {path[len(self._base) + 1 :]: int(info["size"]) for path, info in infos.items()}

    def remove(self, name: str) -> None:
        with self._told():
            try:
                self._fs.rm_file(self._path(name))
            except (FileNotFoundError, KeyError):
                return

    def fetch(self, name: str, path: Path) -> bool:
        with self._told(path):
            try:
                self._fs.get_file(self._path(name), str(path))
            except FileNotFoundError as error:
                self._check_bucket(error)
                return False
        return True

    def send(self, path: Path, name: str) -> None:
        with self._told(path):
            self._fs.put_file(str(path), self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}"

    @staticmethod
    def _check_bucket(error: Exception) -> None:
        if _code(error) == "NoSuchBucket":
            raise error

    @contextmanager
    def _told(self, local: Path | None = None) -> Iterator[None]:
        """Turn what the client and the server refuse into one clear line. Trouble with `local` is left as it is."""
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            if local is not None and isinstance(error, OSError) and error.filename == str(local):
                raise
            if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in _CLIENTS:
                raise
            problem = StoreError(f"the store {self.where}: {_problem(error)}")
            if without_credentials(str(error)) != str(error):
                raise problem from None  # its traceback would show them
            raise problem from error


def _problem(error: Exception) -> str:
    kind, code = " ".join(type(cause).__name__ for cause in _chain(error)), _code(error)
    if re.search(r"NoCredentials|PartialCredentials|DefaultCredentials|TokenRetrieval|NoAuthToken", kind):
        return (
            "no credentials are found; set them as its client expects them, such as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY or a profile"
        )
    if code == "NoSuchBucket":
        return "there is no such bucket; create it, or name another place with --store"
    if code in _DENIED or "PermissionError" in kind:
        return f"permission is denied{f' ({code})' if code else ''}; check the credentials and what they allow"
    if _UNREACHABLE.search(kind) or "TimeoutError" in kind:
        return "the server cannot be reached; check the network and the address (for S3: AWS_ENDPOINT_URL)"
    words = " ".join(without_credentials(str(error)).split())
    return f"the server or its client refuses: {type(error).__name__}{f' {code}' if code else ''} {words}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__  # type: ignore[assignment]


def _code(error: BaseException) -> str | None:
    """Return the server's own word for what is wrong."""
    for cause in _chain(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", "")) or None
    return None
