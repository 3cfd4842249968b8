"""Zip archives of artefacts, read as untrusted input: everything is checked before anything is used."""

from __future__ import annotations

import hashlib
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError

from outshine.engine.checked_reading import open_plain
from outshine.engine.errors import OutshineError
from outshine.engine.settings import Settings, explain

MANIFEST = "manifest.json"
_MANIFEST_BYTES = 256 * 10**6  # no more is read of it
_CHUNK = 1 << 20
_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_MEMBER = re.compile(rf"artefacts/([0-9a-f]{{64}})/({_PART}(?:/{_PART}){{0,7}})")
_LOCAL_HEADER = 30  # bytes before a member's name
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, NotImplementedError)
PACKED_BYTES = 16 * 10**6  # JSON up to this long is deflated; all else is stored as it is, so that nothing swells


class ArchiveError(OutshineError):
    """An archive that is damaged, or that no outshine wrote."""


class File(Settings):
    """A file in an archive: `artefacts/<key>/<name>`, how long it is and what is in it."""

    name: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(Settings):
    """What an archive holds: a resolved study and all files of its artefacts."""

    format: Literal[1] = 1
    study: dict[str, JsonValue]
    files: tuple[File, ...]

    def by_key(self) -> dict[str, list[File]]:
        """Return the files of each artefact."""
        by_key: dict[str, list[File]] = {}
        for file in self.files:
            by_key.setdefault(split_member(file.name)[0], []).append(file)
        return by_key


def packing(name: str, num_bytes: int) -> int:
    """How zipfile packs a member of that name and size."""
    packed = name.endswith(".json") and num_bytes <= PACKED_BYTES
    return zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED


def member(key: str, name: str) -> str:
    """Where a file of an artefact stands in an archive. Raises ArchiveError for a name that cannot be carried."""
    whole = f"artefacts/{key}/{name}"
    if not _MEMBER.fullmatch(whole):
        raise ArchiveError(f"artefact {key[:16]} has a file '{name}', a name that archives do not carry")
    return whole


def split_member(name: str) -> tuple[str, str]:
    """Split a member's name into the key and the file's name in its artefact. Raises ArchiveError for any other."""
    match = _MEMBER.fullmatch(name)
    if not match:
        raise ArchiveError(f"it has a member {name[:100]!r}; artefacts/KEY/FILE is expected")
    return match[1], match[2]


class Archive:
    """An open archive whose names and sizes are in order. What is in the files is checked as they are read."""

    def __init__(self, zipped: zipfile.ZipFile, max_bytes: int) -> None:
        infos = {info.filename: info for info in zipped.infolist()}
        _check_members(zipped.infolist(), max_bytes)
        self._zipped = zipped
        self.manifest = _manifest(zipped, infos.get(MANIFEST))
        _check_listed(self.manifest, infos)

    def chunks(self, file: File) -> Iterator[bytes]:
        """Yield a file's content. Raises ArchiveError where it is not as long, or not what the manifest says."""
        seen, sha256 = 0, hashlib.sha256()
        with reading(), self._zipped.open(file.name) as source:
            while data := source.read(min(_CHUNK, file.bytes - seen + 1)):
                seen += len(data)
                if seen > file.bytes:
                    raise ArchiveError(f"'{file.name}' is longer than the {file.bytes} bytes that it says")
                sha256.update(data)
                yield data
        if seen != file.bytes:
            raise ArchiveError(f"'{file.name}' has {seen} bytes where {file.bytes} are expected")
        if sha256.hexdigest() != file.sha256:
            raise ArchiveError(f"'{file.name}' is not what was exported (sha256 differs)")


@contextmanager
def open_archive(path: Path, max_bytes: int) -> Iterator[Archive]:
    """An archive to import. Raises ArchiveError in one line for whatever is wrong with it, then or while it is read.

    `max_bytes`: no more is unpacked in all.
    """
    try:
        with ExitStack() as stack:
            with reading():
                zipped = stack.enter_context(zipfile.ZipFile(stack.enter_context(open_plain(path))))
            yield Archive(zipped, max_bytes)
    except ArchiveError as error:
        raise ArchiveError(f"the archive {path} cannot be imported: {error}") from None


@contextmanager
def reading() -> Iterator[None]:
    """Turn what zipfile says of a broken archive into an ArchiveError."""
    try:
        yield
    except OSError as error:
        raise ArchiveError(f"it cannot be read ({error.strerror or error})") from None
    except _BROKEN as error:
        raise ArchiveError(f"it is damaged or no zip archive ({error})") from None


def _check_members(infos: list[zipfile.ZipInfo], max_bytes: int) -> None:
    """Names, kinds and sizes, by the archive's directory alone."""
    for info in infos:
        if info.orig_filename != info.filename or "\\" in info.filename:
            raise ArchiveError(f"it has a member {info.orig_filename[:100]!r}; artefacts/KEY/FILE is expected")
        if info.filename != MANIFEST:
            split_member(info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG) or info.is_dir():
            raise ArchiveError(f"'{info.filename}' is a link, a folder or a device; plain files are expected")
        if info.flag_bits & 0x1 or info.compress_type != packing(info.filename, info.file_size):
            raise ArchiveError(f"'{info.filename}' is encrypted or packed in a way that outshine does not use")
    counts = Counter(info.filename.casefold() for info in infos)
    folders = {parent.as_posix().casefold() for info in infos for parent in Path(info.filename).parents}
    for info in infos:
        if counts[info.filename.casefold()] > 1 or info.filename.casefold() in folders:
            raise ArchiveError(f"'{info.filename}' is in it twice")
    total = sum(info.file_size for info in infos)
    if total > max_bytes:
        raise ArchiveError(f"it unpacks to {total:,} bytes and --max-size allows {max_bytes:,}; raise --max-size")
    _check_apart(infos)


def _check_apart(infos: list[zipfile.ZipInfo]) -> None:
    """Members that share bytes are how small archives unpack to huge ones."""
    end = 0
    for info in sorted(infos, key=lambda entry: entry.header_offset):
        if info.header_offset < end:
            raise ArchiveError(f"'{info.filename}' overlaps another member")
        end = info.header_offset + _LOCAL_HEADER + len(info.filename) + info.compress_size


def _manifest(zipped: zipfile.ZipFile, info: zipfile.ZipInfo | None) -> Manifest:
    if info is None:
        raise ArchiveError(f"it has no {MANIFEST}; an archive from `outshine export` is expected")
    with reading(), zipped.open(info) as file:
        text = file.read(_MANIFEST_BYTES + 1)
    if len(text) > _MANIFEST_BYTES:
        raise ArchiveError(f"its {MANIFEST} is longer than {_MANIFEST_BYTES:,} bytes")
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first: Any = explain(error, MANIFEST)
        raise ArchiveError(str(first)[:300]) from None


def _check_listed(manifest: Manifest, infos: dict[str, zipfile.ZipInfo]) -> None:
    listed = {file.name: file for file in manifest.files}
    if len(listed) != len(manifest.files):
        raise ArchiveError(f"its {MANIFEST} names a file twice")
    if odd := sorted((infos.keys() - {MANIFEST}) ^ listed.keys()):
        raise ArchiveError(f"'{odd[0][:150]}' is either in it or in its {MANIFEST}, not in both")
    for name, file in listed.items():
        if infos[name].file_size != file.bytes:
            raise ArchiveError(f"'{name}' is to have {file.bytes} bytes and has {infos[name].file_size}")
