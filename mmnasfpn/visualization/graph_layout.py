"""Where dots and arrows of an architecture graph go (Figure 7). Geometry only, in inches."""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mmnasfpn.genotypes import Genotype

COLUMN = 1.0  # from one merging cell to the next
FIRST_COLUMN = 1.4  # from the inputs to the first cell: inputs stand above each other
ROW = 1.1
DOT_RADIUS = 0.25
RING_RADIUS = 0.31  # around inputs and outputs

_STEP = 0.05  # between the sampled points of a curve, along x
_RIM = 0.03  # between a dot and the ends of its arrows
_MARGINS = (0.1, 0.05)  # wanted between an arrow and other dots; then what is always possible
_KEPT = 48  # candidates per arrow that are compared with the other arrows
_SWEEPS = 4

# What an arrow costs: each radian of turning, inch of detour, crossing, inch beside another.
_TURNING, _DETOUR, _CROSSING, _BESIDE, _NARROW = 0.12, 0.8, 0.15, 2.0, 1.5
_SHARED = 0.45  # arrows of one dot may be close this near to its centre
_NEAR = 0.16  # arrows closer than this are beside each other


@dataclass(frozen=True)
class Connection:
    """An arrow of a drawing: the map of one node goes into the cell of a later node.

    ``is_loose_end``: it is added because no cell had taken it (section 3.1). ``is_gate``: its pooled
    values gate the other input of a ``gp`` cell.
    """

    source: int
    target: int
    is_loose_end: bool = False
    is_gate: bool = False


@dataclass(frozen=True)
class Dot:
    """A feature map: its node number, centre and radius up to the rim of its ring, if it has one.

    ``kind`` is ``'input'``, ``'sum'``, ``'gp'``, or ``'one'`` for a cell that takes one map only.
    """

    node: int
    x: float
    y: float
    radius: float
    kind: str
    is_output: bool


@dataclass(frozen=True)
class Arrow:
    """A connection and its polyline, shape (N, 2), from the source's rim to the target's."""

    connection: Connection
    points: np.ndarray


def list_connections(genotype: Genotype) -> list[Connection]:
    """List the connections cell by cell: a cell's inputs in their order, then its loose ends."""
    connections = []
    for target, (cell, loose_ends) in enumerate(
            zip(genotype.cells, genotype.loose_ends, strict=True), genotype.num_levels):
        # The coarser input gates, the first of two equal ones.
        gate = max(cell.inputs, key=lambda node: genotype.node_levels[node])
        connections += [Connection(node, target, is_gate=cell.op == 'gp' and node == gate)
                        for node in cell.inputs]
        connections += [Connection(node, target, is_loose_end=True) for node in loose_ends]
    return connections


def lay_out_graph(genotype: Genotype) -> tuple[list[Dot], list[Arrow]]:
    """Place a genotype's maps on a grid, rows by level and columns by order, and route its arrows.

    No arrow runs through a dot other than its own two. Among the curves that allow this, those
    are taken that cross and accompany other arrows the least and turn the least.

    Args:
        genotype (Genotype): What to lay out.

    Returns:
        tuple[list[Dot], list[Arrow]]: Dots by node number, node 0's centre being the origin; y goes up.
    """
    dots = _place_dots(genotype)
    connections = list_connections(genotype)
    candidates = [_clean_curves(connection, dots) for connection in connections]
    chosen = _choose(connections, candidates, dots)
    return dots, [
        Arrow(connection, _trim(curves.xs, curves.ys[which], dots[connection.source],
                                dots[connection.target]))
        for connection, curves, which in zip(connections, candidates, chosen, strict=True)]


def _place_dots(genotype: Genotype) -> list[Dot]:
    outputs = set(genotype.output_nodes.values())
    dots = []
    for node, level in enumerate(genotype.node_levels):
        index = node - genotype.num_levels
        kind, x = 'input', 0.0
        if index >= 0:
            taken = len(genotype.cells[index].inputs) + len(genotype.loose_ends[index])
            kind = genotype.cells[index].op if taken > 1 else 'one'
            x = FIRST_COLUMN + index * COLUMN
        ringed = kind == 'input' or node in outputs
        dots.append(Dot(node, x, (level - genotype.min_level) * ROW,
                        RING_RADIUS if ringed else DOT_RADIUS, kind, node in outputs))
    return dots


@dataclass(frozen=True)
class _Curves:
    """Candidates of one arrow, functions of x: ``xs`` (X,), ``ys`` (K, X), ``costs`` (K,)."""

    xs: np.ndarray
    ys: np.ndarray
    costs: np.ndarray


def _clean_curves(connection: Connection, dots: Sequence[Dot]) -> _Curves:
    """Return the cheapest candidates that pass all other dots, best first."""
    start, end = dots[connection.source], dots[connection.target]
    xs = np.linspace(start.x, end.x, round((end.x - start.x) / _STEP) + 1)
    others = [dot for dot in dots if dot not in (start, end)]
    top = max(dot.y for dot in dots)
    for margin, families in zip(_MARGINS, (_smooth_curves, _stepped_curves), strict=True):
        ys = np.stack(list(families(xs, start.y, end.y, top)))
        clearance = _clearance(xs, ys, others)
        ys, clearance = ys[clearance >= margin], clearance[clearance >= margin]
        if len(ys):
            costs = _own_costs(xs, ys) + _NARROW * np.maximum(0, 2 * _MARGINS[0] - clearance)
            best = np.argsort(costs, kind='stable')[:_KEPT]
            return _Curves(xs, ys[best], costs[best])
    raise AssertionError('a stepped curve goes between any dots')


def _smooth_curves(xs: np.ndarray, start: float, end: float, top: float) -> Iterator[np.ndarray]:
    """Yield a straight line, bows, and curves that swing into a lane and out of it."""
    u = (xs - xs[0]) / (xs[-1] - xs[0])
    chord = start + (end - start) * u
    early, late = 3 * u * (1 - u) ** 2 * ROW, 3 * u ** 2 * (1 - u) * ROW
    yield chord
    for size in (0.15, 0.3, 0.5, 0.75, 1.0, 1.35, 1.75):
        for first, last in ((1, 1), (1, 0), (0, 1), (1, -1), (1.5, 0.5), (0.5, 1.5)):
            for bend in (size, -size):
                yield chord + bend * (first * early + last * late)
    half = (xs[-1] - xs[0]) / 2
    swings = [swing for swing in (0.7, 1.1, 1.7) if swing <= half] or [half]
    for lane in np.arange(-0.75 * ROW, top + 0.76 * ROW, ROW / 8):
        for swing in swings:
            out = np.clip((xs - xs[0]) / swing, 0, 1)
            back = np.clip((xs[-1] - xs) / swing, 0, 1)
            for ease in (_ease_in_and_out, _ease_out):
                yield start + (lane - start) * ease(out) + (end - lane) * (1 - ease(back))
    for steepness in (1.0, 1.6):
        yield start + (end - start) * _ease_in_and_out(np.clip(steepness * (u - 0.5) + 0.5, 0, 1))


def _stepped_curves(xs: np.ndarray, start: float, end: float, top: float) -> Iterator[np.ndarray]:
    """Yield curves that climb only between columns and run only between rows.

    There are no dots there, so that one of them is clean whatever the genotype.
    """
    flat = RING_RADIUS + _MARGINS[-1]
    climb = COLUMN - 2 * flat
    out = _ease_in_and_out(np.clip((xs - xs[0] - flat) / climb, 0, 1))
    back = _ease_in_and_out(np.clip((xs[-1] - xs - flat) / climb, 0, 1))
    for lane in np.arange(-0.5 * ROW, top + 0.51 * ROW, ROW / 2):
        yield start + (lane - start) * out + (end - lane) * (1 - back)
    yield start + (end - start) * out


def _ease_in_and_out(u: np.ndarray) -> np.ndarray:
    return u * u * (3 - 2 * u)


def _ease_out(u: np.ndarray) -> np.ndarray:
    return u * (2 - u)


def _clearance(xs: np.ndarray, ys: np.ndarray, dots: Sequence[Dot]) -> np.ndarray:
    """Return each curve's distance to the nearest rim, (K,); negative inside a dot."""
    clearance = np.full(len(ys), np.inf)
    for dot in dots:
        reach = dot.radius + 2 * _MARGINS[0] + _STEP
        near = np.flatnonzero(np.abs(xs - dot.x) <= reach)
        if len(near) > 1:
            points = np.stack([np.broadcast_to(xs[near], (len(ys), len(near))), ys[:, near]], axis=-1)
            distance = _distance_to_polyline(points, np.array([dot.x, dot.y])) - dot.radius
            clearance = np.minimum(clearance, distance)
    return clearance


def _distance_to_polyline(points: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Return the distance of a point, (2,), to polylines, (..., N, 2): shape (...)."""
    start, step = points[..., :-1, :], np.diff(points, axis=-2)
    length = np.maximum((step ** 2).sum(-1), 1e-12)
    along = np.clip(((point - start) * step).sum(-1) / length, 0, 1)
    nearest = start + along[..., None] * step
    return np.linalg.norm(point - nearest, axis=-1).min(-1)


def _own_costs(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    slopes = np.diff(ys, axis=1) / _STEP
    turning = np.abs(np.diff(np.arctan(slopes), axis=1)).sum(1)
    lengths = np.hypot(1, slopes).sum(1) * _STEP
    chord = np.hypot(xs[-1] - xs[0], ys[0, -1] - ys[0, 0])
    return _TURNING * turning + _DETOUR * (lengths - chord)


def _choose(connections: Sequence[Connection], candidates: Sequence[_Curves],
            dots: Sequence[Dot]) -> list[int]:
    """Choose a candidate for each arrow, one at a time given the others, until none changes."""
    chosen = [0] * len(connections)
    length = round(max(dot.x for dot in dots) / _STEP) + 1
    drawn = np.full((len(connections), length), np.nan, dtype=np.float32)
    places = []
    for row, curves in enumerate(candidates):
        first = round(curves.xs[0] / _STEP)
        places.append(slice(first, first + len(curves.xs)))
        drawn[row, places[row]] = curves.ys[0]
    longest_first = sorted(range(len(connections)), key=lambda row: -len(candidates[row].xs))
    for _ in range(_SWEEPS):
        before = list(chosen)
        for row in reversed(longest_first):
            curves = candidates[row]
            others = np.delete(drawn[:, places[row]], row, axis=0)
            away = np.delete(_away_from_shared_dots(connections, row, curves.xs, dots), row, axis=0)
            costs = curves.costs + _pair_costs(curves.ys, others, away)
            chosen[row] = int(costs.argmin())
            drawn[row, places[row]] = curves.ys[chosen[row]]
        if chosen == before:
            break
    return chosen


def _away_from_shared_dots(connections: Sequence[Connection], row: int, xs: np.ndarray,
                           dots: Sequence[Dot]) -> np.ndarray:
    """Return (E, X): where arrow ``row`` is not near a dot that it shares with arrow e."""
    own = connections[row]
    away = np.ones((len(connections), len(xs)), dtype=bool)
    for other, connection in enumerate(connections):
        for node in {own.source, own.target} & {connection.source, connection.target}:
            away[other] &= np.abs(xs - dots[node].x) > _SHARED
    return away


def _pair_costs(ys: np.ndarray, others: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Return what candidates (K, X) cost beside the other arrows (E, X), NaN where there is none."""
    apart = ys[:, None, ::2].astype(np.float32) - others[:, ::2]  # (K, E, X / 2)
    with np.errstate(invalid='ignore'):
        crossings = (apart[..., 1:] * apart[..., :-1] < 0).sum((1, 2))
        slant = np.hypot(1, np.gradient(ys, _STEP, axis=1))[:, None, ::2]
        beside = np.maximum(0, 1 - np.abs(apart) / slant / _NEAR) ** 2 * slant
        beside = np.where(away[:, ::2], np.nan_to_num(beside), 0).sum((1, 2)) * 2 * _STEP
    return _CROSSING * crossings + _BESIDE * beside


def _trim(xs: np.ndarray, ys: np.ndarray, start: Dot, end: Dot) -> np.ndarray:
    """Cut a curve from centre to centre where it leaves the first dot and meets the second."""
    fine = np.linspace(xs[0], xs[-1], 8 * (len(xs) - 1) + 1)
    points = np.stack([fine, np.interp(fine, xs, ys)], axis=1)
    outside = [np.linalg.norm(points - (dot.x, dot.y), axis=1) >= dot.radius + _RIM
               for dot in (start, end)]
    first, last = int(outside[0].argmax()), len(points) - 1 - int(outside[1][::-1].argmax())
    middle = [step for step in range(first + 1, last) if step % 8 == 0]
    return points[[first, *middle, last]]
