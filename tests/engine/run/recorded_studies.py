"""Studies written down in a store as a run would, without running anything."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from outshine.engine.store.recorded_studies import keep_record, studies_held, study_digest
from outshine.engine.store.store import Store
from outshine.w2s.study_file import parse_study


def resolved(name: str, **settings: Any) -> dict[str, Any]:
    study = parse_study(
        {"name": name, "datasets": "tiny-home", "weak": "tiny/weak", "strong": "tiny/strong", **settings}
    )
    return study.model_dump(mode="json")


def record(
    store: Store, name: str, keys: Iterable[str], *, ran: datetime | None = None, expanded: bool = True, **settings: Any
) -> str:
    """Record a study that needs these keys and ran then; returns its digest."""
    study = resolved(name, **settings)
    digest = study_digest(study)
    with studies_held(store):
        keep_record(study, dict.fromkeys(keys, "number"), store, expanded)
    if ran is not None:
        document = store.documents("studies").read(digest)
        assert document is not None
        store.documents("studies").write(
            digest, {**document, "first_ran": ran.isoformat(), "last_ran": ran.isoformat()}
        )
    return digest
