"""Datasets on the hub: pinned to a commit, fetched by the hub's own client, read offline from its cache.

A dataset is read from its Parquet export (`<config>/<split>/*.parquet` on `refs/convert/parquet`), which
exists for every public dataset, loading script or not. The commit is resolved once and becomes part of the
identity; everything after that names the commit, never the branch.

The client's cache knows files but not which files make up a split, and a half-fetched split must never pass
for a whole one. So the list of shards is written beside the cached files before the first is fetched
(`<cache>/datasets--org--name/outshine/<config>.json`); it goes when the cached dataset is deleted.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from pathlib import Path

from outshine.data.rows import Hub, ParquetRows, Pools
from outshine.engine.errors import HubError
from outshine.engine.hub import REQUEST_TIMEOUT, NoAnswerError, Repo, ask, cache_folder, checked_commit

_COMMIT = re.compile(r"[0-9a-f]{7,64}")

Shards = dict[str, list[str]]
"""Split name -> its Parquet files, as paths inside the repository."""


def identify_hub(hub: Hub) -> str:
    """`hub:<repo>@<commit>`: the commit that the dataset's export is at now.

    Where the hub does not answer or HF_HUB_OFFLINE is set: the commit whose files lie in the local cache.
    Raises HubError where the repository cannot be read (missing, private, gated) or nothing is cached.
    """
    try:
        commit = _resolve(hub)
    except NoAnswerError:
        commit = _cached_commit(hub)
        if commit is None:
            raise
    return f"hub:{hub.repo}@{commit}"


def open_hub(hub: Hub, identity: str) -> Pools:
    """The rows of the dataset at the commit of `identity`, fetched where they are not cached.

    Raises HubError where a file is not cached and cannot be downloaded.
    """
    paths = paths_on_hub(hub, identity)
    if hub.pooled:
        together = [path for split in hub.pooled for path in paths[split]]
        return Pools(ParquetRows(together), None, hub.test_size)
    return Pools(ParquetRows(paths[hub.train]), ParquetRows(paths[hub.test]), hub.test_size)


def paths_on_hub(hub: Hub, identity: str) -> dict[str, list[Path]]:
    """The files of each split at the commit of `identity`, fetched where they are not cached. Raises HubError."""
    commit = _commit_in(identity, hub)
    shards = _recorded(hub).get(commit)
    return (_cached_paths(hub, commit, shards) if shards else None) or _fetch(hub, commit)


def identify_repo(repo: str) -> str:
    """`identify_hub` where configuration and splits are still open.

    Offline the last commit of which these are known. Raises HubError as that does.
    """
    hub = Hub(repo)
    try:
        commit = _resolve(hub)
    except NoAnswerError:
        known = _read_record(_layouts_file(hub))
        if not known:
            raise
        commit = list(known)[-1]
    return f"hub:{repo}@{commit}"


def splits_on_hub(repo: str, identity: str) -> dict[str, list[str]]:
    """Configuration -> its splits, of the dataset at the commit of `identity`.

    Kept beside the cached files: what happens to lie in the cache is not all that there is. Raises HubError where
    nobody answers and nothing is kept.
    """
    hub = Hub(repo)
    commit = _commit_in(identity, hub)
    if kept := _read_record(_layouts_file(hub)).get(commit):
        return kept
    splits_of: dict[str, list[str]] = {}
    for name in _list_files(hub, commit):
        parts = name.split("/")
        if name.endswith(".parquet") and len(parts) == 3 and parts[1] not in splits_of.setdefault(parts[0], []):
            splits_of[parts[0]].append(parts[1])
    _write_record(_layouts_file(hub), commit, splits_of)
    return splits_of


def _commit_in(identity: str, hub: Hub) -> str:
    repo, _, commit = identity.removeprefix("hub:").partition("@")
    if repo != hub.repo or not _COMMIT.fullmatch(commit):  # from the `sources` of a study file
        raise HubError(f"'{identity}' is no source of this dataset; hub:{hub.repo}@COMMIT is expected")
    return commit


def _repo(hub: Hub) -> Repo:
    return Repo("dataset", hub.repo, hub.revision)


def _splits(hub: Hub) -> tuple[str, ...]:
    return hub.pooled or (hub.train, hub.test)


# --- the hub -----------------------------------------------------------------------------------------------


def _resolve(hub: Hub) -> str:
    from huggingface_hub import HfApi

    def commit() -> str:
        info = HfApi().dataset_info(hub.repo, revision=hub.revision, timeout=REQUEST_TIMEOUT)
        return checked_commit(info.sha)

    return ask(_repo(hub), commit)


def _fetch(hub: Hub, commit: str) -> dict[str, list[Path]]:
    """Download what is missing of every shard; offline take what another program has cached of each split."""
    from huggingface_hub import hf_hub_download

    try:
        shards = _list_shards(hub, commit)
    except NoAnswerError:
        cached = None if commit in _recorded(hub) else _cached_shards(hub, commit)
        if cached is None:
            raise
        return cached
    _record(hub, commit, shards)

    def download(name: str) -> Path:
        return Path(ask(_repo(hub), lambda: hf_hub_download(hub.repo, name, repo_type="dataset", revision=commit)))

    return {split: [download(name) for name in names] for split, names in shards.items()}


def _list_shards(hub: Hub, commit: str) -> Shards:
    files = _list_files(hub, commit)
    shards: Shards = {}
    for split in _splits(hub):
        folder = f"{hub.config}/{split}/"
        shards[split] = [name for name in files if name.startswith(folder) and name.endswith(".parquet")]
        if not shards[split]:
            raise HubError(f"dataset '{hub.repo}' at {commit[:12]} has no file {folder}*.parquet")
    return shards


def _list_files(hub: Hub, commit: str) -> list[str]:
    from huggingface_hub import HfApi

    def names() -> list[str]:
        info = HfApi().dataset_info(hub.repo, revision=commit, timeout=REQUEST_TIMEOUT)
        return sorted(str(sibling.rfilename) for sibling in info.siblings or [])

    return ask(_repo(hub), names)


# --- the cache ---------------------------------------------------------------------------------------------


def _repo_folder(hub: Hub) -> Path:
    return cache_folder() / "--".join(["datasets", *hub.repo.split("/")])


def _cached_commit(hub: Hub) -> str | None:
    """The last commit fetched whole; else the one that another program's cache has for the branch."""
    recorded = _recorded(hub)
    for commit, shards in reversed(recorded.items()):
        if _cached_paths(hub, commit, shards):
            return commit
    ref = _repo_folder(hub) / "refs" / hub.revision
    commit = ref.read_text().strip() if ref.is_file() else ""
    return commit if commit and commit not in recorded and _cached_shards(hub, commit) else None


def _cached_paths(hub: Hub, commit: str, shards: Shards) -> dict[str, list[Path]] | None:
    """Where the shards of every split lie in the cache; None if one is missing."""
    folder = _repo_folder(hub) / "snapshots" / commit
    if any(split not in shards for split in _splits(hub)):
        return None
    paths = {split: [folder / name for name in shards[split]] for split in _splits(hub)}
    return paths if all(path.exists() for files in paths.values() for path in files) else None


def _cached_shards(hub: Hub, commit: str) -> dict[str, list[Path]] | None:
    """What lies in the cache for every split, where another program fetched it; None if a split has nothing."""
    folder = _repo_folder(hub) / "snapshots" / commit / hub.config
    paths = {split: sorted((folder / split).glob("*.parquet")) for split in _splits(hub)}
    return paths if all(paths.values()) else None


def _record_file(hub: Hub) -> Path:
    return _repo_folder(hub) / "outshine" / f"{hub.config}.json"


def _layouts_file(hub: Hub) -> Path:
    return _repo_folder(hub) / "outshine" / "configurations" / "splits.json"


def _recorded(hub: Hub) -> dict[str, Shards]:
    """Commit -> the shards it is made of, fetched or not, the latest last."""
    return _read_record(_record_file(hub))


def _record(hub: Hub, commit: str, shards: Shards) -> None:
    _write_record(_record_file(hub), commit, {**_recorded(hub).get(commit, {}), **shards})


def _read_record(path: Path) -> dict[str, Shards]:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):  # not there, or not ours: as good as nothing recorded
        return {}
    return record if isinstance(record, dict) else {}


def _write_record(path: Path, commit: str, files: Shards) -> None:
    """Put a commit and its files at the end of a record."""
    recorded = _read_record(path)
    recorded.pop(commit, None)
    recorded[commit] = files
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with suppress(OSError):  # a cache that cannot be written, but holds the files, serves all the same
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(recorded, indent=1))
        draft.replace(path)
