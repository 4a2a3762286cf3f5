"""The table of versions: docs/versions.md is made of docs/versions.json, which has a row for each Python."""

import pytest

import upgrade_report
import versions
from project import page


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty table in another folder."""
    monkeypatch.setattr(versions, "DATA", tmp_path / "versions.json")
    monkeypatch.setattr(versions, "PAGE", tmp_path / "versions.md")
    versions.DATA.write_text("[]", encoding="utf-8")
    versions.PAGE.write_text("By hand.\n", encoding="utf-8")


def test_a_row_takes_the_place_of_the_earlier_one_and_all_are_in_order(elsewhere):
    for row in [("3.14", "2.13.0", (1, 1), (1, 1)), ("3.11", "2.13.0", (0, 9), (0, 9)), ("3.11", "2.9.0", (1, 1), (1, 1)),
                ("3.11", "2.13.0", (2, 3), (7, 8)), ("3.9", "2.13.0", (2, 3), (7, 8))]:
        versions.enter(*row)
    by_hand, *lines = versions.PAGE.read_text(encoding="utf-8").splitlines()
    assert by_hand == "By hand."
    assert [line for line in lines if line.startswith("| 3")] == [
        "| 3.9 | 2.13.0 | 2 of 3 | 7 of 8 |", "| 3.11 | 2.9.0 | 1 of 1 | 1 of 1 |", "| 3.11 | 2.13.0 | 2 of 3 | 7 of 8 |",
        "| 3.14 | 2.13.0 | 1 of 1 | 1 of 1 |"]


def test_the_page_is_that_of_the_data():
    assert versions.PAGE.read_text(encoding="utf-8") == page(versions.PAGE, versions.table()), "run `make docs`"


def test_all_cells_are_as_stored_with_the_version_of_the_course():
    ours = [one for one in versions.load() if one["torch"] == upgrade_report.pinned()]
    assert [one["python"] for one in ours] == ["3.11", "3.12", "3.13", "3.14"]
    assert all(same == total for one in ours for same, total in [one["cells"]])
