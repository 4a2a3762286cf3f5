"""Write the notebooks as pages to read, without Python and without a network: make html

The pages show what the notebooks have stored; nothing is run. Each page carries its pictures, scripts and styles in itself.
Where something is wrong with a notebook, one sentence says so, and the last pages stay as they were.
"""

import argparse
import html
import json
import os
import re
import shutil
import sys
from pathlib import Path
from urllib.parse import quote, unquote

from jinja2 import Environment, pass_context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

from project import COURSE, ROOT, end_of_fold, folded, kind, notebooks, read, tags, to_page
from rules import GOALS, TIME, TITLE, Markup, problems
from seegrad.cases import BASIC, CASES, FEWEST

TEMPLATES = Path(__file__).with_suffix("")      # the folder pages, with the style sheet and the script of a page
TARGET = ROOT / "_build/html"
SERIES = "See PyTorch's computation graph"
TABLE_OF_MESSAGES = "## Find your message\n"
CHINESE = re.compile("[\u3400-\u9fff]+(?: / [\u3400-\u9fff]+)*")


class Refused(ValueError):
    """A notebook cannot become a page. The message is one sentence that says which, where, and why."""


def text_of(markup: str) -> str:
    """The text that a reader sees of a piece of HTML."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def scrolling(markup: str, label: str) -> str:
    """A box that scrolls where it is too wide. The keyboard scrolls it too: script.js lets Tab pass by where it need not."""
    return f'<div class="box" role="group" aria-label="{html.escape(label)}" tabindex="0">{markup}</div>'


class Renderer(IPythonRenderer):
    """Markdown as JupyterLab renders it, with links to pages in place of notebooks."""

    def heading(self, text, level, **attributes):
        anchor = html.escape(text_of(text).replace(" ", "-"))        # as JupyterLab makes it
        return f'<h{level} id="{anchor}">{text}</h{level}>\n'

    def link(self, text, url, title=None):
        return super().link(text, to_page(url), title)

    def text(self, text):
        return CHINESE.sub(r'<span lang="zh-Hans">\g<0></span>', super().text(text))

    def block_code(self, code, info=None):
        return scrolling(super().block_code(code, info), "Code")

    def table(self, text):
        text = re.sub(r"<th[^>]*></th>", "<td></td>", text)     # an empty corner is the head of nothing
        columns = ", ".join(map(text_of, re.findall(r"<th\b[^>]*>(.*?)</th>", text)))
        return scrolling(f"<table>\n{text}</table>\n", f"Table: {columns}")


class Exporter(HTMLExporter):
    """Makes the cells of a notebook into HTML, by a template of ours, and refuses a cell that cannot be shown."""

    def __init__(self, clinics: set[str]):
        """clinics: the names of the notebooks whose cases can be found from a message."""
        super().__init__(template_name=TEMPLATES.name, extra_template_basedirs=[str(TEMPLATES.parent)])
        self.finder = make_finder(self.environment, clinics)

    def default_filters(self):
        yield from super().default_filters()
        yield "shown", self.shown

    @pass_context
    def markdown2html(self, context, source):
        renderer = Renderer(escape=False, attachments=context["cell"].get("attachments"))
        markup = MarkdownWithMath(renderer=renderer).render(source)
        if source.startswith(TABLE_OF_MESSAGES):
            markup = markup.replace("</h2>", f"</h2>{self.finder}", 1)
        return self.shown(context, markup)

    @pass_context
    def shown(self, context, markup):
        """A piece of HTML, with links to pages in place of notebooks."""
        markup = re.sub(r'(?<=<a href=")[^"]+', lambda link: to_page(link[0]), markup)
        for problem in Markup(markup).problems:
            raise Refused(f"cell {context['cell'].id} {problem}")
        return markup


class Lesson:
    """A notebook and the page that it becomes. Raises Refused where it breaks a rule of the course."""

    def __init__(self, path):
        self.notebook_name, self.page_name = path.name, f"{path.stem}.html"
        try:
            self.notebook = read(path)
        except ValueError as error:
            raise Refused(f"{error}") from None
        for problem in problems(path, self.notebook):
            raise Refused(problem.rstrip("."))
        cells = self.notebook.cells = [cell for cell in self.notebook.cells if kind(cell) != "notes"]      # for the lecturer
        for i, cell in enumerate(cells):
            if folded(cell):
                cell.metadata.fold = cell.source.lstrip("# ")
                cells[end_of_fold(cells, i)].metadata.ends_fold = True
        first = self.notebook.cells[0].source
        self.title, self.time, self.goals = (pattern.search(first)[1] for pattern in (TITLE, TIME, GOALS))

    @property
    def map(self):
        """The map of the course, as HTML: only the first notebook has one."""
        cell, = (cell for cell in self.notebook.cells if "map" in tags(cell))
        return next(output.data["text/html"] for output in cell.outputs if "text/html" in output.get("data", {}))


def make_pages(folder: Path) -> dict[str, str]:
    """Return a dict from the name of a page to its HTML. Raises Refused with a sentence if a notebook is not as it should."""
    paths = notebooks(folder)
    if not paths:
        raise Refused(f"There is no notebook in {folder}.")
    exporter = Exporter({path.name for path in paths})
    lessons, bodies = [], []
    for path in paths:
        try:
            lessons.append(Lesson(path))
            bodies.append(exporter.from_notebook_node(lessons[-1].notebook)[0])
        except Refused as error:
            raise Refused(f"{path.name}: {error}.") from None
    if not paths[0].name.startswith("00"):
        raise Refused(f"{paths[0].name} is the first notebook, and the map of the course is in 00.")

    def render(template, **values):
        return exporter.environment.get_template(template).render(course=SERIES, style=style, script=script, **values)

    style, script = make_style(), (TEMPLATES / "script.js").read_text(encoding="utf-8")
    inline = MarkdownWithMath(renderer=Renderer(escape=False)).render
    pages = {"index.html": render("contents.html.j2", title="Contents", next=lessons[0], finder=exporter.finder,
        map=scrolling(lessons[0].map, "The map of the course"), lessons=[(lesson, inline(lesson.goals)) for lesson in lessons])}
    for before, lesson, after, body in zip([None, *lessons], lessons, [*lessons[1:], None], bodies):
        pages[lesson.page_name] = render("page.html.j2", title=lesson.title, lesson=lesson, previous=before, next=after,
                                         body=body)
    check_links(pages)
    return pages


def make_finder(environment: Environment, clinics: set[str]) -> str:
    """The field that leads from an error message to its case, or nothing where there is no clinic. script.js looks up in it."""
    cases = [case for case in CASES if case.messages and case.notebook in clinics]
    inline = MarkdownWithMath(renderer=Renderer(escape=False)).render
    rows = [{"heading": case.heading, "link": quote(to_page(case.link), safe="#"), "cause": inline(case.cause),
             "patterns": json.dumps(case.patterns), "words": json.dumps(case.words)} for case in cases]
    table = quote(to_page(BASIC)) + "#" + TABLE_OF_MESSAGES.strip("# \n").replace(" ", "-")
    return environment.get_template("finder.html.j2").render(cases=rows, fewest=FEWEST, table=table) if cases else ""


def make_style() -> str:
    """The style sheet of a page, with colours for code that can be read on a light and on a dark page."""
    def code(style):        # the rules for code only: not those for line numbers, nor the background
        rules = HtmlFormatter(style=style).get_style_defs(".highlight").splitlines()
        return "\n".join(rule.partition(" /*")[0] for rule in rules if rule.startswith(".highlight ."))

    own = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return (f"{own}@media print, (prefers-color-scheme: light) {{\n{code('xcode')}\n}}\n"
            f"@media screen and (prefers-color-scheme: dark) {{\n{code('github-dark')}\n}}\n")


def check_links(pages: dict[str, str]) -> None:
    """Raise Refused for a link or an anchor that leads nowhere, and for two places of one name."""
    found = {name: Markup(page) for name, page in pages.items()}
    for name, page in found.items():
        where = name.removesuffix(".html")
        for anchor in page.ids:
            if page.ids.count(anchor) > 1:
                raise Refused(f"{where}: two places are called #{anchor}: change one of the headings.")
        for link in page.links:
            if re.match("https?://|mailto:", link):
                continue
            path, _, anchor = link.partition("#")
            target = found.get(unquote(path) or name)
            if not target or anchor and unquote(anchor) not in target.ids:
                raise Refused(f"{where}: the link to {unquote(link)} leads nowhere.")


def build(folder: Path, target: Path) -> int:
    """Write the pages of the notebooks in a folder to another folder, in one go, and return how many there are."""
    pages = make_pages(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    new, old = (target.with_name(f".{target.name}.{word}.{os.getpid()}") for word in ("new", "old"))
    try:
        new.mkdir()
        for name, page in pages.items():
            (new / name).write_text(page, encoding="utf-8", newline="\n")
        if target.exists():
            target.rename(old)
        new.rename(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return len(pages)


def main(arguments=None):
    argparse.ArgumentParser(description=__doc__).parse_args(arguments)
    try:
        count = build(COURSE, TARGET)
    except (Refused, OSError) as error:
        sys.exit(f"{error} The pages are left as they were.")
    print(f"{count} pages are written. Open {(TARGET / 'index.html').as_uri()}")


if __name__ == "__main__":
    main()
