"""What the tests open: an export, the pages, and a JupyterLab, in a browser that must find nothing to complain of."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import time

import nbformat
import pytest
from sample import TITLE, write_sample

import lecture
import pages as site
from browser import find_browser
from project import COURSE, ROOT

SCREENSHOTS = ROOT / "_build/browser"        # of failed tests
AXE = "axe-core-4.14.1"
PATIENCE = 60_000       # milliseconds: a slow machine is no failure
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: make test-browser installs it")
    path = find_browser()
    if not path:
        pytest.skip("no browser: install Chromium, for example: apt install chromium")
    sync_api.expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def notebooks(browser, tmp_path_factory):
    """A copy of the folder notebooks, with sample.ipynb and the same under another title, trusted.ipynb, and lecture.ipynb."""
    copied = shutil.copytree(COURSE, tmp_path_factory.mktemp("course") / "notebooks",
                             ignore=shutil.ignore_patterns("__pycache__", ".*"))
    sample = write_sample(copied).read_text(encoding="utf-8")
    (copied / "trusted.ipynb").write_text(sample.replace(TITLE, "# Trusted"), encoding="utf-8")
    shutil.copy(copied / "03_several_losses.ipynb", copied / "lecture.ipynb")
    return copied


@pytest.fixture(scope="session")
def export(notebooks):
    """sample.ipynb as `jupyter nbconvert --to html` writes it."""
    subprocess.run([sys.executable, "-m", "nbconvert", "--to", "html", "sample.ipynb"], cwd=notebooks, check=True,
                   capture_output=True)
    return notebooks / "sample.html"


@pytest.fixture(scope="session")
def lab(notebooks, tmp_path_factory):
    """The address of a JupyterLab in `notebooks`, as `make lab` opens it. It trusts trusted.ipynb, lecture.ipynb and 06 only."""
    with running_lab(notebooks, tmp_path_factory.mktemp("jupyter"), "") as address:
        yield address


@contextlib.contextmanager
def running_lab(notebooks, home, reader):
    """A JupyterLab with the settings of a lecture, and no settings of this machine. reader: as in make lab FOR=lecturer."""
    folders = {name: str(home / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR",
                                                   "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")}
    variables = {**os.environ, **folders, "JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_CONFIG_PATH": str(ROOT / "tools/lab"),
                 "FOR": reader}
    lecture.settings(home / "JUPYTERLAB_SETTINGS_DIR")
    trusted = ["trusted.ipynb", "lecture.ipynb", "06_two_branch_network.ipynb"]
    subprocess.run([sys.executable, "-m", "jupyter", "trust", *trusted], cwd=notebooks, env=variables, check=True,
                   capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = home / "log.txt"
    with log.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
             f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={notebooks}",
             "--IdentityProvider.token="], env=variables, stdout=file, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not _answers(port):
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()      # it ends its kernels first
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def _answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True


@pytest.fixture
def open_page(browser, request):
    """A function that opens an address in a page of its own. Errors, and requests to elsewhere, fail the test."""
    from nbconvert import HTMLExporter
    empty = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook())[0]
    wanted_by_nbconvert = set(re.findall(r"https?://[^\"' ]+", empty))
    pages, complaints = [], []

    def open_it(address, **settings):
        def hear(message):
            # RISE 0.43, with any notebook: its buttons' colours follow each other, and it asks for style sheets nobody wrote.
            if "/rise/" in address and re.search("Maximum call stack|Refused to apply style from .*/files/", message.text):
                return
            if message.type == "error" and message.location["url"] not in wanted_by_nbconvert:
                complaints.append(message.text)

        def see(sent):
            server = re.match("(?:[a-z]+://)?[^/]*", address)[0]
            if sent.url.startswith("http") and not sent.url.startswith(server) and sent.url not in wanted_by_nbconvert:
                complaints.append(sent.url)

        page = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}, **settings}).new_page()
        page.set_default_timeout(PATIENCE)
        pages.append(page)
        page.on("console", hear)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", see)
        page.goto(address)
        return page

    yield open_it
    if complaints or request.node.stash.get(FAILED, False):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "_", request.node.name)
        for number, page in enumerate(pages, 1):
            page.screenshot(path=SCREENSHOTS / f"{name}_{number}.png")
    for page in pages:
        page.context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    target = tmp_path_factory.mktemp("pages") / "html"
    site.build(COURSE, target)
    return target


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core, from npm, which only this needs. It is kept in build/."""
    packed = ROOT / f"_build/axe/{AXE}.tgz"
    if not packed.exists():
        npm = shutil.which("npm")
        if not npm:
            pytest.skip("no npm: axe-core, which looks for barriers in the pages, comes from there")
        packed.parent.mkdir(parents=True, exist_ok=True)
        pack = [npm, "pack", "axe-core@" + AXE.rpartition("-")[2]]
        if subprocess.run(pack, cwd=packed.parent, capture_output=True, timeout=120).returncode:
            pytest.skip("npm cannot fetch axe-core, which looks for barriers in the pages")
    with tarfile.open(packed) as archive:
        return archive.extractfile("package/axe.min.js").read().decode()


@pytest.fixture
def open_offline(open_page, pages):
    """A function that opens a page of the course by its name. Nothing may be asked for but the page itself."""
    asked = []

    def open_it(name, **settings):
        page = open_page((pages / "index.html").as_uri(), offline=True, **settings)     # from there on, each request is heard
        page.on("request", lambda sent: asked.append(sent.url.partition("#")[0]))
        page.goto((pages / f"{name}.html").as_uri())
        return page

    yield open_it
    assert {url for url in asked if not url.startswith("data:")} <= {path.as_uri() for path in pages.iterdir()}


@pytest.fixture(params=["export", "lab"])
def page(request, open_page):
    """The sample with its players: exported, without a network, and as a trusted notebook in JupyterLab."""
    if request.param == "export":
        return open_page(request.getfixturevalue("export").as_uri(), offline=True)
    return open_page(request.getfixturevalue("lab") + "/lab/tree/trusted.ipynb?reset")


FAILED = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report
