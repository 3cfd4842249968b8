"""Inject faults into a small study and count what was survived.

    python -m faults [--kills 200] [--seed N] [--only NAME,NAME] [--out FILE]

Prints a table and exits with 1 where a promise was broken. Kills come at random moments; the seed is printed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from faults import copies, disks, hub, inside, kills, writers
from faults.outcome import Outcome
from faults.study import Driver, tables


def main() -> int:
    """Read the options, do it, print."""
    given = _options().parse_args()
    rng = random.Random(given.seed)
    print(f"seed {given.seed}", file=sys.stderr)  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="outshine-faults-") as folder:
        outcomes = list(_all(Path(folder), given.kills, rng, given.only.split(",") if given.only else []))
    print(table(outcomes))  # noqa: T201
    if given.out:
        found = {"seed": given.seed, "outcomes": [outcome._asdict() for outcome in outcomes]}
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0 if all(outcome.held for outcome in outcomes) else 1


def table(outcomes: Sequence[Outcome]) -> str:
    """As Markdown."""
    lines = ["| fault | injected | survived | stages begun again | |", "|---|---|---|---|---|"]
    for one in outcomes:
        remark = "; ".join([*([one.remark] if one.remark else []), *one.problems])
        lines.append(f"| {one.fault} | {one.injected} | {one.survived} | {one.recomputed} | {remark} |")
    return "\n".join(lines)


def _all(root: Path, num_kills: int, rng: random.Random, only: Sequence[str]) -> list[Outcome]:
    undisturbed = root / "undisturbed"
    ended = Driver(undisturbed).end()
    if ended.code != 0:
        raise SystemExit(f"the undisturbed run failed: {ended.said}")
    reference = tables(undisturbed)
    with_ray = num_kills * 2 // 5
    few = max(2, min(10, num_kills // 20))
    scenarios: dict[str, Callable[[Path], Outcome | Sequence[Outcome]]] = {
        "local": lambda place: kills.local(place, reference, num_kills - with_ray, rng),
        "leases": lambda place: kills.leases(place, reference, max(1, num_kills // 10), rng),
        "ray": lambda place: kills.ray(place, reference, with_ray, rng),
        "node": lambda place: kills.node(place, reference, rng),
        "drivers": lambda place: kills.two_drivers(place, reference, rng),
        "interrupts": lambda place: kills.interrupts(place, reference, rng),
        "full": lambda place: disks.full(place, reference),
        "read-only": lambda place: disks.read_only(place, undisturbed, reference),
        "damage": lambda place: disks.damage(place, undisturbed, reference, 10, rng),
        "checkpoints": lambda place: copies.checkpoints(place, reference, num_kills // 2, rng),
        "copies": lambda place: copies.local(place, reference, 10, rng),
        "no-locks": lambda place: writers.no_locks(place, reference, few),
        "stopped": lambda place: writers.stopped(place, reference, few, rng),
        "eio": lambda place: writers.failing_disk(place, reference, few),
        "crowd": lambda place: writers.crowd(place, undisturbed, reference, 60.0 * min(1.0, num_kills / 100)),
        "hub": lambda place: hub.flaky(place, rng),
        "clock": lambda place: inside.clock(place, reference),
        "memory": lambda place: inside.memory(place, undisturbed),
        "nan": lambda place: inside.nan(place, reference),
    }
    outcomes: list[Outcome] = []
    for name, scenario in scenarios.items():
        if only and name not in only:
            continue
        if name in ("full", "read-only") and not disks.can_mount():
            outcomes.append(Outcome(name, 0, 0, 0, "not tried: this user may not mount"))
            continue
        began = time.monotonic()
        (root / name).mkdir()
        found = scenario(root / name)
        outcomes += [found] if isinstance(found, Outcome) else found
        print(f"{name}: {time.monotonic() - began:.0f} s, {outcomes[-1]}", file=sys.stderr, flush=True)  # noqa: T201
    return outcomes


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kills",
        type=int,
        default=200,
        help="SIGKILLs, two fifths with Ray; half as many more over checkpoints (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="default: a new one")
    parser.add_argument("--only", default="", help="some of: local, ray, node, drivers, interrupts, full, …")
    parser.add_argument("--out", type=Path, help="a JSON file of the results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
