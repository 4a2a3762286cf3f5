"""The mutants and their report: a control, a sample that is run, and the report against the mutants that there are."""

import os
import re
import subprocess
import sys

import mutants
from mutants import run
from project import ROOT, claims, notebooks, read

# Loading the mutants imports what they change, and changes nothing.
MUTANTS = mutants.load()
REPORT = run.REPORT.read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| (.+?) \((\S+)\) \| ", re.MULTILINE)


def test_the_report_has_a_row_for_each_mutant_and_all_are_noticed():
    rows = {name: (change, cell) for name, change, _, cell in ROW.findall(REPORT)}
    assert rows == {mutant.name: (mutant.change, mutant.cell) for mutant in MUTANTS.values()}, "run `make mutants`"
    assert "**not noticed**" not in REPORT
    assert sum(mutant.library == "PyTorch" for mutant in MUTANTS.values()) >= 40


def test_each_row_names_the_claim_under_which_the_cell_stands():
    heading = {cell: claim for path in notebooks() for cell, claim in claims(read(path)).items()}
    assert [cell for _, _, place, cell in ROW.findall(REPORT) if not place.endswith(f": {heading[cell]}")] == []


def test_what_each_mutant_changes_is_there():
    """In a process of its own, where all are applied, one after the other."""
    code = "import mutants; print([mutant.apply() for mutant in mutants.load().values()])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests", capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert ran.returncode == 0, ran.stderr


def test_without_a_mutant_no_cell_differs():
    assert run.differences("", notebooks()[0]) == []


def test_a_mutant_of_each_library_is_noticed_in_its_cell():
    for mutant in [MUTANTS["backward_never_frees"], MUTANTS["freed_is_shown_as_alive"]]:
        difference, count = run.verdict(mutant)
        assert difference.cell == mutant.cell and count >= 1
        assert "freed" in difference.stored


def test_a_mutant_that_changes_nothing_is_reported_as_not_noticed():
    def changes_nothing():
        """Nothing is different."""
    row = run.row(mutants.Mutant("00-06", changes_nothing), None, 0)
    assert row == "| `changes_nothing` | Nothing is different. | **not noticed** |  |  | 0 |"
