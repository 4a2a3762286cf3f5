"""Write the tables of docs/class.md: what a class costs, from deploy/costs.json, deploy/values.yaml and docs/class.json."""

import argparse
import json
import re
from math import ceil

from project import ROOT, page, write

PAGE = ROOT / "docs/class.md"
COSTS = ROOT / "deploy/costs.json"
VALUES = ROOT / "deploy/values.yaml"
LOAD = ROOT / "docs/class.json"     # what `make load-test ARGS=--store` writes
CLASSES = (30, 300, 3000)
UNITS = {"M": 1, "G": 1024, "Mi": 1, "Gi": 1024}       # JupyterHub reads M and G as Mi and Gi


def megabytes(amount: str) -> float:
    """An amount of memory or disk in the values of the chart, in MB. A MB is 2**20 bytes on the whole page, and a GB 2**30."""
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", amount).groups()      # type: ignore[union-attr]
    return float(number) * UNITS[unit]


def with_06(costs: dict) -> int:
    """MB of a student's server, with the kernel of notebook 06 at its peak."""
    return costs["server_mb"] + costs["kernel_mb"]["06"]["peak"]


def students_on_a_node(node: dict, guarantee: float, cpu: float) -> dict[str, int]:
    """How many servers each resource of a node is enough for."""
    left = 1 - node["kept_by_kubernetes"]
    return {"memory": int(node["memory_gb"] * 1024 * left / guarantee), "processors": int(node["cores"] * left / cpu),
            "pods": node["most_pods"] - node["pods_of_the_system"]}


def needs(students: int, costs: dict, guarantee: float, cpu: float) -> dict[str, float]:
    """What a class needs on a cluster, where all are there at once."""
    node, seconds = costs["node"], costs["processor_seconds"]
    each = min(students_on_a_node(node, guarantee, cpu).values())
    nodes = ceil(students / each)
    start = seconds["server"] + seconds["copy of the course"] + seconds["kernel and set-up cell"]
    return {"nodes": nodes, "start": students * start / (nodes * node["cores"]),
            "run": students * seconds["Run All of 06"] / (nodes * node["cores"]), "node_hours": (nodes + 1) * costs["hours"]}


def tables() -> str:
    """The generated part of the page."""
    import yaml
    costs = json.loads(COSTS.read_text(encoding="utf-8"))
    values = yaml.safe_load(VALUES.read_text(encoding="utf-8"))
    server = values["singleuser"]
    parts = [in_short(costs, server, values["hub"]["concurrentSpawnLimit"]), one_student(costs, server["memory"]), one_node(costs, server), classes(costs, server),
             one_machine(costs), load_test()]
    return "\n" + "\n\n".join(parts) + "\n"


def rows(*cells: tuple) -> str:
    """A table in Markdown: the first row is its head."""
    head, *others = ("| " + " | ".join(map(str, row)) + " |" for row in cells)
    return "\n".join([head, "|---" * len(cells[0]) + "|", *others])


def in_short(costs: dict, server: dict, starts: int) -> str:
    guarantee, cpu, node = megabytes(server["memory"]["guarantee"]), server["cpu"]["guarantee"], costs["node"]
    students, need = CLASSES[1], needs(CLASSES[1], costs, guarantee, cpu)
    peak = with_06(costs)
    text = f"""### A class of {students}, in short

- **On a cluster** you pay for nodes: {need["nodes"]} + 1 of {node["memory_gb"]} GB. {students * guarantee / 1024:.0f} GB of them are guaranteed to the students, and
  {students * peak / 1024:.0f} GB are used when all have 06 at its peak. What fails first: students come before the nodes are there, and wait.
  The hub lets {starts} start at the same time."""
    if not LOAD.exists():
        return text
    model = json.loads(LOAD.read_text(encoding="utf-8"))["model"]
    first, most = min(model["most_students_on_this_machine"].items(), key=lambda one: one[1])
    return f"""{text}
- **On one machine**, {students} students with 03 would need {model["classes"][str(students)]["memory_gb"]:.0f} GB: what fails first there is the {first}. The machine that
  was measured has room for {int(most)}."""


def one_student(costs: dict, memory: dict) -> str:
    guarantee, limit = megabytes(memory["guarantee"]), megabytes(memory["limit"])
    base, kernels = costs["server_mb"], costs["kernel_mb"]
    more = [name for name, kernel in kernels.items() if base + kernel["peak"] > guarantee]
    head = ("Notebook", "Kernel after the set-up cell", "after Run All", "peak", "server and kernel at the peak")
    table = rows(head, *((name, *(f"{kernel[state]} MB" for state in ("at rest", "after Run All", "peak")),
                          f"{base + kernel['peak']} MB") for name, kernel in kernels.items()))
    return f"""### One student

A student's server takes {base} MB, and each open notebook a kernel beside it. MB are 2**20 bytes of a process's own memory, with
those that it starts. Pages of files, such as PyTorch's code, are left out, because all on a machine have them together. Measured {costs["measured_in"]}.

{table}

- **Guaranteed: {guarantee:.0f} MB.** Enough for one notebook at its peak, but for {" and ".join(more)}, and for 07 on some processors.
- **Limit: {limit:.0f} MB.** The largest peak is {base + max(kernel["peak"] for kernel in kernels.values())} MB. Over the limit,
  Kubernetes ends the kernel, or the server.
- **Promised more than there is.** The limit is {limit / guarantee:.1f} times what is guaranteed: if all went to it at once, a node would be short."""


def one_node(costs: dict, server: dict) -> str:
    guarantee, cpu, node = megabytes(server["memory"]["guarantee"]), server["cpu"]["guarantee"], costs["node"]
    fit, left = students_on_a_node(node, guarantee, cpu), 1 - node["kept_by_kubernetes"]
    each, peak = min(fit.values()), with_06(costs)
    return f"""### One node

As an example, {node["memory_gb"]} GB and {node["cores"]} cores, of which Kubernetes keeps {node["kept_by_kubernetes"]:.0%}:

- memory: {node["memory_gb"]} × 1024 × {left:.1f} / {guarantee:.0f} = {fit["memory"]} students;
- processors: {node["cores"]} × {left:.1f} / {cpu} = {fit["processors"]} students;
- pods: Kubernetes runs {node["most_pods"]} on a node, and about {node["pods_of_the_system"]} are its own: {fit["pods"]} students.

So {each} students fit on it. If each had 06 at its peak, they would use {each} × {peak} MB = {each * peak / 1024:.0f} GB."""


def classes(costs: dict, server: dict) -> str:
    guarantee, cpu = megabytes(server["memory"]["guarantee"]), server["cpu"]["guarantee"]
    disk, parts = megabytes(server["storage"]["capacity"]), costs["processor_seconds"]
    each, node = min(students_on_a_node(costs["node"], guarantee, cpu).values()), costs["node"]
    peak = with_06(costs)
    wanted = {students: needs(students, costs, guarantee, cpu) for students in CLASSES[1:]}
    head = ("Students at once", "Memory guaranteed", "used with 06 at its peak", "Nodes", "Disk for homes", "Time to start, at least",
            "Run All of 06, all at once", "Node-hours of a lecture")
    table = rows(head, *((f"{students:,}", f"{students * guarantee / 1024:,.0f} GB", f"{students * peak / 1024:,.0f} GB",
                          f"{need['nodes']} + 1", f"{students * disk / 1024:,.0f} GB", f"{need['start']:.0f} s",
                          f"{need['run']:.0f} s", f"{need['node_hours']:.0f}") for students, need in wanted.items()))
    return f"""### A class

{table}

Memory guaranteed: students × {guarantee:.0f} MB; used: students × {peak} MB. Nodes: students / {each}, and one more for those who
come late; with {node["memory_gb"]} GB each, that is {(wanted[CLASSES[1]]["nodes"] + 1) * node["memory_gb"]} GB for {CLASSES[1]} students. Node-hours: all nodes for {costs["hours"]} hours, which are the
lecture and the time before it; times the price of an hour at your provider. Time to start: students ×
({parts["server"]} + {parts["copy of the course"]} + {parts["kernel and set-up cell"]}) seconds of a processor / all cores, for server, copy of the course, and kernel.
The nodes' processors allow no faster start; one hub may take longer."""


def one_machine(costs: dict) -> str:
    students, system, base = CLASSES[0], 2, costs["server_mb"]
    table = rows(("Notebook", "Memory"), *(
        (name, f"{students} × {base + kernel['peak']} MB + {system} GB = {students * (base + kernel['peak']) / 1024 + system:.0f} GB")
        for name, kernel in costs["kernel_mb"].items()))
    return f"""### One machine

For `make class` with {students} students, all with one notebook at its peak, and {system} GB for the system and the hub:

{table}

Who has a second notebook open has a second kernel: its memory after Run All comes on top. A kernel that nobody has used for an
hour ends."""


def load_test() -> str:
    """What the load test has measured, where its results are there."""
    title = "### Simulated students\n\n"
    if not LOAD.exists():
        return title + "Nothing is measured yet: `make load-test ARGS=--store`."
    found = json.loads(LOAD.read_text(encoding="utf-8"))
    head = "Students", "Came", "Hub killed", "The last has a kernel after", "has saved after", "Memory of all at the peak", "Lost"
    table = rows(head, *((one["students"], f"within {one['arrivals_over_seconds']:g} s" if one["arrivals_over_seconds"] else "at once",
                          len(one["killed"]), f"{one['seconds']['last_kernel']} s", f"{one['seconds']['last_saved']} s",
                          f"{one['memory_mb']['peak_of_all'] / 1024:.1f} GB", one["lost"]) for one in found["lessons"]))
    text = f"""{title}`make load-test` on a machine with {found["machine"]}, {found["date"]}. All do: log in, open 03, Run All, save.

{table}"""
    return f"{text}\n\n{modelled(found['model'])}" if "model" in found else text


TESTED = {"idle_mb": "MB, when all have a kernel", "peak_mb": "MB at the peak", "login_processor_seconds": "processor seconds of the logins",
          "run_all_processor_seconds": "processor seconds of Run All", "last_kernel_seconds": "seconds until the last has a kernel",
          "last_run_all_seconds": "seconds until the last Run All has ended"}
USED_UP = {"memory": "memory is used up by {} students", "cores": "the cores, when {} come within {} minutes",
           "hub": "the hub's one core, when {} come in that time", "disk": "the disk by {}"}


def modelled(model: dict) -> str:
    """The model of larger classes, how well it did for a class that could be measured, and what is used up first on one machine."""
    head = "Students", "Cores, on average", "Memory", "Disk for copies of the course", "The hub's own processor time"
    table = rows(head, *((f"{int(size):,}", need["cores_for_the_rush"], f"{need['memory_gb']} GB", f"{need['disk_gb']} GB",
                          f"{need['hub_seconds']} s") for size, need in model["classes"].items()))
    middle = str(CLASSES[1])
    size, tests = list(model["tested"].items())[-1]
    small = " and ".join(map(str, model["tested_from_classes_of"]))
    test = rows((f"{size} students, all at once", f"said from classes of {small}", "measured", "error"), *(
        (TESTED[name], f"{one['predicted']:,.0f}", f"{one['measured']:,.0f}", f"{one['error_percent']:+.0f} %")
        for name, one in tests.items()))
    most = sorted(model["most_students_on_this_machine"].items(), key=lambda one: one[1])
    used_up = "; ".join(USED_UP[what].format(f"{int(students):,}", model["rush_minutes"]) for what, students in most)
    return f"""A model: the straight lines nearest to the classes that nobody disturbed ({", ".join(map(str, model["made_from_classes_of"]))}
students), for one machine with enough cores, when all come within {model["rush_minutes"]} minutes. Its assumptions stand in tools/load/model.py.

{table}

The hub is one process, and uses one core at the most. So it starts at most
{60 * CLASSES[1] / model["classes"][middle]["hub_seconds"]:.0f} students in a minute, on cores like these, and nothing else then. All other numbers plan with 80 % of the cores, because a
queue grows where all of them are busy.

**What fails first on that machine:** {used_up}.

How far can such a model be trusted? Made from the
smaller classes alone, it said of the largest one that was measured:

{test}"""


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    write(PAGE, page(PAGE, tables()))
    print(f"{PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
