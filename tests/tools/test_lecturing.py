"""The plans for lectures: docs/lecturing.md is made of the notes in the notebooks, and a damaged note is named."""

import nbformat
import pytest

import lecturing
from project import is_workshop, notebooks, page, read


def test_the_page_is_that_of_the_notebooks():
    plans = "".join(map(lecturing.plan_of, notebooks()))
    assert lecturing.PAGE.read_text(encoding="utf-8") == page(lecturing.PAGE, plans), "run `make docs`"


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_the_plan_of_a_notebook_fills_its_time_and_comes_to_its_end(path):
    notebook = read(path)
    steps = lecturing.steps_of(notebook)
    if is_workshop(notebook):
        assert steps == []
        return
    assert sum(step.minutes for step in steps) == (5 if path.name.startswith("00") else 50)
    if not path.name.startswith("00"):
        assert steps[0].sections[0] == "Recall" and steps[-1].sections[-1] == "The rules"


@pytest.mark.parametrize("cell, old, new, words", [
    ("01-13-note", "**Plan: 8 minutes.**", "**Plan.**", "01-13-note has a plan that does not begin like this: **Plan: 8 min"),
    ("01-13-note", "**Plan: 8", "Now.\n\n**Plan: 8", "01-13-note has a plan that does not begin like this: **Plan: 8 min"),
    ("01-13-note", "On the board", "On the wall", "01-13-note has a line in its plan that begins with 'On the wall', and not"),
    ("01-13-note", "8 minutes", "9 minutes", "01-01 says 50 minutes, and the plans of the notebook make 51."),
    ("01-13-note", "8 minutes.", "for home.", "01-01 says 50 minutes, and the plans of the notebook make 42."),
    ("01-13-note", "8 minutes", "8 minutes for 2 sections", "01-13-note has a plan that says 2 sections, and 1 are there: "),
    ("01-recall-note", "**Plan: 2 minutes.**", "", "01-recall begins the section Recall, before the first plan."),
])
def test_a_damaged_note_is_named_and_the_page_stays(tmp_path, monkeypatch, cell, old, new, words):
    notebook = read(notebooks()[1])
    note = next(one for one in notebook.cells if one.id == cell)
    assert old in note.source
    note.source = note.source.replace(old, new)
    damaged, written = tmp_path / "01_damaged.ipynb", tmp_path / "docs/lecturing.md"
    nbformat.write(notebook, damaged)
    written.parent.mkdir()
    written.write_text("Words.\n", encoding="utf-8")
    monkeypatch.setattr(lecturing, "ROOT", tmp_path)
    monkeypatch.setattr(lecturing, "PAGE", written)
    monkeypatch.setattr(lecturing, "notebooks", lambda: [damaged])
    with pytest.raises(SystemExit) as stopped:
        lecturing.main([])
    said = str(stopped.value.code)
    assert said.startswith(f"01_damaged.ipynb: cell {words}") and said.endswith(" docs/lecturing.md is left as it was.")
    assert "\n" not in said and written.read_text(encoding="utf-8") == "Words.\n"
