"""The notebooks as documents, by the rules of tools/rules.py: that they run and show what they store is checked by nbval."""

import copy
import functools
import re
import shutil
import subprocess
import sys

import pytest
from nbformat.v4 import new_markdown_cell

import figures
from project import COURSE, ROOT, notebooks, read
from rules import RULES, Document, problems

each_notebook = pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)


def test_the_series_is_numbered_without_a_gap_and_every_notebook_belongs_to_it():
    assert [path.name[:3] for path in sorted(COURSE.glob("*.ipynb"))] == [f"{n:02}_" for n in range(len(notebooks()))]


@each_notebook
def test_it_keeps_the_rules(path):
    assert problems(path, read(path)) == []


def test_each_rule_is_told_to_contributors_in_its_own_words():
    guide = " ".join((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split())
    assert [rule.__name__ for rule in RULES if " ".join(rule.__doc__.split()) not in guide] == []


def test_figures_are_those_of_the_notebooks():
    stored = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "figures").glob("*.svg")}
    assert stored == figures.figures(), "run `make figures`"


def test_every_figure_of_the_readme_exists_and_has_alt_text():
    shown = re.findall(r"!\[(.+?)\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown
    for alt, link in shown:
        assert alt and (ROOT / link).is_file()


def test_a_refresh_changes_no_byte(tmp_path):
    copied = shutil.copytree(COURSE, tmp_path / "a path with spaces, é and 图",
                             ignore=shutil.ignore_patterns("__pycache__", ".*"))
    first = notebooks()[0]
    subprocess.run([sys.executable, ROOT / "tools/refresh.py", copied / first.name], check=True, capture_output=True)
    assert (copied / first.name).read_bytes() == first.read_bytes()


def test_a_refresh_leaves_what_is_no_notebook(tmp_path):
    path = tmp_path / "01_cut.ipynb"
    path.write_text("{", encoding="utf-8")
    done = subprocess.run([sys.executable, ROOT / "tools/refresh.py", path], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("01_cut.ipynb is not a notebook (")
    assert "Traceback" not in done.stderr and path.read_text(encoding="utf-8") == "{"


# The rules themselves: each must notice the damage that it is there for.

original = functools.cache(read)


def strip(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def first_output(notebook, kind):
    return next(output for cell in notebook.cells if cell.cell_type == "code"
                for output in cell.outputs if output.output_type == kind)


def first_code(notebook):
    return next(cell for cell in notebook.cells if cell.cell_type == "code")


def raising_cell(notebook):
    return next(cell for cell in notebook.cells if "raises-exception" in cell.metadata.get("tags", []))


def picture_cell(notebook):
    return next(cell for cell in notebook.cells if "<img " in str(cell.get("outputs")))


def picture(notebook):
    return picture_cell(notebook).outputs[0].data


def cell_with(notebook, words):
    return next(cell for cell in notebook.cells if words in cell.source)


def change_html(old, new):
    def change(notebook):
        data = picture(notebook)
        assert old in data["text/html"]
        data["text/html"] = data["text/html"].replace(old, new)
    return change


def change_text(old, new):
    def change(notebook):
        cell = cell_with(notebook, old)
        cell.source = cell.source.replace(old, new)
    return change


def slide_of(words, slide_type):
    return lambda notebook: cell_with(notebook, words).metadata.slideshow.update(slide_type=slide_type)


def leave(count, words):
    """Only so many cells with these words."""
    def change(notebook):
        for cell in [cell for cell in notebook.cells if words in cell.source][count:]:
            cell.source = cell.source.replace(words, "")
    return change


def state_the_heading(notebook):
    cell = cell_with(notebook, "**Predict.**")
    cell.source = cell.source.replace("?\n\n", ".\n\n", 1)


def unfold(notebook):
    del cell_with(notebook, "### Run it yourself").metadata["jp-MarkdownHeadingCollapsed"]


def join_the_run(notebook):
    """To the slide of its question."""
    run = next(i for i, cell in enumerate(notebook.cells) if cell.source == "### Run it yourself")
    notebook.cells[run + 1].metadata.slideshow.slide_type = "-"


def fold_a_claim(notebook):
    cell_with(notebook, "## The rules").metadata["jp-MarkdownHeadingCollapsed"] = True


def call_it_a_workshop(notebook):
    notebook.cells[0].source += "\n\n**Workshop.** For home, or for a lab class."


def forget_an_exercise(notebook):
    """Of a workshop that ends as it should, but for this."""
    call_it_a_workshop(notebook)
    notebook.cells.append(new_markdown_cell("## The ideas\n\n| Idea | Where |\n|---|---|\n| One. | 01.1, 01.2 |"))


def remove_the_note(notebook):
    del notebook.cells[notebook.cells.index(cell_with(notebook, "**Predict.**")) + 1]


# The rule, what it says, and the damage.
DAMAGE = [
    ("kernel", "other metadata", lambda notebook: notebook.metadata.kernelspec.update(name="other")),
    ("kernel", "no version of Python", lambda notebook: notebook.metadata.language_info.update(version="3.11.1")),
    ("run", "outputs were stripped", strip),
    ("run", "was run as number 9", lambda notebook: first_code(notebook).update(execution_count=9)),
    ("run", "time of its run", lambda notebook: notebook.cells[2].metadata.update(execution={"iopub": "12:00"})),
    ("ids", "no id of its own", lambda notebook: notebook.cells[1].update(id=notebook.cells[0].id)),
    ("opening", "has no title, like # 01", change_text("# 01 · ", "# 02 · ")),
    ("opening", "no list under **After this", change_text("- say", "say")),
    ("opening", "no line **Time:**", change_text("**Time:**", "Time:")),
    ("opening", "what one needs", change_text("**You need**", "You need")),
    ("set_up", "not the set-up cell", change_text("%xmode Minimal", "%xmode Verbose")),
    ("set_up", "not the set-up cell", change_text('find_spec("course")', 'find_spec("torch")')),
    ("look", "another look", lambda notebook: first_code(notebook).update(source="import matplotlib.pyplot as plt")),
    ("workshop", "has a recall, and the notebook is a workshop", call_it_a_workshop),
    ("workshop", "has a prediction, and", call_it_a_workshop),
    ("workshop", "has a note for the lecturer, and", call_it_a_workshop),
    ("recall", "two questions", change_text("**2.** ", "**2.** What? ")),
    ("recall", "two questions", change_text("**Recall.** Two", "**Recall.** Three")),
    ("recall", "asks for notebook 03, which", change_text("on notebook 00", "on notebook 03")),
    ("ending", "does not end the notebook", change_text("3. \"", "\"")),
    ("ending", "does not end the notebook", lambda notebook: notebook.cells.append(new_markdown_cell("The end."))),
    ("ending", "does not end the workshop with ## The ideas", call_it_a_workshop),
    ("ending", "and every exercise in it", forget_an_exercise),
    ("ending", "does not lead on: its last line is **Next:** [02 …]", change_text("**Next:** [02 ", "Next: [02 ")),
    ("needs", "names notebook 00 under **You need** without a link", change_text("[00](00_start_here.ipynb)", "00")),
    ("the_map", "has no map of the course, or several", lambda notebook: picture_cell(notebook).metadata.update(tags=["map"])),
    ("glossary", "first use of a word: [leaf](00_start_here.ipynb#cell-id=00-leaf)", change_text("#cell-id=00-leaf", "")),
    ("set_up", "does not end with predictions()", change_text("\npredictions()", "")),
    ("predictions", "asks for 4 predictions", leave(4, "**Predict.**")),
    ("predictions", "its heading is no question", state_the_heading),
    ("predictions", "has no three answers", change_text("<summary>C. ", "<summary>D. ")),
    ("predictions", "other folds than one that begins", change_text("✓ Right. ", "Yes. ")),
    ("predictions", "other folds than one that begins", change_text("✗ No. ", "No. ")),
    ("predictions", "by its form", change_text("<code>True</code>: one of the two inputs is tracked.", "<code>True</code>")),
    ("predictions", "write <code>x</code>", change_text("<summary>A. ", "<summary>A. `x` ")),
    ("hidden", "the next cell is not the heading", change_text("### Run it yourself", "### Look")),
    ("hidden", "is not folded, or holds more", unfold),
    ("hidden", "is not folded, or holds more", change_text("### Run it yourself", "### Run it yourself\n\nMore.")),
    ("hidden", "is folded, and its heading does not begin", fold_a_claim),
    ("no_letter", "names the letter", change_text("**Rule.** ", "**Rule.** Answer B is right: ")),
    ("exercises", "has 2 exercises", leave(2, 'check("01.')),
    ("exercises", "which has another number", change_text('check("01.1"', 'check("02.1"')),
    ("exercises", "no ladder of three folds", change_text("<summary>A solution", "<summary>One solution")),
    ("exercises", "no ladder of three folds", change_text("<summary>Stronger hint", "<summary>Hint")),
    ("changes", "in another form", change_text("run the cell again.", "run it again.")),
    ("changes", "'plain=other', which does not stand once", change_text("`plain=plain` →", "`plain=other` →")),
    ("changes", "on a slide", slide_of("**Change this:**", "-")),
    ("links", "link to nowhere.ipynb", change_text("**Rule.** ", "**Rule.** [There](nowhere.ipynb) ")),
    ("slide_types", "no slide type", lambda notebook: notebook.cells[2].metadata.clear()),
    ("slides", "does not begin a slide", slide_of("**Predict.**", "-")),
    ("slides", "not have a slide for itself", join_the_run),
    ("slides", "is no subslide", slide_of("<summary>A solution</summary>", "-")),
    ("notes", "the next cell is no note", remove_the_note),
    ("notes", "not folded", change_text("<summary>For the lecturer", "<summary>For you")),
    ("plan", "make 51", change_text("**Plan: 8 minutes", "**Plan: 9 minutes")),
    ("compared", "excused", lambda notebook: raising_cell(notebook).metadata.update(tags=["nbval-ignore-output"])),
    ("compared", "excused", lambda notebook: first_code(notebook).update(source="# NBVAL_IGNORE_OUTPUT\n1")),
    ("compared", "means nothing here", lambda notebook: first_code(notebook).metadata.update(tags=["statefull"])),
    ("short", "more than 15 lines", lambda notebook: first_code(notebook).update(source="1\n" * 16)),
    ("no_tex", "has TeX mathematics, $x^2$", change_text("**Rule.** ", "**Rule.** $x^2$ ")),
    ("no_tex", "has TeX mathematics", change_text("**Rule.** ", "**Rule.** $$\nx^2\n$$ ")),
    ("no_tex", "has TeX mathematics", change_text("**Rule.** ", r"**Rule.** \begin{align} x \end{align} ")),
    ("errors", "stores no error", lambda notebook: raising_cell(notebook).update(outputs=[])),
    ("errors", "without the tag", lambda notebook: raising_cell(notebook).metadata.update(tags=[])),
    ("errors", "whole traceback", lambda notebook: first_output(notebook, "error").update(traceback=["a", "b"])),
    ("of_no_machine", "'/home/'", lambda notebook: first_output(notebook, "stream").update(text="/home/someone/file")),
    ("of_no_machine", "' at 0x7f12ab34cd'", lambda notebook: first_output(notebook, "stream").update(text="<X at 0x7f12ab34cd>")),
    ("of_no_machine", "stderr", lambda notebook: first_output(notebook, "stream").update(name="stderr")),
    ("full_bars", "bar that is not full", lambda notebook: first_output(notebook, "stream").update(text="[===   ] 1/2")),
    ("shown", "without alt text", change_html('alt="', 'title="')),
    ("shown", "loads 'picture.svg?", change_html("data:image/svg+xml;base64,", "picture.svg?")),
    ("shown", "without a text that stands", lambda notebook: picture(notebook).update({"text/plain": " "})),
    ("shown", "shows image/svg+xml", lambda notebook: picture(notebook).update({"image/svg+xml": "<svg/>"})),
]


@pytest.mark.parametrize("rule, words, damage", DAMAGE, ids=[rule for rule, _, _ in DAMAGE])
def test_a_rule_notices(rule, words, damage):
    path = notebooks()[1]
    notebook = copy.deepcopy(original(path))
    damage(notebook)
    found, = (each for each in RULES if each.__name__ == rule)
    said = [sentence for _, sentence in found(Document(path, notebook))]
    assert any(words in sentence for sentence in said), said
    assert problems(path, notebook)


def test_a_word_of_the_glossary_in_another_form_is_noticed():
    path = notebooks()[0]
    notebook = copy.deepcopy(original(path))
    change_text("· [01](01_requires_grad.ipynb)<br>", "· 01<br>")(notebook)
    assert [problem.partition(",")[0] for problem in problems(path, notebook)] == ["cell 00-leaf is no word of the glossary"]


def test_a_large_file_is_noticed(tmp_path):
    path = tmp_path / "01_large.ipynb"
    path.write_bytes(b" " * 1_000_001)
    assert problems(path, read(notebooks()[1]))[0] == "it has 1,000,001 bytes, more than 1,000,000."


def test_each_rule_is_tried():
    assert {rule for rule, _, _ in DAMAGE} | {"size"} == {rule.__name__ for rule in RULES}
