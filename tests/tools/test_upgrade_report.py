"""tools/upgrade_report.py: its page, and the copy of the course that it tries a version in."""

from html.parser import HTMLParser

import pytest

import upgrade_report
from project import ROOT


def cell(name, claim, difference=None):
    return {"notebook": "04_x.ipynb", "title": "04 Gradient <accumulation>", "claim": claim, "cell": name,
            "difference": difference}


RESULTS = {
    "cells": [
        cell("04-03", "Each backward adds to `.grad`"),
        cell("04-05", "`None` is not zero", {"source": "print(a < b)", "stored": "one\ntwo & three", "fresh": "one\ntwo & four",
                                             "end": ""}),
        cell("04-06", "`None` is not zero"),
    ],
    "passed": 7, "failed": {"tests/test_x.py::test_y[<1>]": "E assert 1 == 2"},
}


class Words(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.words, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "col", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:     # </p> and the like may be left out
            pass

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_says_claim_by_claim_what_is_different():
    page = Words(upgrade_report.page("torch 9.9 (the course: torch 2.13.0)", RESULTS))
    text = " ".join("".join(page.words).replace("\xa0", " ").split())
    assert page.open == []
    assert "2 of 3 cells give what is stored. Of the other tests, 7 pass and 1 fail." in text
    claims = text.partition("Claim by claim")[2]
    assert "Each backward adds to `.grad`1none" in claims and "`None` is not zero204-05" in claims
    assert "print(a < b)" in text and "two & three" in text and "two & four" in text
    assert "test_y[<1>] E assert 1 == 2" in text


def test_both_outputs_stand_in_one_row_and_the_change_is_marked():
    table = upgrade_report.sides(RESULTS["cells"][1]["difference"])
    row = next(line for line in table.splitlines() if "three" in line)
    assert row.index("thre") < row.index("fou") and row.count('<span class="diff_') == 2


def test_the_copy_has_the_version_and_keeps_its_environment(tmp_path):
    stale = tmp_path / "notebooks" / "99_left_over.ipynb"
    kept = tmp_path / ".venv" / "installed.json"
    for path in (stale, kept):
        path.parent.mkdir()
        path.write_text("{}")
    upgrade_report.copy_of_the_course(tmp_path, "2.99.1")
    old, new = [(folder / "constraints.txt").read_text() for folder in (ROOT, tmp_path)]
    assert new == old.replace(f"torch=={upgrade_report.pinned()}", "torch==2.99.1") != old
    assert kept.exists() and not stale.exists() and not (tmp_path / ".git").exists()
    assert (tmp_path / "seegrad/snapshot.py").exists() and (tmp_path / "tools/environment.py").exists()


@pytest.mark.parametrize("arguments", [[], ["two"]])
def test_without_a_version_it_asks_for_one(arguments):
    with pytest.raises(SystemExit, match="Which version of PyTorch. Name one: make upgrade-report TORCH=2.14.0"):
        upgrade_report.main(arguments)
