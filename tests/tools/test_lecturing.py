"""The plans for lectures: docs/lecturing.md is made of the notes in the notebooks, and a damaged note is named."""

import lecturing
import nbformat
import pytest
from rules import NOTEBOOKS


def test_the_page_is_that_of_the_notebooks():
    assert lecturing.PAGE.read_text(encoding="utf-8") == lecturing.page(), "run `make docs`"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_plan_of_a_notebook_fills_its_time_and_comes_to_its_end(path):
    steps = lecturing.steps_of(nbformat.read(path, as_version=4))
    assert sum(step.minutes for step in steps) == (50 if path != NOTEBOOKS[0] else 5)
    if path != NOTEBOOKS[0]:
        assert steps[0].sections[0] == "Recall" and steps[-1].sections[-1] == "The rules"


@pytest.mark.parametrize("cell, old, new, words", [
    ("01-13-note", "**Plan: 8 minutes.**", "**Plan.**", "01-13-note: its plan does not begin like this: **Plan: 8 min"),
    ("01-13-note", "**Plan: 8", "Now.\n\n**Plan: 8", "01-13-note: its plan does not begin like this: **Plan: 8 min"),
    ("01-13-note", "On the board", "On the wall", "01-13-note: a line of its plan begins with 'On the wall', and not "),
    ("01-13-note", "8 minutes", "9 minutes", "01-01: it says 50 minutes, and the plans of its notebook make 51."),
    ("01-13-note", "8 minutes.", "for home.", "01-01: it says 50 minutes, and the plans of its notebook make 42."),
    ("01-13-note", "8 minutes", "8 minutes for 2 sections", "01-13-note: its plan says 2 sections, and 1 are there: "),
    ("01-recall-note", "**Plan: 2 minutes.**", "", "01-recall: its section, Recall, stands before the first plan."),
])
def test_a_damaged_note_is_named_and_the_page_stays(tmp_path, monkeypatch, cell, old, new, words):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "docs").mkdir()
    notebook = nbformat.read(NOTEBOOKS[1], as_version=4)
    note = next(one for one in notebook.cells if one.id == cell)
    assert old in note.source
    note.source = note.source.replace(old, new)
    nbformat.write(notebook, tmp_path / "notebooks/01_damaged.ipynb")
    page = tmp_path / "docs/lecturing.md"
    page.write_text("Words.\n", encoding="utf-8")
    monkeypatch.setattr(lecturing, "ROOT", tmp_path)
    monkeypatch.setattr(lecturing, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["lecturing.py"])
    with pytest.raises(SystemExit) as stopped:
        lecturing.main()
    said = str(stopped.value.code)
    assert said.startswith(f"01_damaged.ipynb, cell {words}") and said.endswith(" docs/lecturing.md is left as it was.")
    assert "\n" not in said and page.read_text(encoding="utf-8") == "Words.\n"
