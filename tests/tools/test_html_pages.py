"""The pages to read, as files: what is in them, and which notebooks are refused. browser/test_pages.py opens them."""

import copy
import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import pages as site
from clinic_tables import clinics
from new_notebook import FIRST, NOTE, PLAN, skeleton
from project import COURSE, PICTURE, ROOT, folded, kind, notebooks, read
from refresh import METADATA
from rules import GUARD, MACHINE
from seegrad.cases import CASES

PAGES = ["index.html", *(f"{path.stem}.html" for path in notebooks())]
each_page = pytest.mark.parametrize("name", PAGES)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """The pages of the course, as they are on the disk."""
    target = tmp_path_factory.mktemp("a folder with spaces, é and 图") / "_build/html"
    assert site.build(COURSE, target) == len(PAGES)
    assert [path.name for path in target.parent.iterdir()] == ["html"]
    return {path.name: path.read_text(encoding="utf-8") for path in target.iterdir()}


@pytest.fixture(scope="module")
def soups(texts):
    return {name: BeautifulSoup(text, "html.parser") for name, text in texts.items()}


def test_there_is_a_page_for_each_notebook(texts):
    assert sorted(texts) == sorted(PAGES)


def test_a_second_run_writes_the_same_bytes(texts, tmp_path):
    program = "import pages, pathlib, sys; pages.build(*map(pathlib.Path, sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", program, COURSE, tmp_path / "html"], check=True,
                   env={**os.environ, "PYTHONPATH": str(ROOT / "tools"), "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"})
    assert {path.name: path.read_bytes() for path in (tmp_path / "html").iterdir()} == {
        name: text.encode() for name, text in texts.items()}


@each_page
def test_links_and_anchors_lead_somewhere(soups, name):
    for link in soups[name].find_all("a"):
        page, _, anchor = link["href"].partition("#")
        if not page.startswith(("https://", "http://")):
            target = soups[page or name]
            assert not anchor or target.find(id=unquote(anchor)), link


@each_page
def test_nothing_is_loaded_from_anywhere(soups, texts, name):
    page = soups[name]
    policy = page.find("meta", {"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'; img-src data:;") and "http" not in policy
    assert all(tag["src"].startswith("data:image/") for tag in page.find_all(src=True))
    assert page.find_all(["iframe", "object", "embed", "base", "form"]) == []
    assert [tag["href"] for tag in page.find_all("link")] == ["data:,"]
    assert "@import" not in texts[name] and "url(" not in "".join(map(str, page.find_all("style")))


@each_page
def test_no_page_names_a_machine(texts, name):
    words = PICTURE.sub("", texts[name])
    assert not MACHINE.search(words) and str(Path.home()) not in words


@each_page
def test_each_page_has_the_parts_by_which_readers_find_their_way(soups, name):
    page = soups[name]
    assert page.html["lang"] == "en" and page.title.text
    assert [tag.name for tag in page.body.find_all(["header", "main", "footer"])] == ["header", "main", "footer"]
    assert page.body.find("a")["href"] == "#main" and page.find(id="main").name == "main"
    levels = [int(tag.name[1]) for tag in page.find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below <= above + 1 for above, below in zip(levels, levels[1:]))
    assert all(image["alt"].strip() for image in page.find_all("img"))
    boxes = page.find_all(class_="box")
    assert boxes and all(box["aria-label"] and box["role"] and box["tabindex"] == "0" for box in boxes)
    assert all(table.find_parent(class_="box") for table in page.find_all("table"))
    assert all(code.find_parent(["details", "div"]) for code in page.find_all("pre"))


def test_the_index_says_what_one_can_do_after_each_notebook_and_how_long_it_takes(soups):
    index = soups["index.html"]
    assert index.find("img")["alt"].startswith("Map of the course: 00 leads to 01")
    for path, heading in zip(notebooks(), index.find_all("h2"), strict=True):
        first = read(path).cells[0].source
        assert heading.a["href"] == f"{path.stem}.html" and first.startswith(f"# {heading.text}\n")
        assert heading.find_next("p").text.partition(" minutes")[0] in re.search(r"\*\*Time:\*\* (\d+)", first)[1]
        assert len(heading.find_next("ul").find_all("li")) == len(re.findall("^- ", first, re.MULTILINE))


def test_each_page_leads_to_the_next_one_and_back_at_its_top_and_at_its_end(soups):
    for before, name, after in zip([None, *PAGES[1:]], PAGES[1:], [*PAGES[2:], None]):
        for part in (soups[name].header, soups[name].footer):
            links = {(link.get("rel") or ["contents"])[0]: link["href"] for link in part.find_all("a")}
            assert links.pop("contents") == "index.html"
            assert links == {way: page for way, page in (("prev", before), ("next", after)) if page}


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_every_cell_and_every_output_is_on_the_page(soups, path):
    page, cells = soups[f"{path.stem}.html"], read(path).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    for cell in code:
        label = f"ell {cell.execution_count}"
        assert page.find(attrs={"aria-label": f"Code c{label}"}).text.strip() == cell.source.strip()
        shown = page.find(attrs={"aria-label": f"Output of c{label}"})
        alts = [html.unescape(alt) for output in cell.outputs
                for alt in re.findall(r'\balt="([^"]+)"', output.get("data", {}).get("text/html", ""))]
        assert [image["alt"] for image in page.select(f"[aria-label='Output of c{label}'] img")] == alts
        for output in cell.outputs:
            for picture in PICTURE.findall(output.get("data", {}).get("text/html", "")):
                assert picture in str(shown)
            if "text" in output:
                assert output.text.strip() in shown.text
            if "ename" in output:
                assert output.evalue.splitlines()[0] in shown.text
    plays = sum(str(cell.outputs).count('<figure class="seegrad ') for cell in code)
    assert len(page.find_all("figure", class_="seegrad")) == plays
    folds = sum(cell.source.count("<details") + folded(cell) for cell in cells
                if cell.cell_type == "markdown" and kind(cell) != "notes")
    assert len([fold for fold in page.find_all("details") if not fold.find_parent(class_="output")]) == folds


def test_the_table_of_the_error_clinic_leads_to_its_cases(soups):
    page = soups["08_error_clinic.html"]
    links = [link["href"] for link in page.table.find_all("a") if link["href"].startswith("#")]
    assert len(links) >= 14 and "#Case-12:-Can't-call-numpy()-on-Tensor-that-requires-grad" in map(unquote, links)
    assert {page.find(id=unquote(link[1:])).name for link in links} == {"h2"}


def test_the_contents_and_the_clinics_have_the_field_that_leads_from_a_message_to_each_case(soups):
    places = ["index.html", *(f"{path.stem}.html" for path in clinics())]
    assert [name for name in PAGES if soups[name].find(class_="finder")] == places
    for name in places:
        finder, = soups[name].find_all(class_="finder")
        assert finder.has_attr("hidden") and finder.label["for"] == finder.textarea["id"]        # a script shows it
        rows = finder.find_all("li")
        assert [row.a.text for row in rows] == [case.heading for case in CASES if case.messages]
        for row in rows:
            page, _, anchor = row.a["href"].partition("#")
            assert soups[page].find(id=unquote(anchor)).text == row.a.text and row.has_attr("hidden")


# A small course, to damage: its map, and a skeleton that ends with the cells of a test.

SHOWN = '<figure><img alt="A picture" src="data:image/svg+xml;base64,PHN2Zy8+"></figure>'


@pytest.fixture(scope="module")
def begun():
    """The two notebooks of the small course, by name."""
    words = FIRST.format(number="00", title="One", before="00", file="00_one.ipynb")
    opening = new_markdown_cell(words, id="first", metadata=slide("slide"))
    heading = new_markdown_cell("## The map", id="heading", metadata=slide("slide"))
    plan = new_markdown_cell(NOTE.format(words=PLAN.format(minutes="50 minutes")), id="heading-note", metadata=slide("notes"))
    its_map = new_code_cell("%xmode Minimal\n" + GUARD.format(needs="seegrad"), id="a-map", execution_count=1, outputs=[
        new_output("display_data", {"text/html": SHOWN, "text/plain": "A picture"})], metadata={**slide("-"), "tags": ["map"]})
    first = new_notebook(cells=[opening, heading, plan, its_map], metadata=METADATA)
    second = skeleton("01", "Two", before="01_two.ipynb")      # no link to 00, which a test removes; no output, so no kernel
    for number, cell in enumerate((cell for cell in second.cells if cell.cell_type == "code"), 1):
        cell.execution_count = number
    return {"00_one": first, "01_two": second}


def slide(slide_type):
    return {"slideshow": {"slide_type": slide_type}}


@pytest.fixture
def write_course(begun):
    """A function that writes the small course into a folder, with further cells behind the set-up of its second notebook."""
    def write(folder, *cells):
        folder.mkdir(exist_ok=True)
        for name, notebook in copy.deepcopy(begun).items():
            if name == "01_two":
                notebook.cells[4:4] = cells
                has_run = [cell for cell in notebook.cells if cell.get("execution_count")]
                for number, cell in enumerate(has_run, 1):
                    cell.execution_count = number
            nbformat.write(notebook, folder / f"{name}.ipynb")
        return folder
    return write


@pytest.fixture
def pages_of(write_course, tmp_path):
    return lambda *cells: site.make_pages(write_course(tmp_path / "notebooks", *cells))


def markdown(source):
    return new_markdown_cell(source, id="the-cell", metadata=slide("slide"))


def output(**data):
    return new_code_cell("1", id="the-cell", execution_count=1, metadata=slide("-"), outputs=[new_output("display_data", {
        mime.replace("_", "/"): text for mime, text in data.items()})])


def test_markdown_becomes_what_jupyterlab_makes_of_it(pages_of):
    page = BeautifulSoup(pages_of(markdown(
        "### The `.grad` isn't *None* & stays\n\n[there](00_one.ipynb) [here](<#The-.grad-isn't-None-&-stays>) "
        "[web](https://x.org/a.ipynb)\n\n"
        "`$x$` costs $5.\n\n| English | 中文 | |\n|---|---|---|\n| leaf | 叶子 / 节点 | |\n\n```python\nprint(1)\n```\n\n"
        "<details><summary>More</summary>\n\nIt is **right**.\n\n</details>"))["01_two.html"], "html.parser")
    assert page.h3["id"] == "The-.grad-isn't-None-&-stays" and page.find(id="cell-id=the-cell").h3
    assert [link["href"] for link in page.find(id="cell-id=the-cell").find_all("a")][::2] == ["00_one.html", "https://x.org/a.ipynb"]
    assert "$x$ costs $5." in page.main.text and page.find("svg") is None
    assert [span.text for span in page.find_all(lang="zh-Hans")] == ["中文", "叶子 / 节点"]
    assert page.find(attrs={"aria-label": "Table: English, 中文"}).find_all(["th", "td"])[2].name == "td"     # an empty corner
    assert page.find(attrs={"aria-label": "Code"}).pre
    fold = page.find("summary", string="More").parent
    assert fold.p.strong.text == "right"


def test_a_link_in_an_output_leads_to_the_page_of_a_notebook(pages_of):
    page = pages_of(output(text_html='<a href="00_one.ipynb#cell-id=first">a</a>', text_plain="A"))["01_two.html"]
    assert '<a href="00_one.html#cell-id=first">a</a>' in page


def test_a_course_without_a_clinic_has_no_field_for_messages(pages_of):
    assert all('class="finder"' not in page for page in pages_of().values())


def test_what_is_for_the_lecturer_is_not_for_the_reader(pages_of):
    note = new_markdown_cell(NOTE.format(words="Ask the room."), id="a-note", metadata=slide("notes"))
    assert "Ask the room." not in pages_of(note)["01_two.html"]


@pytest.mark.parametrize("cell, words", [
    (output(text_html="<img src='data:image/png;base64,AA'>", text_plain="A"), "cell the-cell has a picture without alt text"),
    (markdown("![](data:image/png;base64,AA)"), "cell the-cell has a picture without alt text"),
    (output(image_png="AAAA", text_plain="A"), "cell the-cell shows image/png, which has no alt text"),
    (output(text_html="<script src='https://cdn.org/a.js'></script>", text_plain="A"), "loads 'https://cdn.org/a.js'"),
    (output(text_html="<p style='background: url(https://cdn.org/a.png)'>A", text_plain="A"), "loads 'https://cdn.org/a.png'"),
    (markdown("<img alt='A cat' src='cat.png'>"), "loads 'cat.png'"),
    (markdown("a $x^2$"), "cell the-cell has TeX mathematics, $x^2$, which needs a network"),
    (markdown("$$\nx^2\n$$"), "cell the-cell has TeX mathematics, $$ x^2 $$, which needs a network"),
    (markdown(r"\begin{align} x \end{align}"), "cell the-cell has TeX mathematics"),
    (markdown("[a](02_three.ipynb)"), "cell the-cell has a link to 02_three.ipynb, which is not there"),
    (markdown("[a](#Nowhere)"), "01_two: the link to #Nowhere leads nowhere"),
    (markdown("[a](00_one.ipynb#Nowhere)"), "01_two: the link to 00_one.html#Nowhere leads nowhere"),
    (markdown("[a](00_one.ipynb#cell-id=lost)"), "01_two: the link to 00_one.html#cell-id=lost leads nowhere"),
    (markdown("<a href='00_one.ipynb'>a</a>"), "01_two: the link to 00_one.ipynb leads nowhere"),
    (markdown("[a](file:///home/me/a.txt)"), "cell the-cell has a link to file:///home/me/a.txt"),
    (markdown("### Twice\n\n### Twice"), "01_two: two places are called #Twice"),
    (new_code_cell("1", id="the-cell", metadata=slide("-")), "cell the-cell has not been run, or its outputs were"),
])
def test_a_cell_that_cannot_be_shown_is_refused_by_name(pages_of, cell, words):
    with pytest.raises(site.Refused) as refused:
        pages_of(cell)
    assert words in str(refused.value) and str(refused.value).startswith("01_two") and str(refused.value).endswith(".")


def damage_file(folder):
    (folder / "01_two.ipynb").write_text("{", encoding="utf-8")


def damage_form(folder):
    (folder / "01_two.ipynb").write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{}]}))


def remove_first(folder):
    (folder / "00_one.ipynb").unlink()


def remove_all(folder):
    for path in folder.iterdir():
        path.unlink()


def drop(words):
    def damage(folder):
        path = folder / "01_two.ipynb"
        path.write_text(path.read_text(encoding="utf-8").replace(words, "lost"), encoding="utf-8")
    return damage


@pytest.mark.parametrize("damage, words", [
    (damage_file, "01_two.ipynb: is not a notebook"),
    (damage_form, "01_two.ipynb: is not a notebook"),
    (remove_first, "01_two.ipynb is the first notebook, and the map of the course is in 00."),
    (remove_all, "There is no notebook in "),
    (drop("# 01 · "), "01_two.ipynb: cell 01-01 has no title"),
    (drop("**Time:**"), "01_two.ipynb: cell 01-01 has no line **Time:**."),
    (drop("**After this"), "01_two.ipynb: cell 01-01 has no list under **After this notebook you can**."),
])
def test_what_is_wrong_is_said_in_a_sentence_and_the_last_pages_stay(write_course, tmp_path, monkeypatch, capsys, damage, words):
    folder, target = write_course(tmp_path / "notebooks"), tmp_path / "_build/html"
    monkeypatch.setattr(site, "COURSE", folder)
    monkeypatch.setattr(site, "TARGET", target)
    site.main([])
    assert capsys.readouterr().out == f"3 pages are written. Open {(target / 'index.html').as_uri()}\n"
    last = {path.name: path.read_bytes() for path in target.iterdir()}
    damage(folder)
    with pytest.raises(SystemExit) as stopped:
        site.main([])
    message = str(stopped.value.code)
    assert message.startswith(words) and message.endswith(" The pages are left as they were.") and "\n" not in message
    assert {path.name: path.read_bytes() for path in target.iterdir()} == last
    assert [path.name for path in target.parent.iterdir()] == ["html"]


def test_a_disk_that_fills_up_leaves_the_last_pages(write_course, tmp_path, monkeypatch):
    folder, target = write_course(tmp_path / "notebooks"), tmp_path / "_build/html"
    site.build(folder, target)
    last = {path.name: path.read_bytes() for path in target.iterdir()}
    write = Path.write_text

    def write_a_little(path, text, **options):
        if path.name == "01_two.html":
            raise OSError(28, "No space left on device")
        return write(path, text, **options)

    monkeypatch.setattr(Path, "write_text", write_a_little)
    with pytest.raises(OSError):
        site.build(folder, target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == last
    assert [path.name for path in target.parent.iterdir()] == ["html"]


def test_a_page_that_is_gone_from_the_course_goes_from_the_folder(write_course, tmp_path):
    folder, target = write_course(tmp_path / "notebooks"), tmp_path / "_build/html"
    site.build(folder, target)
    (folder / "01_two.ipynb").unlink()
    assert site.build(folder, target) == 2 and sorted(path.name for path in target.iterdir()) == ["00_one.html", "index.html"]
