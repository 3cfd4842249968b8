"""The hub through its real client, on loopback: pinned, retried, and read from the cache offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_places import REAL_HUB, point_client_at
from loopback_hub import LoopbackHub

from outshine.data import hub_source as hub_module
from outshine.data.hub_source import identify_hub, open_hub
from outshine.data.rows import Hub, Pools, RowReader
from outshine.engine import hub as core_hub
from outshine.engine.errors import HubError

TOY = Hub("org/toy")
COMMIT = "a" * 40
IDENTITY = f"hub:org/toy@{COMMIT}"


def numbers(reader: RowReader | None) -> list[int]:
    assert reader is not None
    return [row["number"] for row in reader.take(range(len(reader)))]


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_resolves_the_commit_and_reads_the_shards_in_order(loopback_hub: LoopbackHub) -> None:
    assert identify_hub(TOY) == IDENTITY
    pools = open_hub(TOY, IDENTITY)
    assert numbers(pools.train) == [0, 1, 2, 3, 4]
    assert numbers(pools.test) == [10, 11]


def test_pooled_splits_form_one_pool(loopback_hub: LoopbackHub) -> None:
    pools = open_hub(Hub("org/toy", pooled=("train", "test"), test_size=3), IDENTITY)
    assert isinstance(pools, Pools)
    assert numbers(pools.train) == [0, 1, 2, 3, 4, 10, 11]
    assert pools.test is None
    assert pools.test_size == 3


def test_a_cached_commit_needs_no_network(loopback_hub: LoopbackHub) -> None:
    open_hub(TOY, IDENTITY)
    loopback_hub.requests.clear()
    open_hub(TOY, IDENTITY)
    assert loopback_hub.requests == []


@pytest.mark.parametrize("failures", [[503, 503, 503], [500, 502, 504, 429], [0, 0]])
def test_passing_failures_of_the_look_up_are_retried(loopback_hub: LoopbackHub, failures: list[int]) -> None:
    loopback_hub.failures = list(failures)
    assert identify_hub(TOY) == IDENTITY
    assert len(loopback_hub.requests) == len(failures) + 1


def test_passing_failures_of_a_download_are_retried(loopback_hub: LoopbackHub) -> None:
    shards = hub_module._list_shards(TOY, COMMIT)
    loopback_hub.failures = [503, 503]
    loopback_hub.requests.clear()
    pools = open_hub(TOY, IDENTITY)
    assert numbers(pools.train) == [0, 1, 2, 3, 4]
    assert sum(map(len, shards.values())) == 3


def test_retries_are_bounded(loopback_hub: LoopbackHub) -> None:
    loopback_hub.failures = [503] * 100
    with pytest.raises(HubError, match=r"answers 503 for dataset 'org/toy' \(6 tries\)") as caught:
        identify_hub(TOY)
    assert len(loopback_hub.requests) == 6
    assert "\n" not in str(caught.value)


def test_waits_stay_below_a_minute() -> None:
    assert sum(core_hub.RETRY_WAITS) + core_hub.RETRY_DEADLINE < 60


def test_no_retry_after_the_deadline(loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_hub, "RETRY_DEADLINE", -1.0)
    loopback_hub.failures = [503] * 100
    with pytest.raises(HubError, match="1 tries"):
        identify_hub(TOY)


def test_a_missing_repository_is_told_at_once(loopback_hub: LoopbackHub) -> None:
    with pytest.raises(HubError, match=r"'org/none' is not at http://127.0.0.1:[0-9]+, or is private"):
        identify_hub(Hub("org/none"))
    assert len(loopback_hub.requests) == 1


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "GatedRepo", "is gated: accept its terms at http://127.0.0.1:[0-9]+/datasets/org/toy, then set HF_TOKEN"),
        (401, "", "is private or gated; check the name, or set HF_TOKEN"),
        (404, "RevisionNotFound", "has no revision 'refs/convert/parquet'"),
        (418, "", "refuses dataset 'org/toy' with status 418"),
    ],
)
def test_refusals_are_told_in_one_line(loopback_hub: LoopbackHub, status: int, code: str, told: str) -> None:
    loopback_hub.failures, loopback_hub.error_code = [status], code
    with pytest.raises(HubError, match=told) as caught:
        identify_hub(TOY)
    assert "\n" not in str(caught.value)
    assert len(loopback_hub.requests) == 1


def test_a_refusal_is_not_papered_over_by_the_cache(loopback_hub: LoopbackHub) -> None:
    open_hub(TOY, IDENTITY)
    loopback_hub.failures, loopback_hub.error_code = [403], "GatedRepo"
    with pytest.raises(HubError, match="gated"):
        identify_hub(TOY)


def test_a_config_that_is_not_there(loopback_hub: LoopbackHub) -> None:
    with pytest.raises(HubError, match=r"has no file main/train/\*\.parquet"):
        open_hub(Hub("org/toy", "main"), IDENTITY)


def test_the_token_is_sent(loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    identify_hub(TOY)
    assert loopback_hub.tokens == ["Bearer hf_secret"]


def test_offline_reads_the_cache(loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    open_hub(TOY, IDENTITY)
    go_offline(monkeypatch)
    loopback_hub.requests.clear()
    assert identify_hub(TOY) == IDENTITY
    assert numbers(open_hub(TOY, IDENTITY).train) == [0, 1, 2, 3, 4]
    assert loopback_hub.requests == []


def test_unreachable_falls_back_to_the_cache(loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    open_hub(TOY, IDENTITY)
    point_client_at("http://127.0.0.1:9", monkeypatch)
    assert identify_hub(TOY) == IDENTITY
    assert numbers(open_hub(TOY, IDENTITY).train) == [0, 1, 2, 3, 4]


def test_offline_without_a_cache_says_how_to_get_one(
    loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_offline(monkeypatch)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set; to work offline run once with a network"):
        identify_hub(TOY)
    with pytest.raises(HubError, match="is not in the cache"):
        open_hub(TOY, IDENTITY)


def test_unreachable_without_a_cache_says_how_to_work_offline(client: pytest.MonkeyPatch) -> None:
    client.setattr(core_hub, "RETRY_WAITS", (0.0,) * 5)
    point_client_at("http://127.0.0.1:9", client)
    with pytest.raises(
        HubError, match=r"http://127.0.0.1:9 cannot be reached .* HF_HUB_OFFLINE=1; or use files"
    ) as caught:
        identify_hub(TOY)
    assert "\n" not in str(caught.value)


def test_a_half_fetched_split_never_passes_for_a_whole_one(
    loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    open_hub(TOY, IDENTITY)
    (tmp_path / f"cache/datasets--org--toy/snapshots/{COMMIT}/default/train/0001.parquet").unlink()
    go_offline(monkeypatch)
    with pytest.raises(HubError, match="not in the cache"):
        identify_hub(TOY)
    with pytest.raises(HubError, match="not in the cache"):
        open_hub(TOY, IDENTITY)


def test_offline_takes_what_another_program_has_cached(
    loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import hf_hub_download

    with core_hub.quiet():
        for name in loopback_hub.files:
            hf_hub_download("org/toy", name, repo_type="dataset", revision="refs/convert/parquet")
    go_offline(monkeypatch)
    assert identify_hub(TOY) == IDENTITY
    assert numbers(open_hub(TOY, IDENTITY).test) == [10, 11]


def test_offline_takes_the_latest_commit_that_is_whole(
    loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    open_hub(TOY, IDENTITY)
    loopback_hub.commit = "b" * 40
    assert identify_hub(TOY) == f"hub:org/toy@{'b' * 40}"
    open_hub(TOY, f"hub:org/toy@{'b' * 40}")
    go_offline(monkeypatch)
    assert identify_hub(TOY) == f"hub:org/toy@{'b' * 40}"
    (tmp_path / f"cache/datasets--org--toy/snapshots/{'b' * 40}/default/test/0000.parquet").unlink()
    assert identify_hub(TOY) == IDENTITY


def test_what_is_no_hub_is_told(client: pytest.MonkeyPatch, parquet_files: dict[str, bytes]) -> None:
    from huggingface_hub import HfApi

    def portal(*args: object, **kwargs: object) -> None:
        json.loads("<html>please log in</html>")

    client.setattr(HfApi, "dataset_info", portal)
    with pytest.raises(HubError, match="does not answer like a hub"):
        identify_hub(TOY)


def test_a_full_disk_is_told(loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", full)
    with pytest.raises(HubError, match=r"cannot be kept in the hub cache .*No space left on device"):
        open_hub(TOY, IDENTITY)


def test_a_transfer_that_breaks_off_is_retried(loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    real, breaks = huggingface_hub.hf_hub_download, [RuntimeError("transfer broke off")]

    def download(*args: object, **kwargs: object) -> object:
        if breaks:
            raise breaks.pop()
        return real(*args, **kwargs)  # pyright: ignore

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    assert numbers(open_hub(TOY, IDENTITY).train) == [0, 1, 2, 3, 4]


def test_the_client_is_silent_and_left_as_it_was(
    loopback_hub: LoopbackHub, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled, logging

    before = (are_progress_bars_disabled(), logging.get_verbosity())
    loopback_hub.failures = [503]
    open_hub(TOY, identify_hub(TOY))
    assert capfd.readouterr() == ("", "")
    assert (are_progress_bars_disabled(), logging.get_verbosity()) == before


SCRIPT = """
import sys
from outshine.data.schema import recipes
from outshine.data.splits import SplitSettings, prepare
recipe = recipes.get(sys.argv[1])()
identity = recipe.identify()
prepared = prepare(recipe, identity, SplitSettings(n_train=200, n_val=50, n_test=100))
print(identity, len(prepared.texts))
"""


@pytest.mark.slow
@pytest.mark.hub
@pytest.mark.parametrize("name", ["openbookqa", "wic"])
def test_real_rows_through_the_real_client(name: str, tmp_path: Path) -> None:
    """Online against a server that fails every third request, then offline from the cache, in fresh processes."""
    server_script = REAL_HUB.parent / "tools" / "mini_hub.py"
    if not server_script.is_file():
        pytest.skip(f"no hub server: {server_script} is not there")
    command = [sys.executable, str(server_script), "--port", "0", "--fail", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            endpoint = server.stdout.readline().split()[-1]
            env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path)}
            online = subprocess.run([sys.executable, "-c", SCRIPT, name], env=env, capture_output=True, text=True)
        finally:
            server.terminate()
    assert online.returncode == 0, online.stderr
    assert online.stderr == ""
    assert online.stdout.endswith(" 350\n")
    env["HF_HUB_OFFLINE"] = "1"
    offline = subprocess.run([sys.executable, "-c", SCRIPT, name], env=env, capture_output=True, text=True)
    assert (offline.stdout, offline.stderr) == (online.stdout, "")
