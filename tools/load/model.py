"""What a class of another size would need, from what small ones were measured to cost.

The assumptions:

- A cost is a line: what the class takes with nobody in it, and as much again for each student. It is the nearest line to the
  measured classes.
- What takes time is the work of the processor; nobody waits for the disk or the network. Other cores are as fast as these.
- The hub is one process with one thread. It uses one core at the most, so it has a time of its own, however many cores there are.
- Students share what they read: PyTorch's libraries are in memory once on each machine. Where a class is on many machines, each
  has them, and the system, once.
- In a rush of R minutes, students arrive evenly, and `USED` of the cores' time is planned with: with all of it, a queue grows.
"""

from dataclasses import dataclass

USED = 0.8              # the share of the cores' time that is planned with
SYSTEM = 1024           # MB that the system itself needs, with room for its files' cache


@dataclass(frozen=True)
class Line:
    """A cost of a class: `base` with nobody in it, and `each` for each student."""

    base: float
    each: float

    def __call__(self, students: float) -> float:
        return self.base + self.each * students

    def students(self, available: float) -> float:
        """How many students that much is enough for."""
        return max(0.0, (available - self.base) / self.each) if self.each > 0 else float("inf")


def line(*points: tuple[float, float]) -> Line:
    """The straight line nearest to points (students, cost), by least squares. Raises ValueError for fewer than two sizes."""
    count = len(points)
    middle, level = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - middle) ** 2 for x, _ in points)
    if not spread:
        raise ValueError(f"A line needs classes of two sizes, and was given {count} of {middle:g} students: measure another.")
    each = sum((x - middle) * (y - level) for x, y in points) / spread
    return Line(level - each * middle, each)


@dataclass(frozen=True)
class Costs:
    """What was measured.

    login, run: seconds of processor time until all have a kernel, and for Run All; hub: those of the hub's one process, for both.
    idle, active, peak: MB with a kernel that has run nothing, after Run All, and at the most. disk: MB.
    """

    login: Line
    run: Line
    hub: Line
    idle: Line
    active: Line
    peak: Line
    disk: Line


def needs(costs: Costs, students: int, rush: float, share_active: float = 1.0) -> dict[str, float]:
    """What a class needs: cores for a login rush of so many minutes, GB of memory, GB of disk, and the hub's own seconds.

    share_active: the share of the students who have run their notebook, and keep its kernel.
    """
    seconds = rush * 60
    return {
        "cores_for_the_rush": costs.login(students) / (seconds * USED),
        "hub_seconds": costs.hub(students),
        "hub_share_of_the_rush": costs.hub(students) / seconds,
        "memory_gb": (SYSTEM + costs.peak(students * share_active) + costs.idle.each * students * (1 - share_active)) / 1024,
        "disk_gb": costs.disk(students) / 1024,
    }


def all_at_once(costs: Costs, students: int, cores: float) -> dict[str, float]:
    """Seconds until the last is in when all come at once, and until the last has run when all press Run All at once.

    The hub's one thread may be what all wait for.
    """
    return {"login_seconds": max(costs.login(students) / cores, costs.hub(students)),
            "run_all_seconds": costs.run(students) / cores}


def most_students(costs: Costs, cores: float, memory_gb: float, disk_gb: float, rush: float) -> dict[str, float]:
    """With how many students each thing is used up on a machine: the smallest number is what fails first.

    cores, hub: in a login rush of so many minutes; memory: when all have run their notebook; seconds of Run All do not fail, they
    take longer.
    """
    seconds = rush * 60
    return {"memory": costs.peak.students(memory_gb * 1024 - SYSTEM), "cores": costs.login.students(cores * seconds * USED),
            "hub": costs.hub.students(seconds * USED), "disk": costs.disk.students(disk_gb * 1024)}
