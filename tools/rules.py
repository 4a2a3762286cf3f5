"""What nbval lets through, and what a notebook of the course must be as a document."""

import base64
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
LARGEST = 1_000_000     # bytes
LONGEST_CELL = 15       # lines; a network's class may be longer

MACHINE = re.compile(r"/home/|/root/|/tmp/|/Users/|[A-Z]:\\\\|site-packages|\.py:\d+|ipykernel_\d|(?: at |\b)0x[0-9a-fA-F]{6,}")
IMAGE = re.compile(r"<img\b[^>]*>")
ALT = re.compile(r'\balt="([^"]+)"')
PAYLOAD = re.compile(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)")
# Words and tags with which a cell would escape the comparison.
ESCAPES = re.compile(r"nbval[-_](ignore|skip|raises|check)|pytest_validate_ignore", re.IGNORECASE)
UNFINISHED = re.compile(r"\[=* *\] (\d+)/(?!\1\b)|max='(\d+)' value='(?!\2')")     # a progress bar
STYLE = 'plt.style.use("course.lecture")'
TAGS = re.compile(r"raises-exception|stateful|figure:[a-z0-9_]+")
TEX = re.compile(r"\$[^$\n]+\$|\\\(|\\\[")
CODE = re.compile(r"```.*?```|`[^`]*`", re.DOTALL)
SLIDES = {"slide", "subslide", "fragment", "notes", "skip", "-"}


def problems(notebook, size=0):
    """Return a sentence for each thing that is wrong with a notebook (an nbformat node; size: its file's bytes)."""
    found = []
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("The kernelspec is not python3: slides would open with a question about the kernel.")
    if size > LARGEST:
        found.append(f"The file has {size:,} bytes, more than {LARGEST:,}.")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("The execution counts are not 1 to n: outputs were stripped, or the notebook was not run in order.")
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids or len(set(ids)) != len(ids):
        found.append("Two cells have the same id, or one has none.")
    if any("import matplotlib" in cell.source for cell in code) and not any(STYLE in cell.source for cell in code):
        found.append(f"Its plots have another look: {STYLE} is missing.")
    for cell in notebook.cells:
        found += [f"Cell {cell.get('id')}: {problem}" for problem in _cell_problems(cell)]
    return found


def _cell_problems(cell):
    tags = cell.metadata.get("tags", [])
    if cell.metadata.get("slideshow", {}).get("slide_type") not in SLIDES:
        yield "it has no slide type."
    if ESCAPES.search(" ".join([cell.source, *tags])):
        yield "it is excused from the comparison."
    for tag in tags:
        if not TAGS.fullmatch(tag):
            yield f"the tag {tag!r} means nothing here."
    if "execution" in cell.metadata:
        yield "it stores the time of its run."
    if cell.cell_type != "code":
        if TEX.search(CODE.sub("", cell.source)):
            yield "it contains TeX mathematics, which slides and pages cannot show without a network: write x²."
        return
    if len(cell.source.splitlines()) > LONGEST_CELL and "class " not in cell.source:
        yield f"it has more than {LONGEST_CELL} lines."
    raises = any(output.output_type == "error" for output in cell.outputs)
    if raises and "raises-exception" not in tags:
        yield "it stores an error without the tag raises-exception."
    if not raises and "raises-exception" in tags:
        yield "it has the tag raises-exception, and stores no error."
    for output in cell.outputs:
        yield from _output_problems(output)


def _output_problems(output):
    if output.get("name") == "stderr":
        yield "it stores something printed to stderr, which names files of a machine."
    if len(output.get("traceback", [])) > 1:
        yield "it stores a whole traceback: the set-up cell must switch to short ones."
    data = output.get("data", {})
    for mime in data:
        if mime.startswith("image/") or "widget" in mime:
            yield f"it shows {mime}, which is not visible before a run: use show_graph or show_picture."
    for text in [output.get("text", ""), *output.get("traceback", []), *map(str, data.values())]:
        words = PAYLOAD.sub(lambda found: base64.b64decode(found[1]).decode(), text)
        if UNFINISHED.search(words):
            yield "it stores a progress bar that is not full."
        if MACHINE.search(words):
            yield f"it stores a path or an address of a machine: {MACHINE.search(words)[0]!r}."
    html = data.get("text/html", "")
    for image in IMAGE.findall(html):
        if not ALT.search(image):
            yield "it shows a picture without alt text."
        if not PAYLOAD.search(image):
            yield "it shows a picture that is not in the notebook itself."
    for payload in PAYLOAD.findall(html):
        ElementTree.fromstring(base64.b64decode(payload))
    if html and not data.get("text/plain", "").strip():
        yield "it shows a picture without a text that stands for it."
