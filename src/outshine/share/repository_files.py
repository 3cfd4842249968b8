"""The files of a repository: models and predictions as the store has them, tables, settings. Never a text."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from outshine.engine.runtime import version_of
from outshine.engine.store.recorded_studies import study_digest
from outshine.learn.saved_models import ADAPTER
from outshine.report.text import contender_name
from outshine.results.saved_tables import escape_formulas
from outshine.share.redact import Places, public_record, public_study
from outshine.w2s.study_file import raw_yaml

if TYPE_CHECKING:
    from outshine.engine.store.store import Store
    from outshine.share.publication import Publication, PublishedModel

Files = dict[str, Path | bytes]
"""Paths in the repository, with `/`, and the file or the bytes that go there."""

MANIFEST = "outshine.json"
"""Which models a repository holds; it also marks the repository as one that outshine wrote."""

_KEPT = re.compile(  # of an artefact. What a stage of another package writes beside these stays here
    r"predictions\.parquet|curve\.parquet|summary\.json|classifier\.json|head\.safetensors|(adapter|model)/[^/]+"
)
_TABLES = ("scores", "pgr", "summary", "diagnostics")


def folder_of(model: PublishedModel, subject: Publication) -> str:
    """Where a model lies in the repository: at its root where it is the only one, else in a folder of its own."""
    if not subject.whole:
        return ""
    facts = model.facts
    method = contender_name(facts) if facts["method"] else ""
    name = f"{facts['dataset']} {facts['role']} {method} seed {facts['seed']} {model.stage.key[:8]}"
    return f"models/{re.sub(r'[^A-Za-z0-9.=]+', '-', name).strip('-.')[-200:]}"


def files_of(subject: Publication, store: Store) -> Files:
    """All files but the card."""
    places = Places.of(subject.resolution)
    files: Files = {}
    described = []
    for model in subject.models:
        folder, record = folder_of(model, subject), store.done(model.stage.key)
        for name in sorted(record["files"]):
            if _KEPT.fullmatch(name):
                where = PurePosixPath(folder, PurePosixPath(name).name if name.startswith(f"{ADAPTER}/") else name)
                files[str(where)] = _public_file(store, model.stage.key, name, places)
        facts = {name: value for name, value in model.facts.items() if name != "key"}
        described.append({"folder": folder or ".", **places.hidden(facts), **public_record(record, places)})
    raw = public_study(subject.resolution, places)
    files["study.yaml"] = raw_yaml(raw).encode()
    files |= {f"tables/{name}.csv": _csv(subject, name, places) for name in _TABLES}
    digest = study_digest(subject.study.model_dump(mode="json"))
    manifest = {"outshine": version_of("outshine"), "study": subject.study.name, "digest": digest, "models": described}
    files[MANIFEST] = _json(manifest)
    return dict(sorted(files.items()))


def num_bytes(content: Path | bytes) -> int:
    """The size of a file."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _public_file(store: Store, key: str, name: str, places: Places) -> Path | bytes:
    """The file as it was written, its sha256 checked; one of JSON that names a place on this machine, without it."""
    path = store.file(key, name)
    if path.suffix != ".json":
        return path
    document = store.document(key, name)
    hidden = places.hidden(document)
    return path if hidden == document else _json(hidden)


def _csv(subject: Publication, name: str, places: Places) -> bytes:
    table = places.hidden_frame(subject.results.tables()[name])
    return escape_formulas(table).to_csv(index=False).encode()


def _json(document: Any) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False).encode()
