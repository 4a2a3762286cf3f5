"""The plans for lectures in the README name sections that are there, and fill fifty minutes."""

import re
from pathlib import Path

import nbformat
import pytest
from rules import NOTEBOOKS

PLANS = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8").partition("## Plans for lectures\n")[2]


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_a_plan_names_sections_of_its_notebook_and_fills_fifty_minutes(path):
    plan = re.search(rf"^### {path.name[:2]} · .+?(?=^### |\Z)", PLANS, re.MULTILINE | re.DOTALL)[0]
    rows = [[column.strip() for column in row.split(" | ")] for row in re.findall(r"^\| (\d.+) \|$", plan, re.MULTILINE)]
    assert sum(int(minutes) for minutes, *_ in rows) == 50
    markdown = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown"]
    there = {title for source in markdown for title in re.findall(r"^##+ (.+)$", source, re.MULTILINE)} | {"Recall"}
    named = [title for _, sections, *_ in rows for title in sections.split(" · ")]
    assert [title for title in named if title not in there] == []
