"""Archives that nobody should be able to import: a good one, and what an attacker makes of it."""

from __future__ import annotations

import hashlib
import json
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from recorded_studies import resolved

from fake_artefacts import fake_artefact

Members = dict[str, bytes]
Change = Callable[["Good"], None]


class Good(NamedTuple):
    """The members of an archive as `export` writes them, the keys of its two artefacts, and where it is to go."""

    members: Members
    keys: list[str]
    path: Path

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads(self.members["manifest.json"])

    def write(self, extra: list[tuple[zipfile.ZipInfo, bytes]] | None = None, manifest: Any = None) -> None:
        """Write the archive; its manifest names what is in it, or is the given one."""
        listed = {name: data for name, data in self.members.items() if name != "manifest.json"}
        stated = (
            manifest if manifest is not None else {**self.manifest, "files": [entry(*one) for one in listed.items()]}
        )
        with warnings.catch_warnings(), zipfile.ZipFile(self.path, "w") as zipped:
            warnings.simplefilter("ignore")  # of names that are there twice
            for name, data in [("manifest.json", json.dumps(stated).encode()), *listed.items()]:
                zipped.writestr(plain(name), data)
            for info, data in extra or []:
                zipped.writestr(info, data)

    def also(self, name: str, data: bytes = b"evil", **fields: Any) -> None:
        """Write the archive with one more member, which its manifest lists."""
        files = [entry(*one) for one in self.members.items() if one[0] != "manifest.json"]
        info = plain(name)
        for field, value in {"filename": name, **fields}.items():
            setattr(info, field, value)
        self.write([(info, data)], {**self.manifest, "files": [*files, entry(name, data)]})


def entry(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def plain(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o100644 << 16
    info.compress_type = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
    return info


def good_archive(folder: Path) -> Good:
    source = folder / "source"
    keys = [fake_artefact(source, number, content=bytes([number]) * 3000) for number in (1, 2)]
    members: Members = {"manifest.json": json.dumps({"format": 1, "study": resolved("carried"), "files": []}).encode()}
    for key in keys:
        for name in ("DONE.json", "a.bin"):
            members[f"artefacts/{key}/{name}"] = (source / "artefacts" / key[:2] / key / name).read_bytes()
    return Good(members, keys, folder / "evil.zip")


def patched_directory(path: Path, name: str, offset: int, value: int) -> None:
    """Change four bytes of a member's entry in the archive's directory."""
    data = bytearray(path.read_bytes())
    start = 0
    while (start := data.find(b"PK\x01\x02", start)) >= 0:
        if data[start + 46 : start + 46 + len(name)] == name.encode():
            struct.pack_into("<I", data, start + offset, value)
        start += 4
    path.write_bytes(bytes(data))


SIZE, PACKED_SIZE, OFFSET = 24, 20, 42  # where a directory entry keeps them


def names(name: str) -> Change:
    return lambda good: good.also(name.replace("KEY", good.keys[0]))


def of_kind(mode: int) -> Change:
    def change(good: Good) -> None:
        good.also(f"artefacts/{good.keys[0]}/link", b"/etc/passwd", external_attr=(mode | 0o777) << 16)

    return change


def forged(record: dict[str, Any]) -> bytes:
    """A record whose own digest fits what it says now."""
    said = {name: value for name, value in record.items() if name != "sha256"}
    own = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    return json.dumps(said | {"sha256": own}).encode()


def record_with(**fields: Any) -> Change:
    """DONE.json of the first artefact with other fields, all hashes of the archive made to fit."""

    def change(good: Good) -> None:
        name = f"artefacts/{good.keys[0]}/DONE.json"
        good.members[name] = forged(json.loads(good.members[name]) | fields)
        good.write()

    return change


def record_text(text: str) -> Change:
    def change(good: Good) -> None:
        good.members[f"artefacts/{good.keys[0]}/DONE.json"] = text.encode()
        good.write()

    return change


def manifest_with(**fields: Any) -> Change:
    def change(good: Good) -> None:
        files = [entry(*one) for one in good.members.items() if one[0] != "manifest.json"]
        good.write(manifest={**good.manifest, "files": files} | fields)

    return change


def wrong_key(good: Good) -> None:
    """A whole artefact under the key of another."""
    for name in ("DONE.json", "a.bin"):
        good.members[f"artefacts/{'ab' * 32}/{name}"] = good.members.pop(f"artefacts/{good.keys[0]}/{name}")
    good.write()


def wrong_key_that_says_so(good: Good) -> None:
    """The same, and its record names that key too."""
    wrong_key(good)
    name = f"artefacts/{'ab' * 32}/DONE.json"
    good.members[name] = forged(json.loads(good.members[name]) | {"key": "ab" * 32})
    good.write()


def other_content(good: Good) -> None:
    name = f"artefacts/{good.keys[1]}/a.bin"
    manifest = {**good.manifest, "files": [entry(*one) for one in good.members.items() if one[0] != "manifest.json"]}
    good.members[name] = b"\x07" * 3000
    good.write(manifest=manifest)


def other_content_with_its_hash(good: Good) -> None:
    good.members[f"artefacts/{good.keys[1]}/a.bin"] = b"\x07" * 3000
    good.write()


def no_record(good: Good) -> None:
    del good.members[f"artefacts/{good.keys[0]}/DONE.json"]
    good.write()


def one_more_file(good: Good) -> None:
    good.also(f"artefacts/{good.keys[0]}/more.bin")


def unlisted(good: Good) -> None:
    good.write([(plain(f"artefacts/{good.keys[0]}/more.bin"), b"evil")])


def listed_and_not_there(good: Good) -> None:
    files = [entry(*one) for one in good.members.items() if one[0] != "manifest.json"]
    good.write(manifest={**good.manifest, "files": [*files, entry(f"artefacts/{good.keys[0]}/b.bin", b"x")]})


def duplicate(good: Good) -> None:
    name = f"artefacts/{good.keys[0]}/a.bin"
    good.write([(plain(name), good.members[name])])


def listed_twice(good: Good) -> None:
    files = [entry(*one) for one in good.members.items() if one[0] != "manifest.json"]
    good.write(manifest={**good.manifest, "files": [*files, files[0]]})


def file_and_folder(good: Good) -> None:
    good.also(f"artefacts/{good.keys[0]}/a.bin/b")


def same_but_for_case(good: Good) -> None:
    good.also(f"artefacts/{good.keys[0]}/A.bin")


def no_manifest(good: Good) -> None:
    with zipfile.ZipFile(good.path, "w") as zipped:
        for name, data in good.members.items():
            if name != "manifest.json":
                zipped.writestr(plain(name), data)


def packed_bomb(good: Good) -> None:
    good.also(f"artefacts/{good.keys[0]}/zeros.bin", b"\0" * 10_000_000, compress_type=zipfile.ZIP_DEFLATED)


def packed_json_bomb(good: Good) -> None:
    good.also(f"artefacts/{good.keys[0]}/zeros.json", b"\0" * 20_000_000)


def many_packed_jsons(good: Good) -> None:
    for number in range(5):
        good.members[f"artefacts/{good.keys[0]}/zeros{number}.json"] = b"\0" * 15_000_000
    good.write()


def lzma_packed(good: Good) -> None:
    good.also(f"artefacts/{good.keys[0]}/b.bin", b"\0" * 1000, compress_type=zipfile.ZIP_LZMA)


def longer_than_it_says(good: Good) -> None:
    """Deflated data that unpack to more than the directory, the manifest and the record say."""
    name, done = f"artefacts/{good.keys[0]}/more.json", f"artefacts/{good.keys[0]}/DONE.json"
    stated = {**entry(name, b" " * 1_000_000), "bytes": 10}
    record = json.loads(good.members[done])
    record["files"]["more.json"] = {"bytes": 10, "sha256": stated["sha256"]}
    good.members[done] = forged(record)
    files = [entry(*one) for one in good.members.items() if one[0] != "manifest.json"]
    good.write([(plain(name), b" " * 1_000_000)], {**good.manifest, "files": [*files, stated]})
    patched_directory(good.path, name, SIZE, 10)


def huge_declared_size(good: Good) -> None:
    name = f"artefacts/{good.keys[0]}/a.bin"
    files = [entry(*one) for one in good.members.items() if one[0] != "manifest.json"]
    files = [{**one, "bytes": 4_000_000_000} if one["name"] == name else one for one in files]
    good.write(manifest={**good.manifest, "files": files})
    patched_directory(good.path, name, SIZE, 4_000_000_000)


def larger_than_it_is(good: Good) -> None:
    name = f"artefacts/{good.keys[0]}/a.bin"
    files = [entry(*one) for one in good.members.items() if one[0] != "manifest.json"]
    good.write(manifest={**good.manifest, "files": [{**one, "bytes": one["bytes"] + 1} for one in files]})
    for one in files:
        patched_directory(good.path, one["name"], SIZE, one["bytes"] + 1)
    patched_directory(good.path, name, PACKED_SIZE, 3001)


def overlapping(good: Good) -> None:
    """Two members that are the same bytes."""
    good.write()
    with zipfile.ZipFile(good.path) as zipped:
        first = zipped.getinfo(f"artefacts/{good.keys[0]}/a.bin").header_offset
    patched_directory(good.path, f"artefacts/{good.keys[1]}/a.bin", OFFSET, first)


def encrypted(good: Good) -> None:
    good.write()
    name = f"artefacts/{good.keys[0]}/a.bin"
    data = bytearray(good.path.read_bytes())
    start = data.find(b"PK\x01\x02")
    while data[start + 46 : start + 46 + len(name)] != name.encode():
        start = data.find(b"PK\x01\x02", start + 4)
    data[start + 8] |= 1
    good.path.write_bytes(bytes(data))


def no_zip(good: Good) -> None:
    good.path.write_bytes(b"PK\x03\x04" + b"no zip at all" * 100)


def empty_file(good: Good) -> None:
    good.path.write_bytes(b"")


def a_folder(good: Good) -> None:
    good.path.mkdir()


def not_there(good: Good) -> None:
    pass


def truncated(good: Good) -> None:
    good.write()
    good.path.write_bytes(good.path.read_bytes()[:-500])


def flipped_bytes(good: Good) -> None:
    good.write()
    data = bytearray(good.path.read_bytes())
    at = data.find(b"\x01" * 100)
    data[at + 50] ^= 0xFF
    good.path.write_bytes(bytes(data))


DIRECT: dict[Change, str] = {  # and the words that it is refused with
    wrong_key: "is not what its key says",
    wrong_key_that_says_so: "is not what its key says",
    other_content: "sha256 differs",
    other_content_with_its_hash: "states other files",
    no_record: "has no DONE.json",
    one_more_file: "states other files",
    unlisted: "not in both",
    listed_and_not_there: "not in both",
    duplicate: "is in it twice",
    listed_twice: "names a file twice",
    file_and_folder: "is in it twice",
    same_but_for_case: "is in it twice",
    no_manifest: "has no manifest.json",
    packed_bomb: "packed in a way",
    packed_json_bomb: "packed in a way",
    many_packed_jsons: "--max-size allows",
    lzma_packed: "packed in a way",
    longer_than_it_says: "Bad CRC-32",
    huge_declared_size: "--max-size allows",
    larger_than_it_is: "overlaps another",
    overlapping: "overlaps another",
    encrypted: "encrypted",
    no_zip: "no zip archive",
    empty_file: "no zip archive",
    a_folder: "it is no plain file",
    not_there: "No such file",
    truncated: "no zip archive",
    flipped_bytes: "Bad CRC-32",
}
ODD_NAMES = [
    "../evil",
    "../../../../tmp/evil",
    "/etc/evil",
    "//server/share/evil",
    "C:/evil",
    "C:evil",
    "..\\evil",
    "artefacts\\KEY\\evil",
    "artefacts/KEY/..\\..\\evil",
    "artefacts/KEY/../../evil",
    "artefacts/KEY/sub/../../../evil",
    "artefacts/../evil/x",
    "artefacts/KEY/./evil",
    "artefacts/KEY//evil",
    "artefacts/KEY/",
    "artefacts/KEY",
    "artefacts/KEY/sub/",
    "artefacts/KEY/.hidden",
    "artefacts/KEY/..",
    "artefacts/KEY/a:stream",
    "artefacts/KEY/evil\n",
    "artefacts/KEY/ev\x00il",
    "artefacts/KEY/evil\x00.bin",
    "artefacts/KEY/~",
    "artefacts/KEY/naïve",
    "artefacts/KEY/" + "x" * 300,
    "artefacts/KEY/" + "d/" * 50 + "x",
    "artefacts/short/a.bin",
    "artefacts/" + "G" * 64 + "/a.bin",
    "artefacts/" + "AB" * 32 + "/a.bin",
    "work/KEY/checkpoint.safetensors",
    "studies/evil.json",
    "STORE.json",
    "locks/KEY.lock",
    "Manifest.json",
    "",
]
KINDS = {
    "symlink": stat.S_IFLNK,
    "folder": stat.S_IFDIR,
    "device": stat.S_IFBLK,
    "pipe": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
}
RECORDS: dict[str, Change] = {
    "other fields": record_with(fields={"n": 99, "share": 0.1}),
    "other stage": record_with(stage="keep"),
    "other version": record_with(version=2),
    "no files": record_with(files={}),
    "files that are none": record_with(files=[]),
    "a file outside": record_with(files={"../../evil": {"bytes": 1, "sha256": "0" * 64}}),
    "newer format": record_with(format=2),
    "label that is none": record_with(label=5),
    "made that is none": record_with(made=None),
    "a date that is none": record_with(made={"at": 5, "seconds": 1}),
    "a date that no zone has": record_with(made={"at": "9999-12-31T23:59:59-23:59", "seconds": 1}),
    "a date before all": record_with(made={"at": "0001-01-01T00:00:00+14:00", "seconds": 1}),
    "endless seconds": record_with(made={"at": "2026-01-02T03:04:05+00:00", "seconds": float("inf")}),
    "seconds beyond floats": record_with(made={"at": "2026-01-02T03:04:05+00:00", "seconds": 10**400}),
    "no seconds": record_with(made={"at": "2026-01-02T03:04:05+00:00"}),
    "bytes beyond columns": record_with(files={"a.bin": {"bytes": 10**400, "sha256": "0" * 64}}),
    "fewer bytes than none": record_with(files={"a.bin": {"bytes": -1, "sha256": "0" * 64}}),
    "inputs that are numbers": record_with(inputs=[5]),
    "inputs that are deep": record_with(inputs=[[[]]]),
    "another digest of its own": record_text('{"files": {}, "sha256": "0"}'),
    "inputs that are none": record_with(inputs=["../up"]),
    "version that is none": record_with(version="1"),
    "fields with NaN": record_with(fields={"n": float("nan")}),
    "no JSON": record_text("{"),
    "a list": record_text("[]"),
    "no text": record_text("\x00"),
    "deep": record_text("[" * 100_000),
}
MANIFESTS: dict[str, Change] = {
    "newer": manifest_with(format=2),
    "no format": manifest_with(format="1"),
    "unknown field": manifest_with(more=1),
    "no study": manifest_with(study=None),
    "study of nothing": manifest_with(study={}),
    "study with an evil name": manifest_with(study={**resolved("a"), "name": "../../evil"}),
    "study of unknown settings": manifest_with(study={**resolved("a"), "shell": "rm"}),
    "files that are none": manifest_with(files=[1]),
    "negative size": manifest_with(files=[{"name": "artefacts/x", "bytes": -1, "sha256": "0" * 64}]),
    "no files": manifest_with(files=[]),
}
EVIL: dict[str, tuple[Change, str]] = {
    **{change.__name__: (change, words) for change, words in DIRECT.items()},
    **{f"name {name[:40]!r}": (names(name), "it has a member ") for name in ODD_NAMES},
    **{f"a {kind}": (of_kind(mode), "plain files are expected") for kind, mode in KINDS.items()},
    **{f"record, {what}": (change, "") for what, change in RECORDS.items()},
    **{f"manifest, {what}": (change, "") for what, change in MANIFESTS.items()},
}
