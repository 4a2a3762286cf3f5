"""A graph folded by modules: a tree of groups, each of which can be shown as one box.

A group is a call of a module, a run of siblings that are alike, or a stretch of a long list. Its nodes lie in one interval of the
order in which they were made, so there is no cycle between the boxes, whichever groups are folded.
"""

import bisect
import math
from collections.abc import Callable, Hashable, Iterator, Sequence, Set
from dataclasses import dataclass, field

from .snapshot import GraphSnapshot, ModuleCall

MOST_ITEMS = 50         # of a group; beyond it, stretches of them are groups of their own
LEAST_ALIKE = 4         # times that siblings are repeated: then all but the first time are one group
MOST_REPEATED = 4       # siblings that are repeated together
EVERYTHING = 1_000      # as a depth: no group is folded


@dataclass
class Group:
    """A part of the graph.

    name: what a reader calls it: "layer.3", "conv #2" or "layer.1 … layer.11"; "" for a net, which has only a class.
    kind: the class of the module, or what the group is made of.
    path: the names that lead to the module in the net.
    items: what is in it, in forward order: indices of nodes, and other groups.
    is_call: whether it is a call of a module.
    repeats: whether it is a run of siblings that are like the one before it.
    finished: False where its forward raised.
    key: unique in the graph, the same in every process.
    """

    name: str
    kind: str
    path: str = ""
    items: "list[int | Group]" = field(default_factory=list)
    is_call: bool = True
    repeats: bool = False
    finished: bool = True
    key: str = ""

    @property
    def label(self) -> str:
        return self.name + ":" * (not self.is_call)

    @property
    def title(self) -> str:
        return f"{self.label} {self.kind}".strip()

    @property
    def groups(self) -> "list[Group]":
        return [item for item in self.items if isinstance(item, Group)]

    def members(self) -> Iterator[int]:
        """The indices of all nodes in it."""
        for item in self.items:
            if isinstance(item, Group):
                yield from item.members()
            else:
                yield item


def group_by_modules(snapshot: GraphSnapshot, hidden: Set[int], short: Callable[[str], str]) -> tuple[Group, dict[int, Group]]:
    """Return the root of the tree: in it is what lies outside of all modules, and the rest. hidden: nodes that are left out.
    short: makes one short line of a name.

    A module that made one node is no group: these are returned too, by their nodes.
    """
    calls = snapshot.modules.calls if snapshot.modules else ()
    root = Group("", "")
    names = [_name(call, calls) for call in calls]
    groups = [Group(name and short(name), short(call.kind), call.path, finished=call.finished)
              for name, call in zip(names, calls)]
    placed: set[int] = set()
    for i, node in enumerate(snapshot.nodes):
        if i in hidden:
            continue
        item: int | Group = i
        call = node.call
        while call is not None and call not in placed:      # a group stands where its first node does
            groups[call].items.append(item)
            placed.add(call)
            item, call = groups[call], calls[call].parent
        (root if call is None else groups[call]).items.append(item)
    alike = _Alike(snapshot)
    for group in (root, *groups):
        alike.look_at(group)
    for group in (root, *groups):
        group.items = _in_stretches(list(alike.gathered(group.items)))
    single: dict[int, Group] = {}
    for number, group in enumerate(walk(root)):
        group.key = f"m{number}"
        for at, item in enumerate(group.items):
            if isinstance(item, Group) and len(item.items) == 1 and isinstance(item.items[0], int):
                group.items[at] = item.items[0]
                single[item.items[0]] = item
    return root, single


def walk(group: Group) -> Iterator[Group]:
    """A group, and all groups in it, each after the one around it."""
    yield group
    for inner in group.groups:
        yield from walk(inner)


def opened(root: Group, most: int, depth: int | None = None) -> set[str]:
    """The keys of the groups that are open at first: to a depth, or as deep as no more boxes than `most` are seen.

    A run of siblings that are like the one before it stays folded, unless everything is to be open.
    """
    found, level, boxes = {root.key}, [root], len(root.items)
    for _ in range(EVERYTHING if depth is None else depth):
        level = [group for outer in level for group in outer.groups if depth == EVERYTHING or not group.repeats]
        boxes += sum(len(group.items) - 1 for group in level)
        if not level or depth is None and boxes > most:
            break
        found |= {group.key for group in level}
    return found


def _name(call: ModuleCall, calls: Sequence[ModuleCall]) -> str:
    """What a call is called inside the call around it."""
    around = "" if call.parent is None else calls[call.parent].path
    paths = call.path.split(" = ")
    inside = [path.removeprefix(f"{outer}.") for path in paths for outer in around.split(" = ") if path.startswith(f"{outer}.")]
    name = next(iter(inside), call.path)
    return f"{name} #{call.number}".strip() if call.calls > 1 else name


class _Alike:
    """Finds siblings that are repeated: the layers of a network, or a cell that is called for each step.

    numbers: for each kind of thing, its number: what a node does and the shapes of its results; what a group is made of.
    of_group: for each group that was looked at, by its id, its number.
    """

    def __init__(self, snapshot: GraphSnapshot) -> None:
        self.nodes = snapshot.nodes
        self.numbers: dict[Hashable, int] = {}
        self.of_group: dict[int, int] = {}

    def look_at(self, group: Group) -> int:
        if id(group) not in self.of_group:
            inside = tuple(map(self.number_of, group.items))
            self.of_group[id(group)] = self.numbers.setdefault((group.kind, inside), len(self.numbers))
        return self.of_group[id(group)]

    def number_of(self, item: int | Group) -> int:
        if isinstance(item, Group):
            return self.look_at(item)
        node = self.nodes[item]
        return self.numbers.setdefault((node.name, node.results), len(self.numbers))

    def gathered(self, items: Sequence[int | Group]) -> Iterator[int | Group]:
        """The same items, with one group for what is repeated."""
        numbers = [self.number_of(item) for item in items]
        starts = [at for at, item in enumerate(items) if isinstance(item, Group)]
        at = 0
        while at < len(items):
            here = bisect.bisect_left(starts, at)
            length, end, times = _repeated(numbers, starts[here: here + MOST_REPEATED + 1], at)
            if times < LEAST_ALIKE:
                yield items[at]
                at += 1
                continue
            yield from items[at: at + length]
            rest = list(items[at + length: end])
            first, *_, last = [item for item in rest if isinstance(item, Group)]
            kinds = ", ".join(item.kind for item in items[at: at + length] if isinstance(item, Group))
            what = f"({kinds})" if ", " in kinds else kinds
            yield Group(_from_to(first, last), f"{times - 1} × {what}, alike", items=_in_stretches(rest),
                        is_call=False, repeats=True)
            at = end


def _repeated(numbers: Sequence[int], starts: Sequence[int], at: int) -> tuple[int, int, int]:
    """How many items are repeated from here on, where the last of them ends, and how often they stand there.

    numbers: of items that are alike, the same. starts: where the next groups are among them.
    """
    best = (0, at, 0)
    if not starts or starts[0] != at:
        return best
    for following, last in zip(starts[1:], starts):
        length = following - at
        end = at + length
        while numbers[end: end + length] == numbers[at: at + length]:
            end += length
        times = (end - at) // length
        core = last + 1 - at        # what follows the modules may be missing the last time
        if core < length and numbers[end: end + core] == numbers[at: at + core]:
            end, times = end + core, times + 1
        if end > best[1] and times > 1:
            best = length, end, times
    return best


def _in_stretches(items: list[int | Group]) -> list[int | Group]:
    """The same items, with one group for each stretch where they are too many."""
    if len(items) <= MOST_ITEMS:
        return items
    size = math.ceil(math.sqrt(len(items)))
    return _in_stretches([_stretch(items[at: at + size]) for at in range(0, len(items), size)])


def _stretch(items: list[int | Group]) -> int | Group:
    if len(items) == 1:
        return items[0]
    groups = sum(isinstance(item, Group) for item in items)
    kinds = [(len(items) - groups, "operation"), (groups, "module")]
    what = " and ".join(f"{count} {kind}{'s' * (count != 1)}" for count, kind in kinds if count)
    return Group(_from_to(items[0], items[-1]), what, items=items, is_call=False)


def _from_to(first: int | Group, last: int | Group) -> str:
    names = (item.name or item.kind if isinstance(item, Group) else f"[{item + 1}]" for item in (first, last))
    return " … ".join(names)
