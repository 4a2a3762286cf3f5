"""The verdict on an answer, as it is shown: sign, word, sentence, line and picture, for the eye and as text."""

import re

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from cells import run_cells
from course import check, checking
from course.checking import Idea, Wrong, exercise, progress
from course.verdict import RIGHT, WRONG, Verdict
from seegrad import show_graph, side_by_side
from seegrad.view import Picture


def view():
    x = torch.ones(2, requires_grad=True)
    return show_graph(x=x, loss=x.exp().sum())


def html(verdict):
    return verdict._repr_mimebundle_()["text/html"]


def test_the_text_has_sign_word_sentence_line_and_the_picture_as_text():
    verdict = Verdict("03.1", WRONG, "x has no gradient.", "line 2: pass", view())
    assert repr(verdict) == f"Exercise 03.1: ✗ not yet. x has no gradient.\nline 2: pass\n{view()!r}"
    assert repr(Verdict("03.1", RIGHT)) == "Exercise 03.1: ✓ right."
    assert verdict._repr_mimebundle_()["text/plain"] == repr(verdict)


def test_the_page_has_the_same_and_what_is_code_in_it_stays_as_it_was_written():
    shown = html(Verdict("03.1", WRONG, "a < b & `c`", "line 2: x = y['<b>']: z", view()))
    for words in ("Exercise 03.1:", ">✗ not yet</strong>", ">a &lt; b &amp; <code>c</code></p>", "data:image/svg+xml",
                  "line 2: <code>x = y[&#x27;&lt;b&gt;&#x27;]: z</code>", 'alt="Computation graph: 3 nodes'):
        assert words in shown
    assert ">✓ right</strong>" in html(Verdict("03.1", RIGHT)) and "<img" not in html(Verdict("03.1", RIGHT))


@pytest.mark.parametrize("state", [RIGHT, WRONG])
def test_its_colours_can_be_seen_on_a_light_and_on_a_dark_page(state):
    colour, = set(re.findall(r"#[0-9a-f]{6}", html(Verdict("03.1", state))))
    assert contrast(colour, "#ffffff") >= 4.5       # white words on it
    assert contrast(colour, "#ffffff") >= 3 and contrast(colour, "#111111") >= 3        # JupyterLab's pages


def contrast(*colours):
    """As WCAG defines it."""
    def luminance(colour):
        parts = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted(map(luminance, colours))
    return (lighter + 0.05) / (darker + 0.05)


def test_a_tall_picture_is_smaller_and_its_words_are_never_too_small():
    def column(height):
        svg = f'<svg width="300pt" height="{height}pt"><g transform="scale(1 1) rotate(0)" font-size="15.00"/></svg>'
        return int(re.search(r"max-width: (\d+)px", html(Verdict("03.1", WRONG, picture=Picture(svg, "a picture"))))[1])

    assert column(100) == 280 + 16              # the usual scale, 0.7 of 400 pixels, and the padding
    assert column(550) == pytest.approx(400 * 470 / (550 * 4 / 3) + 16, abs=1)      # as high as it may be
    assert column(5000) == 240 + 16             # text of 12 pixels


def test_any_picture_of_the_library_may_stand_beside_the_sentence():
    shown = html(Verdict("03.1", RIGHT, "Both.", picture=side_by_side(one=view(), two=view())))
    assert shown.count("<img") == 2
    too_large = show_graph(torch.ones(2, requires_grad=True).exp().sum(), max_boxes=2)
    assert "too many to draw" in html(Verdict("03.1", WRONG, "Much.", picture=too_large))


@pytest.fixture
def registered():
    yield
    for name in [name for name in checking._checks if name.startswith("99.")]:
        del checking._checks[name]
        checking._solved.discard(name)


@pytest.fixture
def shell(registered):
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def run(shell, cell):
    return shell.run_cell(cell, store_history=True)     # as a kernel does


def shown(capsys, source, set_up="from course import check"):
    capsys.readouterr()
    run_cells(set_up, source)
    return capsys.readouterr().out.strip()


ANSWER = """def answer(x):
    y = 2 * x
    return {what}

check("99.1", answer)"""


@pytest.fixture
def doubled(registered):
    @exercise("99.1")
    def check_it(run):
        x = torch.ones((), requires_grad=True)
        try:
            y = run(x)
        except Wrong as wrong:
            if "ZeroDivision" in str(wrong):
                raise Wrong("Nothing can be divided by zero.") from None
            raise
        view, lines = run.show({"x": x, "y": y})
        if y.item() != 2:
            raise Wrong("It is not two.", view.mark(2, "this node"), lines[2])
        return Idea("Two.", view)


def test_a_wrong_answer_shows_what_the_check_found(doubled, capsys):
    printed = shown(capsys, ANSWER.format(what="3 * y")).splitlines()
    assert printed[:2] == ["Exercise 99.1: ✗ not yet. It is not two.", "line 2: y = 2 * x"]
    assert "[2] MulBackward0 from [1]; other () int64 8 B alive; ✗ this node" in printed


def test_a_right_answer_shows_the_idea_and_the_graph_and_is_done(doubled, capsys):
    printed = shown(capsys, ANSWER.format(what="y")).splitlines()
    assert printed[0] == "Exercise 99.1: ✓ right. Two." and printed[-1] == "y from [2]; result ()"
    assert "99.1" in checking._solved


def test_the_line_of_an_error_stays_where_a_check_has_put_its_own_words(doubled, capsys):
    assert shown(capsys, ANSWER.format(what="y / 0 if False else 1 / 0")) == (
        "Exercise 99.1: ✗ not yet. Nothing can be divided by zero.\nline 3: return y / 0 if False else 1 / 0")


def test_the_picture_of_a_backward_that_failed_stays_too(registered, capsys):
    @exercise("99.2")
    def check_it(run):
        try:
            run(torch.ones(2, requires_grad=True))
        except Wrong:
            raise Wrong("Backward failed.") from None

    source = "def answer(x):\n    y = x.exp()\n    y.sum().backward()\n    y.sum().backward()\n\ncheck(\"99.2\", answer)"
    printed = shown(capsys, source)
    assert printed.startswith("Exercise 99.2: ✗ not yet. Backward failed.\nline 4: y.sum().backward()\n")
    assert "✗ result: backward needs it, and it was freed; made by line 2" in printed


def test_an_error_of_the_check_itself_is_told_as_one(registered, capsys):
    @exercise("99.3")
    def check_it(run):
        return run().no_such_thing

    printed = shown(capsys, 'def answer(): return 1\n\ncheck("99.3", answer)')
    assert printed == ("Exercise 99.3: ✗ not yet. The check cannot use what your function returned or did (AttributeError: 'int' "
                       "object has no attribute 'no_such_thing').")


# In a notebook

def test_in_ipython_a_name_of_another_cell_is_not_found_and_stays_as_it_was(doubled, shell, capsys):
    for cell in ("import torch\nfrom course import check\nprediction = 1", "%%time\nfrom math import tau"):
        assert run(shell, cell).success
    capsys.readouterr()
    assert run(shell, ANSWER.format(what="prediction * y")).success
    printed = capsys.readouterr().out
    assert "`prediction` is not defined in your function. Another cell of the notebook defines it" in printed
    assert printed.splitlines()[1] == "line 3: return prediction * y" and shell.user_ns["prediction"] == 1
    assert run(shell, ANSWER.format(what="y if tau > 6 else None")).success
    assert capsys.readouterr().out.startswith("Exercise 99.1: ✓ right. Two.\n")


def test_in_ipython_one_output_holds_the_verdict(doubled, shell, monkeypatch):
    sent = []
    monkeypatch.setattr(shell.display_pub, "publish", lambda data, **_: sent.append(data))
    run(shell, "from course import check")
    run(shell, ANSWER.format(what="y"))
    data, = sent
    assert set(data) == {"text/plain", "text/html"} and data["text/plain"].startswith("Exercise 99.1: ✓ right. Two.")


def test_what_is_open_is_one_plain_line(doubled, shell, capsys):
    run(shell, "from course import check\ndef answer(x):\n    y = ...\n    return y\n\ncheck(\"99.1\", answer)")
    assert capsys.readouterr().out == "Exercise 99.1: not answered yet.\n"
    progress("99")
    assert capsys.readouterr().out == "0 of 1 exercises done. Still to do: 99.1.\n"
    check("99.1", 2)        # a value is an answer too
    assert "✗ not yet" in capsys.readouterr().out
