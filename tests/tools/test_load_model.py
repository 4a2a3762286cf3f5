"""The model of large classes: its arithmetic, and that docs/class.json is what it says."""

import json
from dataclasses import replace

import pytest

from load import model
from load.lesson import differences
from load_test import RESULTS, RUSH, SIZES, rounded

COSTS = model.Costs(login=model.Line(10, 6), run=model.Line(0, 8), hub=model.Line(2, 0.5), idle=model.Line(300, 150),
                    active=model.Line(500, 400), peak=model.Line(600, 450), disk=model.Line(0, 20))


def test_a_line_goes_through_two_points_and_between_three():
    assert model.line((5, 60), (10, 110)) == model.Line(10, 10)
    assert model.line((0, 0), (1, 3), (2, 0)) == model.Line(1, 0)
    assert model.line((5, 60), (10, 110))(30) == 310
    with pytest.raises(ValueError, match="two sizes, and was given 2 of 5 students"):
        model.line((5, 60), (5, 70))


def test_a_rush_needs_the_processor_time_of_its_logins():
    needed = model.needs(COSTS, students=300, rush=10)
    assert needed["cores_for_the_rush"] == pytest.approx((10 + 300 * 6) / (600 * 0.8))
    assert needed["hub_seconds"] == 152
    assert needed["hub_share_of_the_rush"] == pytest.approx(152 / 600)
    assert model.needs(COSTS, 300, rush=5)["cores_for_the_rush"] == pytest.approx(2 * needed["cores_for_the_rush"])


def test_who_has_run_nothing_needs_less_memory():
    assert model.needs(COSTS, 100, 10)["memory_gb"] == pytest.approx((1024 + 600 + 100 * 450) / 1024)
    assert model.needs(COSTS, 100, 10, share_active=0.5)["memory_gb"] == pytest.approx((1024 + 600 + 50 * 450 + 50 * 150) / 1024)


def test_more_cores_help_until_all_wait_for_the_hub():
    assert model.all_at_once(COSTS, 100, cores=2) == {"login_seconds": 305, "run_all_seconds": 400}
    assert model.all_at_once(COSTS, 100, cores=1000)["login_seconds"] == 52     # the hub has one thread


def test_what_fails_first_is_the_smallest_number():
    most = model.most_students(COSTS, cores=2, memory_gb=24, disk_gb=50, rush=10)
    assert most["memory"] == pytest.approx((24 * 1024 - 1024 - 600) / 450)
    assert most["cores"] == pytest.approx((2 * 600 * 0.8 - 10) / 6)
    assert most["hub"] == pytest.approx((600 * 0.8 - 2) / 0.5)
    assert min(most, key=most.get) == "memory"
    roomy = model.most_students(COSTS, 2, 240, 500, 10)
    assert min(roomy, key=roomy.get) == "cores"
    assert model.most_students(replace(COSTS, disk=model.Line(0, 0)), 2, 24, 1, 10)["disk"] == float("inf")
    assert model.most_students(COSTS, 2, 1, 50, 10)["memory"] == 0


def test_the_stored_figures_are_those_of_this_model():
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    costs = model.Costs(**{name: model.Line(**line) for name, line in found["model"]["costs"].items()})
    cores = int(found["machine"].split()[0])
    for size in SIZES:
        now = rounded(model.needs(costs, size, RUSH) | model.all_at_once(costs, size, cores))
        assert found["model"]["classes"][str(size)] == pytest.approx(now, rel=0.02, abs=0.02), "run `make load-test ARGS=--store`"
    assert sum(lesson["lost"] for lesson in found["lessons"]) == 0


def notebook(*sources):
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        {"id": f"cell-{number}", "cell_type": "code", "source": source, "metadata": {}, "execution_count": None, "outputs": []}
        for number, source in enumerate(sources)]}


@pytest.mark.parametrize("found, changed, said", [
    (notebook("x = 1", "I was here"), set(), []),
    (notebook("x = 1", "I was here", "new"), set(), []),
    (notebook("x = 1"), set(), ["cell cell-1 is gone: 'I was here'"]),
    (notebook("x = 2", "I was here"), set(), ["cell cell-0 is another one: 'x = 1'"]),
    (notebook("x = 2", "I was here"), {"cell-0"}, []),
])
def test_what_a_student_would_miss(found, changed, said):
    assert list(differences(notebook("x = 1", "I was here"), found, changed)) == said


def test_an_output_that_is_gone_is_missed():
    saved, found = notebook("1 + 1"), notebook("1 + 1")
    saved["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "2"}]
    assert list(differences(saved, found)) == ["cell cell-0 is another one: '1 + 1'"]
