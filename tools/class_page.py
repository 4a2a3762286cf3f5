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
BYTES = {"M": 1, "G": 1000, "Mi": 1.048576, "Gi": 1073.741824}


def megabytes(amount: str) -> float:
    """An amount of memory or disk as Kubernetes writes it, in MB."""
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", amount).groups()      # type: ignore[union-attr]
    return float(number) * BYTES[unit]


def students_on_a_node(node: dict, guarantee: float, cpu: float) -> dict[str, int]:
    """How many servers each resource of a node is enough for."""
    left = 1 - node["kept_by_kubernetes"]
    return {"memory": int(node["memory_gb"] * 1000 * left / guarantee), "processors": int(node["cores"] * left / cpu),
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
    import yaml
    costs, server = json.loads(COSTS.read_text(encoding="utf-8")), yaml.safe_load(VALUES.read_text(encoding="utf-8"))["singleuser"]
    guarantee, limit = (megabytes(server["memory"][name]) for name in ("guarantee", "limit"))
    disk, cpu, node = megabytes(server["storage"]["capacity"]), server["cpu"]["guarantee"], costs["node"]
    fit = students_on_a_node(node, guarantee, cpu)
    each, base = min(fit.values()), costs["server_mb"]
    lines = ["", "### One student", "", f"A student's server takes {base} MB, and each open notebook a kernel beside it. Measured in "
             f"{costs['measured_in']}.", "",
             "| Notebook | Kernel after the set-up cell | after Run All | peak | server and kernel at the peak |", "|---|---|---|---|---|"]
    for name, kernel in costs["kernel_mb"].items():
        lines.append(f"| {name} | {kernel['at rest']} MB | {kernel['after Run All']} MB | {kernel['peak']} MB | {base + kernel['peak']} MB |")
    worst = base + max(kernel["peak"] for kernel in costs["kernel_mb"].values())
    typical = base + costs["kernel_mb"]["06"]["peak"]
    lines += ["", f"- **Guaranteed: {guarantee:.0f} MB.** Enough for one notebook at its peak in 00 to 06 ({typical} MB in 06).",
              f"- **Limit: {limit:.0f} MB.** The largest peak is {worst} MB. Over the limit, Kubernetes ends the kernel, or the server.",
              f"- **Promised more than there is: {limit / guarantee:.1f} times.** If all went to the limit at once, a node would be short.",
              "", "### One node", "",
              f"As an example, {node['memory_gb']} GB and {node['cores']} cores, of which Kubernetes keeps {node['kept_by_kubernetes']:.0%}:", "",
              f"- memory: {node['memory_gb']} × 1000 × {1 - node['kept_by_kubernetes']:.1f} / {guarantee:.0f} = {fit['memory']} students;",
              f"- processors: {node['cores']} × {1 - node['kept_by_kubernetes']:.1f} / {cpu} = {fit['processors']} students;",
              f"- pods: Kubernetes runs {node['most_pods']} on a node, and about {node['pods_of_the_system']} are its own: {fit['pods']} students.",
              "", f"So {each} students fit on it. If each had 06 at its peak, they would use {each * typical / 1000:.0f} GB.",
              "", "### A class", "",
              "| Students at once | Nodes | Disk for homes | Processor time to start | Run All of 06, all at once | Node-hours of a lecture |",
              "|---|---|---|---|---|---|"]
    for students in CLASSES[1:]:
        need = needs(students, costs, guarantee, cpu)
        lines.append(f"| {students:,} | {need['nodes']} + 1 | {students * disk / 1000:.0f} GB | {need['start']:.0f} s | {need['run']:.0f} s "
                     f"| {need['node_hours']:.0f} |")
    parts = costs["processor_seconds"]
    lines += ["", f"Nodes: students / {each}, and one more for those who come late. Node-hours: all of them for {costs['hours']} hours, "
              "which is the lecture, and the time before it; times the price of an hour at your provider. Processor time to start: "
              f"students × ({parts['server']} + {parts['copy of the course']} + {parts['kernel and set-up cell']}) s / all cores: no start "
              "can be faster than that."]
    return "\n".join(lines + one_machine(costs, base) + load_test()) + "\n"


def one_machine(costs: dict, base: int) -> list[str]:
    students, system = CLASSES[0], 2
    lines = ["", "### One machine", "", f"For `make class` with {students} students, all with one notebook at its peak, and {system} GB for "
             "the system and the hub:", "", "| Notebook | Memory |", "|---|---|"]
    for name, kernel in costs["kernel_mb"].items():
        lines.append(f"| {name} | {students} × {base + kernel['peak']} MB + {system} GB = "
                     f"{students * (base + kernel['peak']) / 1000 + system:.0f} GB |")
    return lines


def load_test() -> list[str]:
    """What the load test has measured, where its results are there."""
    if not LOAD.exists():
        return ["", "### Simulated students", "", "Nothing is measured yet: `make load-test ARGS=--store`."]
    found = json.loads(LOAD.read_text(encoding="utf-8"))
    lines = ["", "### Simulated students", "",
             f"`make load-test` on a machine with {found['machine']}, {found['date']}. All do: log in, open 03, Run All, save.", "",
             "| Students | Came | Hub killed | The last has a kernel after | has saved after | Memory of all at the peak | Lost |",
             "|---|---|---|---|---|---|---|"]
    for one in found["lessons"]:
        over = one["arrivals_over_seconds"]
        lines.append(f"| {one['students']} | {f'within {over:g} s' if over else 'at once'} | {len(one['killed'])} times "
                     f"| {one['seconds']['last_kernel']} s | {one['seconds']['last_saved']} s "
                     f"| {one['memory_mb']['peak_of_all'] / 1000:.1f} GB | {one['lost']} |")
    if "model" in found:
        model = found["model"]
        lines += ["", f"A model from the classes of {' and '.join(map(str, model['made_from_classes_of']))}, for one machine with enough "
                  f"cores, when all come within {model['rush_minutes']} minutes:", "",
                  "| Students | Cores | Memory | Disk | The hub's own processor time |", "|---|---|---|---|---|"]
        for size, need in model["classes"].items():
            lines.append(f"| {size} | {need['cores_for_the_rush']} | {need['memory_gb']} GB | {need['disk_gb']} GB | {need['hub_seconds']} s |")
        lines += ["", "The hub is one process, and uses one core at the most. So it starts at most "
                  f"{60 * CLASSES[1] / model['classes'][str(CLASSES[1])]['hub_seconds']:.0f} students in a minute, on cores like these."]
    return lines


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    write(PAGE, page(PAGE, tables()))
    print(f"{PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
