"""Where boxes and wires of an architecture diagram go (Figure 6). Geometry only, in inches.

Boxes stand in rows by level and in columns by order: the inputs, the merging cells, the outputs.
The map of a node runs along one horizontal *trunk*, from which a *tap* leads into each box that
takes it. A trunk runs at its boxes' height where nothing stands in its way, else in a gap between
rows; everything vertical runs between columns. So no wire runs through a box.
"""
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from mmnasfpn.genotypes import Genotype
from mmnasfpn.visualization.connections import Connection, list_connections

BOX_WIDTH, BOX_HEIGHT = 0.74, 0.4
CONV_HEIGHT = 0.6  # of an R-C-B box
MAP_WIDTH = 0.62  # of inputs and outputs
STACK = 0.24  # between the boxes of a cell
FRAME = 0.09  # around the boxes of a cell

_TRACK = 0.14  # between parallel wires
_PORT = 0.15  # between wires that enter one box
_PAD = 0.19  # between boxes and wires: room for the head of an arrow
_CROSSING, _SWEEPS = 0.35, 3  # inches of vertical wire that a crossing is worth


@dataclass(frozen=True)
class Box:
    """A box: its centre, width and height; ``kind`` is 'input', 'output', 'sum', 'gp' or 'rcb'.

    ``column`` is 0 for inputs, then 1, 2, ... for the cells in order, and the last for outputs.
    """

    kind: str
    node: int
    column: int
    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        """Left edge."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """Right edge."""
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.y - self.height / 2

    @property
    def top(self) -> float:
        """Upper edge."""
        return self.y + self.height / 2


@dataclass(frozen=True)
class Wire:
    """The way of one map into one box: corner points from a box's right edge to a left edge.

    ``own`` is the part that no other wire of the map covers. ``connection`` is None for the wire
    from an output's cell to its output box.
    """

    source: int
    connection: Connection | None
    points: tuple[tuple[float, float], ...]
    own: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class BoxLayout:
    """Boxes, the links down inside cells, wires, and the dots where wires of one map part."""

    boxes: tuple[Box, ...]
    links: tuple[tuple[tuple[float, float], tuple[float, float]], ...]
    wires: tuple[Wire, ...]
    junctions: tuple[tuple[float, float], ...]
    row_of_level: dict[int, float]


@dataclass
class _Tap:
    """Where a trunk is left: the column, the box there, and why; the port's y comes later."""

    column: int
    box: str
    connection: Connection | None
    y: float = 0.0
    x: float = 0.0

    @property
    def is_loose_end(self) -> bool:
        return self.connection is not None and self.connection.is_loose_end


@dataclass
class _Net:
    """The wires of one node's map: its row, its column, its taps, and where its trunk runs."""

    node: int
    row: int
    column: int
    taps: list[_Tap] = field(default_factory=list)
    gap: int | None = None  # None: straight, at the row's own height
    y: float = 0.0
    x: float = 0.0

    @property
    def last(self) -> int:
        """The last column that the trunk reaches."""
        return max(tap.column for tap in self.taps)


def lay_out_boxes(genotype: Genotype) -> BoxLayout:
    """Place the boxes of a genotype and route its wires.

    No wire runs through a box or on top of a wire of another map. Gaps and channels are as wide
    as their wires need. Which gap a trunk takes is searched for few crossings and short wires.

    Args:
        genotype (Genotype): What to lay out.
    """
    plan = _Plan(genotype)
    for _ in range(_SWEEPS):
        before = [net.gap for net in plan.nets]
        for net in plan.nets:
            if net.gap is not None:
                _take_best_gap(plan, net)
        if before == [net.gap for net in plan.nets]:
            break
    plan.place()
    boxes = plan.boxes()
    return BoxLayout(tuple(boxes), tuple(_links(boxes)), tuple(plan.wires()), tuple(plan.junctions()),
                     {level: plan.row_y[row] for row, level in enumerate(genotype.levels)})


def _take_best_gap(plan: '_Plan', net: _Net) -> None:
    costs = []
    for gap in range(plan.num_rows + 1):
        net.gap = gap
        plan.place()
        wires = [(wire.source, wire.points) for wire in plan.wires()]
        costs.append((_vertical_length(wires) + _CROSSING * _count_crossings(wires), gap))
    net.gap = min(costs)[1]


class _Plan:
    """Nets and the coordinates that follow from where their trunks run."""

    def __init__(self, genotype: Genotype) -> None:
        self.genotype = genotype
        self.num_rows = genotype.num_levels
        self.num_columns = len(genotype.cells) + 2
        self.stacks = [_stack(genotype, index) for index in range(len(genotype.cells))]
        self.nets = _make_nets(genotype, self.stacks)
        for net in self.nets:
            if not self._is_free(net):
                net.gap = net.row + 1

    def _is_free(self, net: _Net) -> bool:
        """Return whether no cell stands in the net's row between its first and last column."""
        rows = [cell.level - self.genotype.min_level for cell in self.genotype.cells]
        return net.row not in rows[net.column:net.last - 1]

    def place(self) -> None:
        """Compute rows, trunks, ports, then columns, from the gaps that trunks take."""
        self._place_rows()
        self._place_ports()
        self._place_columns()

    def _place_rows(self) -> None:
        tracks = [_assign_tracks(net for net in self.nets if net.gap == gap)
                  for gap in range(self.num_rows + 1)]
        self.row_y: list[float] = []
        y = 0.0
        for gap, nets in enumerate(tracks):
            y += _PAD
            for track in nets:
                for net in track:
                    net.y = y
                y += _TRACK
            y += _PAD - (_TRACK if nets else 0) + CONV_HEIGHT / 2
            if gap < self.num_rows:
                self.row_y.append(y)
                y += self._height_above(gap)
        for net in self.nets:
            if net.gap is None:
                net.y = self.row_y[net.row]

    def _height_above(self, row: int) -> float:
        """Return how far the row's tallest cell reaches above the middle of its R-C-B box."""
        heights = [CONV_HEIGHT / 2]
        for cell, stack in zip(self.genotype.cells, self.stacks, strict=True):
            if cell.level - self.genotype.min_level == row:
                heights.append(CONV_HEIGHT / 2 + sum(STACK + height for _, height in stack[1:]))
        return max(heights)

    def box_y(self, column: int, kind: str) -> tuple[float, float]:
        """Return the middle and the height of a box of the cell in this column."""
        cell, stack = self.genotype.cells[column - 1], self.stacks[column - 1]
        y = self.row_y[cell.level - self.genotype.min_level]
        place = [name for name, _ in stack].index(kind)
        for (_, lower), (_, upper) in pairwise(stack[:place + 1]):
            y += lower / 2 + STACK + upper / 2
        return y, stack[place][1]

    def _place_ports(self) -> None:
        """Give the wires that enter one box their heights, in the order of their trunks."""
        entering: dict[tuple[int, str], list[tuple[float, int, _Tap]]] = {}
        for net in self.nets:
            for tap in net.taps:
                if tap.box == 'output':
                    tap.y = self.row_y[net.row]
                else:
                    entering.setdefault((tap.column, tap.box), []).append((net.y, net.node, tap))
        for (column, box), taps in entering.items():
            middle, _ = self.box_y(column, box)
            for place, (_, _, tap) in enumerate(sorted(taps, key=lambda entry: entry[:2])):
                tap.y = middle + (place - (len(taps) - 1) / 2) * _PORT

    def _place_columns(self) -> None:
        """Give risers and taps their tracks in the channels between columns."""
        self.column_x = [MAP_WIDTH / 2]
        edge = MAP_WIDTH
        for column in range(1, self.num_columns):
            risers = [net for net in self.nets if net.column == column - 1 and net.gap is not None]
            risers = _in_order(risers, [(net.y, self.row_y[net.row]) for net in risers], leaving=True)
            taps = [(net, tap) for net in self.nets for tap in net.taps
                    if tap.column == column and tap.y != net.y]
            x = edge + _PAD
            for net in risers:
                net.x = x
                x += _TRACK
            for _, tap in _in_order(taps, [(net.y, tap.y) for net, tap in taps], leaving=False):
                tap.x = x
                x += _TRACK
            x += _PAD + FRAME - (_TRACK if risers or taps else 0)
            for net in self.nets:
                for tap in net.taps:
                    if tap.column == column and tap.y == net.y:
                        tap.x = x
            width = MAP_WIDTH if column == self.num_columns - 1 else BOX_WIDTH
            self.column_x.append(x + width / 2)
            edge = x + width + FRAME

    def boxes(self) -> list[Box]:
        """Return all boxes; those of a cell from the top down."""
        genotype = self.genotype
        boxes = [Box('input', node, 0, self.column_x[0], self.row_y[node], MAP_WIDTH, BOX_HEIGHT)
                 for node in range(genotype.num_levels)]
        for index, stack in enumerate(self.stacks):
            for kind, _ in reversed(stack):
                y, height = self.box_y(index + 1, kind)
                boxes.append(Box(kind, genotype.num_levels + index, index + 1,
                                 self.column_x[index + 1], y, BOX_WIDTH, height))
        boxes += [Box('output', node, self.num_columns - 1, self.column_x[-1], self.row_y[row],
                      MAP_WIDTH, BOX_HEIGHT)
                  for row, node in enumerate(genotype.output_nodes.values())]
        return boxes

    def wires(self) -> list[Wire]:
        """Return one wire per tap."""
        wires = []
        for net in self.nets:
            right = self.column_x[net.column] + (BOX_WIDTH if net.column else MAP_WIDTH) / 2
            start = (right, self.row_y[net.row])
            riser = [] if net.gap is None else [(net.x, start[1]), (net.x, net.y)]
            main = max(net.taps, key=lambda tap: (not tap.is_loose_end, tap.x))
            for tap in net.taps:
                left = self.column_x[tap.column] - (MAP_WIDTH if tap.box == 'output' else BOX_WIDTH) / 2
                branch = ((tap.x, net.y), (tap.x, tap.y), (left, tap.y))
                points = _without_repeats((start, *riser, *branch))
                own = points if tap is main else _without_repeats(branch)
                wires.append(Wire(net.node, tap.connection, points, own))
        return wires

    def junctions(self) -> list[tuple[float, float]]:
        """Return where a tap leaves a trunk that goes on."""
        return [(tap.x, net.y) for net in self.nets for tap in net.taps
                if tap.y != net.y and any(other.x > tap.x for other in net.taps)]


def _stack(genotype: Genotype, index: int) -> list[tuple[str, float]]:
    """Return the boxes of a cell and their heights, from the bottom up."""
    inputs, loose = len(genotype.cells[index].inputs), len(genotype.loose_ends[index])
    stack = [('rcb', CONV_HEIGHT)]
    if genotype.cells[index].op == 'gp':
        entering = ([('sum', loose)] if loose else []) + [('gp', inputs)]
    else:
        entering = [('sum', inputs + loose)] if inputs + loose > 1 else []
    stack += [(kind, max(BOX_HEIGHT, ports * _PORT + 0.08)) for kind, ports in entering]
    return stack


def _make_nets(genotype: Genotype, stacks: Sequence[Sequence[tuple[str, float]]]) -> list[_Net]:
    """Return the net of each node, in their order."""
    first = genotype.num_levels
    nets = [_Net(node, level - genotype.min_level, max(0, node - first + 1))
            for node, level in enumerate(genotype.node_levels)]
    for connection in list_connections(genotype):
        column = connection.target - first + 1
        names = [name for name, _ in stacks[column - 1]]
        box = 'sum' if connection.is_loose_end else names[-1]
        nets[connection.source].taps.append(_Tap(column, box, connection))
    for node in genotype.output_nodes.values():
        nets[node].taps.append(_Tap(len(genotype.cells) + 1, 'output', None))
    return nets


def _assign_tracks(nets: Iterable[_Net]) -> list[list[_Net]]:
    """Share out a gap's nets to tracks so that no two in a track meet; short nets at the bottom."""
    tracks: list[list[_Net]] = []
    for net in sorted(nets, key=lambda net: (net.last - net.column, net.node)):
        for track in tracks:
            if all(net.last <= other.column or other.last <= net.column for other in track):
                track.append(net)
                break
        else:
            tracks.append([net])
    return tracks


def _in_order(items: Sequence, spans: Sequence[tuple[float, float]], leaving: bool) -> list:
    """Order the vertical wires of a channel from left to right so that they cross little.

    ``spans`` are (trunk, port) heights. Of the taps that come from above, the one with the lower
    port goes left; of those from below, the one with the higher port. Risers mirror that.
    """
    def key(place: int) -> tuple[bool, float]:
        trunk, port = spans[place]
        toward = port if trunk > port else -port
        return (trunk > port, -toward if leaving else toward)

    return [items[place] for place in sorted(range(len(items)), key=key)]


def _without_repeats(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    return tuple(point for place, point in enumerate(points)
                 if place == 0 or point != points[place - 1])


def _links(boxes: Sequence[Box]) -> Iterable[tuple[tuple[float, float], tuple[float, float]]]:
    for upper, lower in pairwise(boxes):
        if upper.node == lower.node and upper.column == lower.column:
            yield (upper.x, upper.bottom), (lower.x, lower.top)


def segments(points: Sequence[tuple[float, float]]
             ) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the straight parts of a wire, each from its left or lower end."""
    return [(min(pair), max(pair)) for pair in pairwise(points)]


def _split(wires: Sequence[tuple[int, Sequence[tuple[float, float]]]]) -> tuple[set, set]:
    parts = {(source, *part) for source, points in wires for part in segments(points)}
    vertical = {part for part in parts if part[1][0] == part[2][0]}
    return parts - vertical, vertical


def _vertical_length(wires: Sequence[tuple[int, Sequence[tuple[float, float]]]]) -> float:
    return sum(high[1] - low[1] for _, low, high in _split(wires)[1])


def _count_crossings(wires: Sequence[tuple[int, Sequence[tuple[float, float]]]]) -> int:
    """Return how often a horizontal part of one map meets a vertical part of another."""
    horizontal, vertical = _split(wires)
    longest: dict[tuple[int, float], list[float]] = {}
    for source, left, right in horizontal:  # the wires of one map share their trunk
        span = longest.setdefault((source, left[1]), [left[0], right[0]])
        span[:] = min(span[0], left[0]), max(span[1], right[0])
    return sum(source != other and span[0] < low[0] < span[1] and low[1] < y < high[1]
               for (source, y), span in longest.items() for other, low, high in vertical)
