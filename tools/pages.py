"""Write the notebooks as pages to read, without Python and without a network: python tools/pages.py

The pages show what the notebooks have stored; nothing is run. Each page carries its pictures, scripts and styles in itself.
Where something is wrong with a notebook, one sentence says so, and the last pages stay as they were.
"""

import html
import os
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import nbformat
from jinja2 import pass_context
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = Path(__file__).with_suffix("")      # the folder pages, with the style sheet and the script of a page
TARGET = ROOT / "_build/html"
TITLE = "See PyTorch's computation graph"
MAP = "00-19"           # the cell of the first notebook that shows the map of the course
SHOWN = {"text/html", "text/plain"}     # what an output may hold; an image/png, for example, has no alt text
CHINESE = re.compile("[\u3400-\u9fff]+(?: / [\u3400-\u9fff]+)*")


class Refused(ValueError):
    """A notebook cannot become a page. The message is one sentence that says which, where, and why."""


class Found(HTMLParser):
    """What a piece of HTML holds: its ids, its links, and a few words for each thing that a page must not have."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.problems = [], [], []
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


def text_of(markup):
    """The text that a reader sees of a piece of HTML."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def scrolling(markup, label):
    """A box that scrolls where it is too wide. The keyboard scrolls it too: script.js lets Tab pass by where it need not."""
    return f'<div class="box" role="group" aria-label="{html.escape(label)}" tabindex="0">{markup}</div>'


class Renderer(IPythonRenderer):
    """Markdown as JupyterLab renders it, with links to pages in place of notebooks."""

    def heading(self, text, level, **attributes):
        anchor = html.escape(text_of(text).replace(" ", "-"))        # as JupyterLab makes it
        return f'<h{level} id="{anchor}">{text}</h{level}>\n'

    def link(self, text, url, title=None):
        return super().link(text, re.sub(r"^([\w.-]+)\.ipynb(?=#|$)", r"\1.html", url), title)

    def text(self, text):
        return CHINESE.sub(r'<span lang="zh-Hans">\g<0></span>', super().text(text))

    def block_code(self, code, info=None):
        return scrolling(super().block_code(code, info), "Code")

    def table(self, text):
        text = re.sub(r"<th[^>]*></th>", "<td></td>", text)     # an empty corner is the head of nothing
        columns = ", ".join(map(text_of, re.findall(r"<th\b[^>]*>(.*?)</th>", text)))
        return scrolling(f"<table>\n{text}</table>\n", f"Table: {columns}")

    def inline_math(self, body):
        raise Refused(f"has TeX mathematics, ${' '.join(body.split())}$, which needs a network: write x²")

    block_math = inline_math

    def latex_environment(self, name, body):
        self.inline_math(body)


class Exporter(HTMLExporter):
    """Makes the cells of a notebook into HTML, by a template of ours, and refuses a cell that cannot be shown."""

    def __init__(self):
        super().__init__(template_name=TEMPLATES.name, extra_template_basedirs=[str(TEMPLATES.parent)])

    def default_filters(self):
        yield from super().default_filters()
        yield "shown", self.shown

    @pass_context
    def markdown2html(self, context, source):
        cell = context["cell"]
        try:
            made = MarkdownWithMath(renderer=Renderer(escape=False, attachments=cell.get("attachments"))).render(source)
        except Refused as error:
            raise Refused(f"cell {cell.id} {error}") from None
        return self.shown(context, made)

    @pass_context
    def shown(self, context, markup):
        for problem in Found(markup).problems:
            raise Refused(f"cell {context['cell'].id} {problem}")
        return markup


class Lesson:
    """A notebook and the page that it becomes. Each method that reads its cells raises Refused where it cannot."""

    def __init__(self, path):
        self.notebook_name, self.page_name = path.name, f"{path.stem}.html"
        try:
            self.notebook = nbformat.read(path, as_version=4)
            nbformat.validate(self.notebook)
        except Exception as error:      # of many kinds, by what is broken
            raise Refused(f"is not a notebook ({type(error).__name__}): {' '.join(str(error).split())[:100]}") from None
        self.notebook.cells = [cell for cell in self.notebook.cells
                               if cell.metadata.get("slideshow", {}).get("slide_type") != "notes"]      # for the lecturer
        self.notebook.metadata.language_info = {"name": "python", "pygments_lexer": "ipython3"}     # knows %xmode
        first = self.notebook.cells[0].source if self.notebook.cells else ""
        self.title = self._find(first, r"\A# (\d\d · .+)", "title, like # 03 · Several losses")
        self.time = self._find(first, r"^\*\*Time:\*\* (.+?)\.?$", "line **Time:**")
        self.goals = self._find(first, r"^\*\*After this notebook you can\*\*\n\n((?:- .+\n)+)",
                                "list under **After this notebook you can**")
        for cell in self.notebook.cells:
            if cell.cell_type == "code":
                self._check(cell)

    @staticmethod
    def _find(first, pattern, what):
        found = re.search(pattern, first, re.MULTILINE)
        if not found:
            raise Refused(f"has no {what} in its first cell")
        return found[1]

    @staticmethod
    def _check(cell):
        if not cell.execution_count:
            raise Refused(f"cell {cell.id} has not been run: make refresh")
        for output in cell.outputs:
            others = set(output.get("data", {})) - SHOWN
            if others:
                raise Refused(f"cell {cell.id} shows {min(others)}, which has no alt text: use show_graph or show_picture")


def make_pages(folder):
    """Return a dict from the name of a page to its HTML. Raises Refused with a sentence if a notebook is not as it should."""
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise Refused(f"There is no notebook in {folder}.")
    exporter = Exporter()
    lessons, bodies = [], []
    for path in paths:
        try:
            lessons.append(Lesson(path))
            bodies.append(exporter.from_notebook_node(lessons[-1].notebook)[0])
        except Refused as error:
            raise Refused(f"{path.name}: {error}.") from None
    the_map = [output.data["text/html"] for cell in lessons[0].notebook.cells if cell.id == MAP
               for output in cell.get("outputs", []) if "text/html" in output.get("data", {})]
    if not the_map:
        raise Refused(f"{paths[0].name}: cell {MAP} shows no map of the course.")

    def render(template, **values):
        return exporter.environment.get_template(template).render(course=TITLE, style=style, script=script, **values)

    style, script = make_style(), (TEMPLATES / "script.js").read_text(encoding="utf-8")
    inline = MarkdownWithMath(renderer=Renderer(escape=False)).render
    pages = {"index.html": render("contents.html.j2", title="Contents", next=lessons[0], map=scrolling(
        the_map[0], "The map of the course"), lessons=[(lesson, inline(lesson.goals)) for lesson in lessons])}
    for before, lesson, after, body in zip([None, *lessons], lessons, [*lessons[1:], None], bodies):
        pages[lesson.page_name] = render("page.html.j2", title=lesson.title, lesson=lesson, previous=before, next=after,
                                         body=body)
    check_links(pages)
    return pages


def make_style():
    """The style sheet of a page, with colours for code that can be read on a light and on a dark page."""
    def code(style):        # the rules for code only: not those for line numbers, nor the background
        rules = HtmlFormatter(style=style).get_style_defs(".highlight").splitlines()
        return "\n".join(rule.partition(" /*")[0] for rule in rules if rule.startswith(".highlight ."))

    own = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return (f"{own}@media print, (prefers-color-scheme: light) {{\n{code('xcode')}\n}}\n"
            f"@media screen and (prefers-color-scheme: dark) {{\n{code('github-dark')}\n}}\n")


def check_links(pages):
    """Raise Refused for a link or an anchor that leads nowhere, and for two places of one name."""
    found = {name: Found(page) for name, page in pages.items()}
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


def build(folder, target):
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


def main():
    try:
        count = build(ROOT / "notebooks", TARGET)
    except (Refused, OSError) as error:
        sys.exit(f"{error} The pages are left as they were.")
    print(f"{count} pages are written. Open {(TARGET / 'index.html').as_uri()}")


if __name__ == "__main__":
    main()
