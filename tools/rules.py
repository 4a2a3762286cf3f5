"""The rules for a notebook of the course as a document: one list, which the tests and `make html` use.

That a notebook runs, and shows what it stores, is not decided here but by nbval. The sentence of a rule, its docstring,
stands in CONTRIBUTING.md too.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from nbformat import NotebookNode

import lecturing
from project import FOLDED, RUN_IT, folded, is_workshop, kind, notebooks, pictures, read, tags
from refresh import METADATA

LARGEST = 1_000_000     # bytes
LONGEST_CELL = 15       # lines
SHOWN = {"text/html", "text/plain"}
SLIDES = {"slide", "subslide", "fragment", "notes", "skip", "-"}
TAGS = re.compile(r"raises-exception|stateful|map|figure:[a-z0-9_]+")
STYLE = 'plt.style.use("course.lecture")'
GUARD = '''from importlib.util import find_spec
assert find_spec("{needs}"), "This notebook needs the course around it: fetch all of it, and run `make lab` there."
'''
NOTE = re.compile(r'<details class="lecturer"><summary>For the lecturer</summary>\n\n.+\n\n</details>', re.DOTALL)

MACHINE = re.compile(r"/home/|/root/|/tmp/|/Users/|[A-Z]:\\\\|site-packages|\.py:\d+|ipykernel_\d|(?: at |\b)0x[0-9a-fA-F]{6,}")
# Words and tags with which a cell would escape the comparison.
ESCAPES = re.compile(r"nbval[-_](ignore|skip|raises|check)|pytest_validate_ignore", re.IGNORECASE)
UNFINISHED = re.compile(r"\[=* *\] (\d+)/(?!\1\b)|max='(\d+)' value='(?!\2')")     # a progress bar
TEX = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$|\\\(|\\\[|\\begin\{", re.DOTALL)
CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)

TITLE = re.compile(r"\A# (\d\d · .+)")
TIME = re.compile(r"^\*\*Time:\*\* (.+?)\.?$", re.MULTILINE)
GOALS = re.compile(r"^\*\*After this notebook you can\*\*\n\n((?:- .+\n)+)", re.MULTILINE)
NEEDS = re.compile(r"^\*\*You need\*\* .+$", re.MULTILINE)
RECALL = re.compile(r"\*\*Recall\.\*\* Two questions on notebooks? (\d\d(?: and \d\d)?)\. ")
ANSWER = re.compile(r'<details class="answer"><summary>([A-D])\. (.+?)</summary>\n\n(.*?)\n\n</details>', re.DOTALL)
SOLUTION = re.compile(r"<details><summary>A solution</summary>\s*```python\n(.*?)```\s*</details>", re.DOTALL)
LADDER = re.compile(r"<details><summary>Hint</summary>\n\n(?!```).+?\n\n</details>\n\n"
                    r"<details><summary>Stronger hint</summary>\n\n(?!```).+?\n\n</details>\n\n" + SOLUTION.pattern, re.DOTALL)
# A change that a reader tries: the old code, the new one, and what one then sees.
CHANGE = re.compile(r"\*\*Change this:\*\* `([^`]+)` → `([^`]+)`, and run the cell again\.\n\n"
                    r"<details><summary>What you then see</summary>\n\n(.+?)\n\n</details>", re.DOTALL)
# A word of the glossary: English, Chinese, the notebook where one learns it, and what it means.
WORD = re.compile(r"\*\*(.+?)\*\* · [^·]*[\u3400-\u9fff][^·]* · \[(\d\d)\]\(\2_\w+\.ipynb\)<br>.+")
CHECK = re.compile(r'^check\("(\d\d\.\d+)", (\w+)\)$', re.MULTILINE)


@dataclass
class Document:
    """A notebook and its place. path: its file, which need not be there. notebook: an nbformat node."""

    path: Path
    notebook: NotebookNode

    @property
    def number(self) -> str:
        return self.path.name[:2]

    @property
    def is_workshop(self) -> bool:
        return is_workshop(self.notebook)

    @property
    def is_lesson(self) -> bool:
        return self.number != "00" and not self.is_workshop

    @property
    def cells(self) -> list[NotebookNode]:
        return self.notebook.cells

    @property
    def code(self) -> list[NotebookNode]:
        return [cell for cell in self.cells if cell.cell_type == "code"]

    @property
    def prose(self) -> list[NotebookNode]:
        return [cell for cell in self.cells if cell.cell_type == "markdown"]

    @property
    def slides(self) -> list[NotebookNode]:
        """The cells that are shown: all but the notes for the lecturer."""
        return [cell for cell in self.cells if kind(cell) != "notes"]

    @property
    def outputs(self) -> list[tuple[NotebookNode, NotebookNode]]:
        return [(cell, output) for cell in self.code for output in cell.outputs]


class Markup(HTMLParser):
    """What a piece of HTML holds: its ids, its links, and a few words for each thing that it must not have."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.problems: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        has = dict(attributes)
        if has.get("id"):
            self.ids.append(has["id"])
        if tag == "a" and has.get("href"):
            self.links.append(has["href"])
        if tag == "img" and not (has.get("alt") or "").strip():
            self.problems.append("has a picture without alt text")
        loaded = [has.get(name) or "" for name in ("src", "srcset", "data", "poster", "xlink:href")]
        if tag in ("link", "image", "use"):
            loaded.append(has.get("href") or "")
        loaded += re.findall(r"url\(\s*['\"]?([^'\")]*)", has.get("style") or "")
        self.problems += [f"loads {address[:80]!r}, which is not in the notebook itself"
                          for address in loaded if address and not address.startswith(("data:", "#"))]


Rule = Callable[[Document], Iterator[tuple[NotebookNode | None, str]]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Register a rule: it yields (cell, words) for each thing that is wrong, with None for the notebook as a whole."""
    RULES.append(function)
    return function


def problems(path: Path, notebook: NotebookNode) -> list[str]:
    """A sentence for each thing that is wrong with a notebook (an nbformat node), in the order of the rules.

    path: its file, for its number and its links. The notebook is not read from there.
    """
    document = Document(path, notebook)
    found = [(f"cell {cell.get('id')}" if cell else "it", words) for rule in RULES for cell, words in rule(document)]
    return [f"{place} {words}." for place, words in found]


# The notebook as a whole

@rule
def kernel(document):
    """Its metadata are those that JupyterLab stores, without the version of Python, or each save would change the file. The
    kernelspec is `python3`, or slides would open with a question."""
    if document.notebook.metadata != METADATA:
        yield None, "has other metadata than those of make refresh: the kernelspec python3, and no version of Python"


@rule
def size(document):
    """The file has at most 1,000,000 bytes."""
    if document.path.is_file() and document.path.stat().st_size > LARGEST:
        yield None, f"has {document.path.stat().st_size:,} bytes, more than {LARGEST:,}"


@rule
def run(document):
    """Its cells were run from the first to the last, by `make refresh`: the counts are 1 to n, and no times are stored."""
    for number, cell in enumerate(document.code, 1):
        if not cell.execution_count:
            yield cell, "has not been run, or its outputs were stripped: make refresh"
        elif cell.execution_count != number:
            yield cell, f"was run as number {cell.execution_count}, and is number {number}: make refresh"
    for cell in document.cells:
        if "execution" in cell.metadata:
            yield cell, "stores the time of its run"


@rule
def ids(document):
    """Each cell has an id of its own. It stays when the cell changes: links, mutants and reports name it."""
    found = [cell.get("id") for cell in document.cells]
    for cell in document.cells:
        if not cell.get("id") or found.count(cell.id) > 1:
            yield cell, "has no id of its own"


@rule
def opening(document):
    """The first cell has the title `# NN · …`, what one can do afterwards, what one needs, and the minutes."""
    cell = document.cells[0] if document.cells else NotebookNode(id="one", source="")
    title = TITLE.match(cell.source)
    if not title or title[1][:2] != document.number:
        yield cell, f"has no title, like # {document.number} · Several losses"
    for pattern, what in ((GOALS, "list under **After this notebook you can**"), (TIME, "line **Time:**")):
        if not pattern.search(cell.source):
            yield cell, f"has no {what}"
    if not NEEDS.search(cell.source):
        yield cell, "does not say what one needs: **You need** …"


@rule
def needs(document):
    """A number of two digits under **You need** is a notebook, and a link to it."""
    for line in NEEDS.findall(document.cells[0].source if document.cells else ""):
        for number in re.findall(r"\b\d\d\b", re.sub(r"\[\d\d\]\([^)]+\)", "", line)):
            yield document.cells[0], f"names notebook {number} under **You need** without a link: [{number}]({number}_….ipynb)"


@rule
def set_up(document):
    """The first code cell is the set-up: short errors, and a sentence for who opens the notebook without the course. Where
    there are predictions, it ends with `predictions()`."""
    # The course says itself where seegrad is missing; 00 does not use it.
    guard = GUARD.format(needs="seegrad" if document.number == "00" else "course")
    if document.code and not document.code[0].source.startswith(f"%xmode Minimal\n{guard}"):
        yield document.code[0], "is not the set-up cell of the course: begin it as that of another notebook"
    if any("**Predict.**" in cell.source for cell in document.cells) and not document.code[0].source.endswith("\npredictions()"):
        yield document.code[0], "does not end with predictions(), which lets the questions be answered"


@rule
def look(document):
    """Plots have the look of the course: `plt.style.use("course.lecture")`."""
    if any("import matplotlib" in cell.source for cell in document.code):
        if not any(STYLE in cell.source for cell in document.code):
            yield document.code[0], f"gives its plots another look: {STYLE} is missing"


@rule
def workshop(document):
    """A workshop is for home or a lab class. Its first cell says so in a sentence behind **Workshop.** It has no recall, no
    prediction and no note for the lecturer."""
    if document.is_workshop:
        for cell in document.cells:
            for found, what in (("**Recall.**" in cell.source, "a recall"), ("**Predict.**" in cell.source, "a prediction"),
                                (kind(cell) == "notes", "a note for the lecturer")):
                if found:
                    yield cell, f"has {what}, and the notebook is a workshop"


@rule
def recall(document):
    """The second cell of a lesson asks two questions, each with its answer folded, on notebooks that **You need** names."""
    if not document.is_lesson:
        return
    first, cell = document.cells[:2]
    asks = RECALL.match(cell.source)
    if not (asks and cell.source.count("<details><summary>") == cell.source.count("?") == 2):
        yield cell, "does not ask two questions with folded answers: **Recall.** Two questions on notebook 02. …"
        return
    needed = re.findall(r"\b\d\d\b", "".join(NEEDS.findall(first.source)))
    for number in re.findall(r"\d\d", asks[1]):
        if number not in needed:
            yield cell, f"asks for notebook {number}, which the first cell does not name under **You need**"


@rule
def ending(document):
    """The last cell of a lesson is a table of the rules, with three things that people get wrong under it. That of a workshop
    is a table of the ideas, which names every exercise. Its last line leads on: `**Next:** [03 Several losses](03_….ipynb)`."""
    if document.number == "00":
        return
    cell = document.cells[-1]
    wrong = re.findall(r"^\d\. ", cell.source.partition("**What people get wrong**")[2], re.MULTILINE)
    named = set(re.findall(r"\d\d\.\d+", cell.source))
    if document.is_workshop:
        if not cell.source.startswith("## The ideas\n\n| Idea | Where |") or not named >= set(_exercises(document).values()):
            yield cell, "does not end the workshop with ## The ideas, | Idea | Where |, and every exercise in it"
    elif not cell.source.startswith("## The rules\n\n| Rule | Where |") or len(wrong) != 3:
        yield cell, "does not end the notebook with ## The rules, | Rule | Where |, and three things that people get wrong"
    following = next((path.name for path in notebooks(document.path.parent) if path.name[:2] > document.number), None)
    if following and not re.search(rf"\n\n\*\*Next:\*\* \[{following[:2]} .+\]\({following}\)\Z", cell.source):
        yield cell, f"does not lead on: its last line is **Next:** [{following[:2]} …]({following})"


@rule
def the_map(document):
    """One cell of 00 has the tag `map`: its picture is the map of the course, on the pages too."""
    maps = [cell for cell in document.code if "map" in tags(cell)
            and any("text/html" in output.get("data", {}) for output in cell.outputs)]
    if len(maps) != (document.number == "00"):
        yield None, "has no map of the course, or several: the tag map belongs to one cell of 00"


@rule
def glossary(document):
    """A word of the glossary in 00 is a cell of its own, so that links can jump to it. The notebook that it names links to it,
    from the first use of the word."""
    if document.number == "00":
        for cell in document.prose:
            if "<br>" in cell.source and not WORD.fullmatch(cell.source):
                yield cell, "is no word of the glossary, like **leaf** · 叶子节点 · [01](01_….ipynb)<br> and what it means"
        return
    for path in document.path.parent.glob("00_*.ipynb"):
        for cell in read(path).cells:
            word, link = WORD.fullmatch(cell.source), f"]({path.name}#cell-id={cell.get('id')})"
            if word and word[2] == document.number and not any(link in each.source for each in document.prose):
                yield None, f"has no link to the glossary from the first use of a word: [{word[1]}{link}"


# Questions, answers and exercises

@rule
def predictions(document):
    """In a lesson there are five predictions or more. Each begins a section: its heading is a question. Under **Predict.** there
    are three answers or more, each a fold of its own; one fold begins with `✓ Right.`, the others with `✗ No.` The form of an
    answer does not tell whether it is right: where another gives a reason behind a colon, the right one does too."""
    asked = [cell for cell in document.cells if "**Predict.**" in cell.source]
    if document.is_lesson and len(asked) < 5:
        yield None, f"asks for {len(asked)} predictions, and five are wanted"
    for cell in asked:
        answers = ANSWER.findall(cell.source.partition("**Predict.**")[2])
        if not re.match(r"## .+\?\n\n", cell.source):
            yield cell, "asks for a prediction, and its heading is no question: ## When is …?"
        if len(answers) < 3 or "".join(letter for letter, _, _ in answers) not in "ABCD":
            yield cell, "has no three answers, A, B, C, each a fold: <details class=\"answer\"><summary>A. …</summary>"
        right = [text for _, _, text in answers if text.startswith("✓ Right. ")]
        wrong = [text for _, _, text in answers if text.startswith("✗ No. ")]
        if (len(right), len(wrong)) != (1, len(answers) - 1):
            yield cell, "has other folds than one that begins with ✓ Right. and some that begin with ✗ No."
        reasons = [(": " in re.sub("<code>.*?</code>", "", words), text in right) for _, words, text in answers]
        if (True, False) in reasons and (True, True) not in reasons:
            yield cell, "tells the right answer by its form: give a reason behind a colon there too, or in no other answer"
        if any("`" in words for _, words, _ in answers):
            yield cell, "has code in an answer that Markdown does not read there: write <code>x</code>"


@rule
def hidden(document):
    """Until the reader has chosen, nothing on the screen gives the answer: the next cell behind a question, and behind its note
    for the lecturer, is the heading `### Run it yourself`. It is folded, and what shows the answer stands under it."""
    for cell, following in zip(document.slides, [*document.slides[1:], None]):
        runs = following is not None and following.source == RUN_IT
        if "**Predict.**" in cell.source and not runs:
            yield cell, f"asks for a prediction, and the next cell is not the heading {RUN_IT}"
    for cell in document.cells:
        if cell.source.startswith(FOLDED) and not (folded(cell) and "\n" not in cell.source.strip()):
            yield cell, "has a heading to fold, and is not folded, or holds more: fold it in JupyterLab, and save"
        if folded(cell) and not cell.source.startswith(FOLDED):
            yield cell, f"is folded, and its heading does not begin with {' or '.join(FOLDED)}"


@rule
def no_letter(document):
    """Outside of these folds, no text names the right letter."""
    for cell in document.slides:
        if re.search(r"[Aa]nswer [A-D]\b", ANSWER.sub("", cell.source)):
            yield cell, "names the letter of an answer outside of its fold"


@rule
def exercises(document):
    """In a lesson there are three to five exercises, in a workshop any number: code to change, which ends with
    `check("NN.k", function)`, and in the next cell a ladder of three folds: a hint, a stronger hint, a solution."""
    found = _exercises(document)
    if document.is_lesson and not 3 <= len(found) <= 5:
        yield None, f"has {len(found)} exercises, and three to five are wanted"
    for i, name in found.items():
        if not name.startswith(document.number):
            yield document.cells[i], f"has the exercise {name}, which has another number"
        if not LADDER.fullmatch(document.cells[i + 1].source):
            yield document.cells[i], f"has the exercise {name}, and no ladder of three folds in the next cell"


def _exercises(document):
    """A dict from the place of a cell to the name of the exercise in it."""
    return {i: name for i, cell in enumerate(document.cells) for name, _ in CHECK.findall(cell.source)}


@rule
def changes(document):
    """A **Change this:** names code that stands once in the code cell above it, and folds what one then sees. It is on no
    slide."""
    for cell, above in _with_code_above(document.cells):
        if "**Change this:**" not in cell.source:
            continue
        change = CHANGE.fullmatch(cell.source)
        if kind(cell) != "skip":
            yield cell, "asks for a change on a slide: it is for readers, so its slide type is skip"
        if not change:
            yield cell, "has a change to try in another form than **Change this:** `old` → `new`, and run the cell again."
        elif not above or above.source.count(change[1]) != 1:
            yield cell, f"changes {change[1]!r}, which does not stand once in the code cell above it"


@rule
def links(document):
    """Links lead to files that are there."""
    for cell in document.prose:
        for link in re.findall(r"\]\(([^)#<]+)\)", CODE.sub("", cell.source)):
            if not re.match("https?://|mailto:|data:", link) and not (document.path.parent / link).exists():
                yield cell, f"has a link to {link}, which is not there"


# Slides

@rule
def slide_types(document):
    """Each cell has a slide type."""
    for cell in document.cells:
        if kind(cell) not in SLIDES:
            yield cell, "has no slide type"


@rule
def slides(document):
    """A claim begins a slide, and a question too. What is run after a question is not on its slide, and neither is a solution."""
    shown = [cell for cell in document.slides if kind(cell) != "skip"]
    for cell, following in zip(shown, [*shown[1:], None]):
        if cell.source.startswith("## ") and kind(cell) != "slide":
            yield cell, "has a claim or a question, and does not begin a slide"
        if "**Predict.**" in cell.source and following and kind(following) not in ("slide", "subslide"):
            yield cell, "has a question that does not have a slide for itself"
        if SOLUTION.search(cell.source) and kind(cell) != "subslide":
            yield cell, "has a solution, and is no subslide"


@rule
def notes(document):
    """Each question has a note for the lecturer in the next cell, of the slide type `notes`, folded for readers."""
    for cell, following in zip(document.cells, [*document.cells[1:], None]):
        if "**Predict.**" in cell.source and (not following or kind(following) != "notes"):
            yield cell, "asks for a prediction, and the next cell is no note for the lecturer"
        if kind(cell) == "notes" and not NOTE.fullmatch(cell.source):
            yield cell, "is a note that is not folded under For the lecturer"


@rule
def plan(document):
    """The plans in the notes cover all sections, and their minutes add up to those of the first cell."""
    try:
        lecturing.steps_of(document.notebook)
    except lecturing.Refused as refused:
        yield refused.cell, refused.words


# Cells and outputs

@rule
def compared(document):
    """No cell is excused from the comparison. The tags are `raises-exception`, `stateful`, `map` and `figure:name`."""
    for cell in document.cells:
        if ESCAPES.search(" ".join([cell.source, *tags(cell)])):
            yield cell, "is excused from the comparison"
        for tag in tags(cell):
            if not TAGS.fullmatch(tag):
                yield cell, f"has the tag {tag!r}, which means nothing here"


@rule
def short(document):
    """A cell has at most 15 lines, unless it holds a class."""
    for cell in document.code:
        if len(cell.source.splitlines()) > LONGEST_CELL and "class " not in cell.source:
            yield cell, f"has more than {LONGEST_CELL} lines"


@rule
def no_tex(document):
    """Mathematics is written in plain text, x²: TeX needs a network on slides and pages."""
    for cell in document.prose:
        found = TEX.search(CODE.sub("", cell.source))
        if found:
            yield cell, f"has TeX mathematics, {' '.join(found[0].split())}, which needs a network: write x²"


@rule
def errors(document):
    """A cell that raises has the tag `raises-exception`, and stores the message only."""
    for cell in document.code:
        raises = any(output.output_type == "error" for output in cell.outputs)
        if raises and "raises-exception" not in tags(cell):
            yield cell, "stores an error without the tag raises-exception"
        if not raises and "raises-exception" in tags(cell):
            yield cell, "has the tag raises-exception, and stores no error"
        if any(len(output.get("traceback", [])) > 1 for output in cell.outputs):
            yield cell, "stores a whole traceback"


@rule
def of_no_machine(document):
    """No output names a path or an address of a machine, and nothing is printed to stderr, which does."""
    for cell, output in document.outputs:
        if output.get("name") == "stderr":
            yield cell, "stores something printed to stderr, which names files of a machine"
        for words in _words(output):
            if MACHINE.search(words):
                yield cell, f"stores a path or an address of a machine: {MACHINE.search(words)[0]!r}"


@rule
def full_bars(document):
    """A progress bar is stored full."""
    for cell, output in document.outputs:
        if any(UNFINISHED.search(words) for words in _words(output)):
            yield cell, "stores a progress bar that is not full"


@rule
def shown(document):
    """A picture is that of `show_graph` or `show_picture`: in the notebook itself, with alt text, and with a text that stands
    for it."""
    for cell, output in document.outputs:
        data = output.get("data", {})
        for mime in sorted(set(data) - SHOWN):
            yield cell, f"shows {mime}, which has no alt text: use show_graph or show_picture"
        html = data.get("text/html", "")
        for words in Markup(html).problems:
            yield cell, words
        for svg in pictures(html):
            ElementTree.fromstring(svg)
        if html and not data.get("text/plain", "").strip():
            yield cell, "shows a picture without a text that stands for it"


def _words(output):
    """All texts of an output, each picture as its SVG."""
    data = output.get("data", {})
    return [output.get("text", ""), *output.get("traceback", []), *map(str, data.values()),
            *pictures(data.get("text/html", ""))]


def changed(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode, str]]:
    """For each change that a notebook asks its readers to try: the cell that asks, the code cell, and its changed source."""
    for cell, above in _with_code_above(notebook.cells):
        change = CHANGE.fullmatch(cell.source)
        if change and above:
            yield cell, above, above.source.replace(change[1], change[2])


def _with_code_above(cells):
    """Each text with the code cell above it, or None."""
    above = None
    for cell in cells:
        if cell.cell_type == "code":
            above = cell
        else:
            yield cell, above
