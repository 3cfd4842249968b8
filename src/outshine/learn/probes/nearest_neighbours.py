"""Exact nearest neighbours: found by rounded distances, decided in float64 where rounding matters.

The result is that of a float64 search over all pairs, ties going to the point with the smaller number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

EXACT_ELEMENTS = 1_000_000  # float64 differences held at once (8 MB)
SPARE = 8  # candidates beyond k: near-ties at the k-th distance are then usually settled within the list
FEW = 64  # queries with too short a list that are worth a search of their own


class Neighbours:
    """Neighbours of queries among points.

    `queries` None: the points themselves, none of which is its own neighbour. `depth`: candidates kept a
    query, beside some spare ones.
    """

    def __init__(self, points: Float[Tensor, "n d"], depth: int, queries: Float[Tensor, "m d"] | None = None) -> None:
        self.points = points
        self.own = queries is None
        self.queries = points if queries is None else queries
        most = len(points) - self.own
        self.complete = depth + SPARE >= most  # then the lists hold all there is
        depth = min(depth + SPARE, most)
        with _whole_float32():
            self.list = Candidates.among(points, depth) if queries is None else Candidates.of(queries, points, depth)

    def nearest(self, k: int) -> Int[Tensor, "m k"]:
        """Return the k nearest points of each query, as a set: their order means nothing. k: `depth` at most."""
        return self._nearest(k, torch.ones(len(self.points), dtype=torch.bool, device=self.points.device))

    def nearest_among(self, k: int, marked: Bool[Tensor, "n"]) -> Int[Tensor, "m k"]:
        """Of each marked point its k nearest marked points, by number. Needs lists of points among themselves."""
        assert self.own, "only points among themselves"
        lacking = marked[self.list.numbers[marked]].sum(1) < k
        if not self.complete and int(lacking.sum()) > FEW:  # the lists do not reach far enough
            places = marked.nonzero()[:, 0]
            return places[Neighbours(self.points[places], k).nearest(k)]
        return self._nearest(k, marked)

    def _nearest(self, k: int, marked: Bool[Tensor, "n"]) -> Int[Tensor, "m k"]:
        queries = marked.nonzero()[:, 0] if self.own else torch.arange(len(self.queries), device=self.points.device)
        numbers, rounded, error = (part[queries] for part in self.list)
        usable = marked[numbers]
        rank = usable.cumsum(1)
        chosen = usable & (rank <= k)
        # the k-th and the next usable candidate; infinitely far where the list has no such one
        distances = rounded.where(usable, math.inf)
        last = distances.where(chosen, -math.inf).amax(1)
        following = distances.where(~chosen, math.inf).amin(1)
        if not self.complete:  # beyond the list lie points at least as far as its end
            following = torch.minimum(following, rounded[:, -1])
        enough = rank[:, -1] >= k
        sure = enough & (following - last > 2 * error)
        result = torch.zeros(len(queries), k, dtype=torch.long, device=self.points.device)
        result[sure] = numbers[sure][chosen[sure]].view(-1, k)
        # a neighbour's rounded distance is at most that of the k-th plus twice the error
        reach = last + 2 * error
        listed = enough & ((rounded[:, -1] > reach) | self.complete)
        near = usable & (rounded <= reach[:, None])
        for row in (~sure & listed).nonzero()[:, 0].tolist():
            candidates = numbers[row][near[row]].sort().values
            result[row] = candidates[self._exact(int(queries[row]), candidates).argsort(stable=True)[:k]]
        unlisted = (~sure & ~listed).nonzero()[:, 0]
        for row, nearest in zip(unlisted.tolist(), self._search(queries[unlisted].tolist(), k, marked), strict=True):
            result[row] = nearest
        return result

    def _search(self, queries: Sequence[int], k: int, marked: Bool[Tensor, "n"]) -> list[Int[Tensor, "k"]]:
        """Return the k nearest of all marked points, in float64; equal queries share their distances."""
        places = marked.nonzero()[:, 0]
        known: dict[bytes, Tensor] = {}
        nearest = []
        for query in queries:
            name = self.queries[query].cpu().numpy().tobytes()
            if name not in known:
                known[name] = self._exact(query, places)
            order = places[known[name].argsort(stable=True)[: k + self.own]]
            nearest.append(order[order != query][:k] if self.own else order)
        return nearest

    def _exact(self, query: int, numbers: Int[Tensor, "c"]) -> Float[Tensor, "c"]:
        """Return squared distances of one query to some points, in float64."""
        x = self.queries[query].double()
        step, count = max(1, EXACT_ELEMENTS // len(x)), len(numbers)
        if count > step:  # parts of one shape: equal points get equal sums, also where a GPU adds up by the shape
            numbers = torch.cat([numbers, numbers[:1].expand(-count % step)])
        parts = [(self.points[part].double() - x).square().sum(1) for part in numbers.split(step)]
        return torch.cat(parts)[:count]


CHUNK_ELEMENTS = 8_000_000  # distances held at once (32 MB)
SAMPLE = 1000  # points that radii are estimated from
MOST_HITS = 6  # within the radii, as a multiple of what is expected; more: many points lie in one place


class Candidates(NamedTuple):
    """The nearest points of each query by rounded squared distance, in ascending order."""

    numbers: Int[Tensor, "m depth"]
    rounded: Float[Tensor, "m depth"]
    error: Float[Tensor, "m"]  # how far the squared distances may be off

    @classmethod
    def among(cls, points: Float[Tensor, "n d"], depth: int) -> Candidates:
        """Of each point among the others."""
        return _each_pair_once(points, depth) or cls.of(
            points, points, depth, torch.arange(len(points), device=points.device)
        )

    @classmethod
    def of(
        cls,
        queries: Float[Tensor, "m d"],
        points: Float[Tensor, "n d"],
        depth: int,
        selves: Int[Tensor, "m"] | None = None,
    ) -> Candidates:
        """Of queries among points; `selves`: the numbers of the queries where they are points themselves."""
        centred = _Centred.of(points)
        block = max(1, math.isqrt(len(points) // depth))
        padding = -len(points) % block
        y = torch.nn.functional.pad(centred.x, (0, 0, 0, padding))
        norms = torch.nn.functional.pad(centred.norms, (0, padding), value=math.inf)  # padding is infinitely far
        size = max(1, min(CHUNK_ELEMENTS // len(y), len(queries)))
        products = points.new_empty(size, len(y))  # the one big table, used again for every chunk
        parts = []
        for start in range(0, len(queries), size):
            x = queries[start : start + size] - centred.centre
            table = torch.mm(x.mul(-2), y.T, out=products[: len(x)]).add_(norms)
            if selves is not None:
                table[torch.arange(len(x), device=x.device), selves[start : start + size]] = math.inf
            distances, numbers = _smallest(table.view(len(x), -1, block), depth)
            x_norms = _squared_norms(x)
            parts.append(_with_error(numbers, distances.add_(x_norms[:, None]), x_norms, x.shape[1]))
        return cls(*(torch.cat(part) for part in zip(*parts, strict=True)))


@contextmanager
def _whole_float32() -> Iterator[None]:
    """Multiply in float32 as it is, whatever was allowed: TF32 and the like are farther off than `error` says."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


class _Centred(NamedTuple):
    """Points less their mean: distances do not change, their rounding does."""

    centre: Float[Tensor, "d"]
    x: Float[Tensor, "n d"]
    norms: Float[Tensor, "n"]

    @classmethod
    def of(cls, points: Float[Tensor, "n d"]) -> _Centred:
        centre = points.mean(0)
        x = points - centre
        return cls(centre, x, _squared_norms(x))


def _each_pair_once(points: Float[Tensor, "n d"], depth: int) -> Candidates | None:
    """Return the candidates of points among themselves; None where this way does not pay."""
    num_points = len(points)
    if num_points < 4 * SAMPLE:
        return None
    _, x, norms = _Centred.of(points)
    in_sample = _expected_in_sample(depth, num_points)
    radii = _radii(x, norms, in_sample)
    hits = _hits(x, norms, radii, MOST_HITS * in_sample * num_points**2 // SAMPLE)
    if hits is None:
        return None
    numbers, distances, poor = _grouped(*hits, num_points, depth)
    lists = _with_error(numbers, distances, norms, x.shape[1])
    if len(poor):
        again = Candidates.of(points[poor], points, depth, poor)
        for ours, theirs in zip(lists, again, strict=True):
            ours[poor] = theirs
    return lists


def _expected_in_sample(depth: int, num_points: int) -> int:
    """Return the rank in the sample whose distance hardly ever has less than `depth` points within (4 deviations)."""
    share = depth * SAMPLE / num_points
    return math.ceil(share + 4 * math.sqrt(share)) + 1  # and the point itself


def _radii(x: Float[Tensor, "n d"], norms: Float[Tensor, "n"], rank: int) -> Float[Tensor, "n"]:
    """For each point the `rank`-th smallest squared distance to a sample of them (spread evenly over their order)."""
    sample = torch.linspace(0, len(x) - 1, SAMPLE, device=x.device).long()
    y, y_norms = x[sample], norms[sample]
    parts = []
    for rows in torch.arange(len(x), device=x.device).split(CHUNK_ELEMENTS // SAMPLE):
        table = torch.addmm(y_norms, x[rows], y.T, alpha=-2)
        parts.append(table.topk(rank, largest=False, sorted=False).values.amax(1) + norms[rows])
    return torch.cat(parts)


def _hits(
    x: Float[Tensor, "n d"], norms: Float[Tensor, "n"], radii: Float[Tensor, "n"], most: int
) -> tuple[Int[Tensor, "h"], Int[Tensor, "h"], Float[Tensor, "h"]] | None:
    """Return ordered pairs (i, j) with |xᵢ − xⱼ|² ≤ radius of i, and that; None where there are more than `most`."""
    num_points = len(x)
    size = max(1, CHUNK_ELEMENTS // num_points)
    space = x.new_empty(size * num_points)
    hits: list[tuple[Tensor, Tensor, Tensor]] = []
    count = 0
    for start in range(0, num_points, size):
        rows = slice(start, min(start + size, num_points))
        height, width = rows.stop - start, num_points - start  # all pairs with a column before: done
        table = space[: height * width].view(height, width)
        torch.mm(x[rows].mul(-2), x[start:].T, out=table).add_(norms[start:]).add_(norms[rows, None])
        table.fill_diagonal_(math.inf)
        i, j = _places(table <= radii[rows, None])
        hits.append((i + start, j + start, table[i, j]))
        later = table[:, height:]
        i, j = _places(later <= radii[rows.stop :])
        hits.append((j + rows.stop, i + start, later[i, j]))
        count += len(hits[-1][0]) + len(hits[-2][0])
        if count > most:
            return None
    first, second, distances = (torch.cat(part) for part in zip(*hits, strict=True))
    return first, second, distances


def _places(mask: Bool[Tensor, "a b"]) -> tuple[Int[Tensor, "h"], Int[Tensor, "h"]]:
    """Return row and column of what is marked."""
    flat = mask.flatten().nonzero()[:, 0]
    return flat // mask.shape[1], flat % mask.shape[1]


def _grouped(
    first: Int[Tensor, "h"], second: Int[Tensor, "h"], distances: Float[Tensor, "h"], num_points: int, depth: int
) -> tuple[Int[Tensor, "n depth"], Float[Tensor, "n depth"], Int[Tensor, "p"]]:
    """Return the `depth` nearest of each point's hits, and the points that have fewer hits."""
    order = first.argsort(stable=True)
    first, second, distances = first[order], second[order], distances[order]
    counts = torch.bincount(first, minlength=num_points)
    starts = counts.cumsum(0) - counts
    numbers = first.new_zeros(num_points, depth)
    nearest = distances.new_full((num_points, depth), math.inf)
    for rows in torch.arange(num_points, device=first.device).split(1024):
        width = max(depth, int(counts[rows].max()))
        begin, end = int(starts[rows[0]]), int(starts[rows[-1]] + counts[rows[-1]])
        row = first[begin:end] - rows[0]
        column = torch.arange(begin, end, device=first.device) - starts[first[begin:end]]
        table = distances.new_full((len(rows), width), math.inf)
        table[row, column] = distances[begin:end]
        names = second.new_zeros(len(rows), width)
        names[row, column] = second[begin:end]
        nearest[rows], places = table.topk(depth, largest=False)
        numbers[rows] = names.gather(1, places)
    return numbers, nearest, (counts < depth).nonzero()[:, 0]


def _smallest(
    values: Float[Tensor, "c blocks size"], depth: int
) -> tuple[Float[Tensor, "c depth"], Int[Tensor, "c depth"]]:
    """Return the `depth` smallest of each row, ascending, and their places, from blocks with the smallest minima."""
    size = values.shape[2]
    blocks = values.amin(2).topk(min(depth, values.shape[1]), largest=False, sorted=False).indices
    inside = values.gather(1, blocks[:, :, None].expand(-1, -1, size)).flatten(1)
    smallest, places = inside.topk(depth, largest=False)
    return smallest, blocks.gather(1, places // size) * size + places % size


def _squared_norms(x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
    """|x|², summed in float64."""
    return torch.cat([part.double().square().sum(1) for part in x.split(256)]).to(x.dtype)


def _with_error(
    numbers: Int[Tensor, "m depth"], rounded: Float[Tensor, "m depth"], norms: Float[Tensor, "m"], d: int
) -> Candidates:
    """Return candidates with the error of their distances.

    A candidate y of x at distance r has |y| ≤ |x| + r, and a product of d terms is off by about √d u |x| |y| with
    u the unit round-off (Higham & Mary, SIAM J. Sci. Comput. 2019, theorem 2.4; here with factor 2 and more).
    """
    unit = torch.finfo(rounded.dtype).eps / 2
    farthest = rounded[:, -1].clamp(min=0).sqrt()
    return Candidates(numbers, rounded, (2 * math.sqrt(d) + 4) * unit * (norms + (norms.sqrt() + farthest).square()))
