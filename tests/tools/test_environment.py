"""tools/environment.py and the Makefile, run in small checkouts whose only package lies on the disk."""

import ast
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from project import ROOT

SCRIPT = ROOT / "tools" / "environment.py"
NO_LIBRARY = "libgobject-2.0.so.0: cannot open shared object file: No such file or directory"
PLENTY = "shutil.disk_usage = lambda path: type('usage', (), {'free': 10**12})"

spec = importlib.util.spec_from_file_location("environment", SCRIPT)
environment = importlib.util.module_from_spec(spec)
spec.loader.exec_module(environment)


def start(checkout, before=PLENTY, **settings):
    """Start the script in its own process; `before` is run first and can fake what Python says about the machine."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    variables.update(PIP_CONFIG_FILE=os.devnull, PIP_NO_CACHE_DIR="1", TMPDIR=str(checkout.parent), **settings)
    if "PIP_INDEX_URL" not in settings:
        variables.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=(checkout / "wheels").as_uri())
    code = f"import runpy, shutil, sys; {before}; runpy.run_path('tools/environment.py', run_name='__main__')"
    return subprocess.Popen([sys.executable, "-c", code], cwd=checkout, env=variables, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def run(*arguments, **settings):
    process = start(*arguments, **settings)
    said, complaint = process.communicate(timeout=120)
    return process.returncode, said, complaint


def one_sentence(result):
    code, _, complaint = result
    assert code == 1
    assert complaint.count("\n") == 1, complaint
    assert "Traceback" not in complaint
    return complaint


def require(checkout, requirements):
    (checkout / "requirements.txt").write_text(requirements + "\n")


def lock(checkout, constraints):
    (checkout / "constraints.txt").write_text(constraints + "\n")


def installed_version(checkout):
    """What the Python of .venv itself finds."""
    question = "from importlib.metadata import version; print(version('tiny'))"
    return subprocess.check_output([checkout / environment.PYTHON, "-I", "-c", question], text=True).strip()


def clone(folder):
    """A fresh clone that has no .venv yet."""
    checkout = folder / "a checkout ü"
    (checkout / "tools").mkdir(parents=True)
    (checkout / "wheels").mkdir()
    shutil.copy(SCRIPT, checkout / "tools")
    shutil.copy(ROOT / "Makefile", checkout)
    require(checkout, "tiny")
    lock(checkout, "tiny==1.0")
    (checkout / "pyproject.toml").touch()
    for version, pygraphviz in {"1.0": "", "1.1": "", "2.0": f"raise ImportError({NO_LIBRARY!r})"}.items():
        info = f"tiny-{version}.dist-info"
        with zipfile.ZipFile(checkout / "wheels" / f"tiny-{version}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
            wheel.writestr("pygraphviz.py", pygraphviz)
    return checkout


@pytest.fixture
def bare(tmp_path):
    return clone(tmp_path)


@pytest.fixture(scope="module")
def built_by_two(tmp_path_factory):
    """A checkout where one installation was killed, then two were started at the same time; and what the two said."""
    checkout = clone(tmp_path_factory.mktemp("two"))
    if os.name != "nt":     # Windows does not let go of the files that the child of the killed process is writing
        killed = start(checkout)
        while killed.poll() is None and not (checkout / ".venv").exists():
            time.sleep(0.01)
        killed.kill()
        killed.communicate()
    both = [start(checkout), start(checkout)]
    return checkout, [(*process.communicate(timeout=120), process.returncode) for process in both]


@pytest.fixture
def built(bare, built_by_two, monkeypatch):
    """A checkout whose .venv is finished and current."""
    shutil.copytree(built_by_two[0] / ".venv", bare / ".venv", symlinks=True)
    monkeypatch.chdir(bare)
    stamp = bare / environment.STAMP
    stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "folder": os.path.realpath(bare)}))
    assert environment.stale(environment.wanted()) is None
    return bare


# What is stale

def test_two_at_once_build_once(built_by_two):
    checkout, results = built_by_two
    assert [result[1:] for result in results] == [("", 0), ("", 0)]
    said = "".join(result[0] for result in results)
    assert said.count("Building") == said.count("Ready") == 1
    assert installed_version(checkout) == "1.0"


@pytest.mark.skipif(os.name == "nt", reason="the fixture kills nothing on Windows")
def test_killed_installation_is_done_again(built_by_two):
    assert "the last installation did not finish" in "".join(said for said, _, _ in built_by_two[1])


def test_nothing_to_do_says_and_changes_nothing(built):
    before = (built / environment.STAMP).stat().st_mtime_ns
    assert run(built) == (0, "", "")
    assert (built / environment.STAMP).stat().st_mtime_ns == before


def test_changed_versions_are_installed_in_place(built):
    kept = built / ".venv" / "kept"
    kept.touch()
    lock(built, "tiny==1.1")
    code, said, complaint = run(built)
    assert (code, complaint) == (0, "") and "constraints.txt has changed" in said
    assert kept.exists() and installed_version(built) == "1.1"
    assert run(built) == (0, "", "")


def test_without_the_lock_the_newest_versions_are_installed_and_can_become_the_lock(built):
    require(built, "tiny<2")
    kept = built / ".venv" / "kept"
    kept.touch()
    code, said, complaint = run(built, LOCK="")
    assert (code, complaint) == (0, "") and "the last one was made with constraints.txt" in said
    assert not kept.exists() and installed_version(built) == "1.1"
    assert "tiny==1.0" in (built / "constraints.txt").read_text()
    code, said, complaint = run(built, f"{PLENTY}; sys.argv = ['environment.py', '--lock']")
    assert (code, complaint) == (0, "") and "Written to constraints.txt" in said
    assert "\ntiny==1.1\n" in (built / "constraints.txt").read_text()


def test_pip_setting_user_and_pythonpath_do_no_harm(built):
    elsewhere = built / "elsewhere"
    with zipfile.ZipFile(built / "wheels" / "tiny-1.1-py3-none-any.whl") as wheel:
        wheel.extractall(elsewhere)
    lock(built, "tiny==1.1")
    assert run(built, PIP_USER="1", PYTHONPATH=str(elsewhere))[0] == 0
    assert installed_version(built) == "1.1"


@pytest.mark.skipif(os.name == "nt", reason="Windows sends Ctrl-C to a whole console, the test run included")
def test_interrupt(bare):
    # A run in the background ignores Ctrl-C, and hands that on.
    process = start(bare, f"{PLENTY}; import signal; signal.signal(signal.SIGINT, signal.default_int_handler)")
    assert "Building" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130
    assert complaint.startswith("Interrupted") and complaint.count("\n") == 1
    assert not (bare / environment.STAMP).exists()


def cut_stamp(venv):
    stamp = venv / "installed.json"
    stamp.write_text(stamp.read_text()[:20])


def lose_base_python(venv):
    python = venv.parent / environment.PYTHON
    python.unlink()
    python.symlink_to(venv / "nowhere" / "python")


def another_interpreter(venv):
    stamp = venv / "installed.json"
    stamp.write_text(stamp.read_text().replace("CPython", "PyPy"))


def move(venv):
    moved = venv.parent.with_name("moved")
    venv.parent.rename(moved)
    os.chdir(moved)


@pytest.mark.parametrize("damage, reason", [
    (lambda venv: shutil.rmtree(venv), "none yet"),
    (lambda venv: (venv / "installed.json").unlink(), "did not finish"),
    (cut_stamp, "did not finish"),
    (lose_base_python, "no longer runs"),
    (another_interpreter, "made with PyPy"),
    (move, "has moved"),
    (lambda venv: require(venv.parent, "tiny>0"), "requirements.txt has changed"),
    (lambda venv: lock(venv.parent, "tiny==1.1"), "constraints.txt has changed"),
    (lambda venv: (venv.parent / "pyproject.toml").write_text("#"), "pyproject.toml has changed"),
    (lambda venv: [require(venv.parent, "tiny>0"), lock(venv.parent, "#")], "requirements.txt and constraints.txt have changed"),
    (lambda venv: (venv / "installed.json").write_text("{}"), "an older version of this tool"),
])
def test_stale(built, damage, reason):
    damage(built / ".venv")
    assert reason in environment.stale(environment.wanted())


# What a failure says

def test_python_3_6_can_read_the_script():
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))


def test_python_too_old(bare):
    sentence = one_sentence(run(bare, "sys.version_info = (3, 10, 13)"))
    assert "too old" in sentence and "3.11" in sentence
    assert not (bare / ".venv").exists()


@pytest.mark.parametrize("name", ["requirements.txt", "constraints.txt", "pyproject.toml"])
def test_a_list_of_packages_is_missing(bare, name):
    (bare / name).unlink()
    assert f"{name} is missing" in one_sentence(run(bare))


def test_little_space(bare):
    sentence = one_sentence(run(bare, PLENTY.replace("10**12", "3 * 10**8")))
    assert "0.3 GB are free" in sentence


@pytest.mark.parametrize("checkout", ["bare", "built"])
def test_full_disk_stops_before_anything_is_run(checkout, request):
    sentence = one_sentence(run(request.getfixturevalue(checkout), PLENTY.replace("10**12", "3 * 10**6")))
    assert "The disk is full" in sentence and "has 3 MB left" in sentence


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full, a disk that is always full")
def test_disk_full_while_installing(built):
    (built / environment.LOG).unlink()
    (built / environment.LOG).symlink_to("/dev/full")
    lock(built, "tiny==1.1")
    assert "disk is full" in one_sentence(run(built))
    assert "did not finish" in environment.stale(environment.wanted())


def test_index_unreachable(built):
    lock(built, "tiny==1.1")
    sentence = one_sentence(run(built, PIP_INDEX_URL="https://127.0.0.1:9/simple", PIP_RETRIES="1"))
    assert "cannot be reached" in sentence
    assert "127.0.0.1" in (built / environment.LOG).read_text()
    assert "did not finish" in environment.stale(environment.wanted())


def test_version_does_not_exist(built):
    lock(built, "tiny==99")
    sentence = one_sentence(run(built))
    assert "has no tiny==99 for Python" in sentence and environment.LOG in sentence


def test_library_of_the_system_is_missing(built):
    lock(built, "tiny==2.0")
    first, second = one_sentence(run(built)), run(built)
    assert "libgobject-2.0.so.0" in first and "apt install" in first
    assert second == (1, "", first), "the installation itself is finished"
    lock(built, "tiny==1.1")
    assert run(built)[0] == 0


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.skipif(os.name == "nt", reason="Windows keeps permissions of folders elsewhere")
def test_folder_of_somebody_else(bare):
    bare.chmod(0o555)
    try:
        sentence = one_sentence(run(bare))
    finally:
        bare.chmod(0o755)
    assert "No permission for" in sentence and str(bare) in sentence


# What pip, ensurepip and the operating system print in these cases, taken from real runs
RETRY = ("WARNING: Retrying (Retry(total={}, connect=None, read=None, redirect=None, status=None)) after connection "
         "broken by 'ProtocolError('Connection aborted.', RemoteDisconnected('Remote end closed connection without "
         "response'))': /simple/six/\n")
NO_VERSION = ("ERROR: Could not find a version that satisfies the requirement six==99.0 (from versions: 1.16.0, 1.17.0)\n"
              "ERROR: No matching distribution found for six==99.0\n")


@pytest.mark.parametrize("printed, sentence", [
    (RETRY.format(4) + NO_VERSION, "has no six==99.0"),
    (RETRY.format(1) + RETRY.format(0) + NO_VERSION, "cannot be reached"),
    ("WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by "
     "'NewConnectionError(\"HTTPSConnection(host='pypi.org', port=443): Failed to establish a new connection: [Errno 13] "
     "Permission denied\")': /simple/six/\nERROR: No matching distribution found for six==1.17.0\n", "cannot be reached"),
    ("  WARNING: Connection interrupted while downloading.\nerror: incomplete-download\n\n× Download failed after 6 attempts "
     "because not enough bytes were received (500 bytes/99 kB)\n\nnote: This is an issue with network connectivity, "
     "not pip.\n", "cannot be reached"),
    ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n\n", "disk is full"),
    ("[Errno 122] Disk quota exceeded: '.venv/install.log'", "disk is full"),
    ("/home/me/course/.venv/bin/python: No module named ensurepip\n", "python3-venv"),
    ("ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/course/.venv/x.py'\n"
     "Check the permissions.\n\n", "No permission for /course/.venv/x.py"),
    ("      RuntimeError: needs graphviz/cgraph.h\n      [end of output]\nerror: metadata-generation-failed\n\n"
     "hint: See above for details.\n", "(metadata-generation-failed)"),
    ("", "no reason given"),
])
def test_sentence_for_what_was_printed(printed, sentence):
    assert sentence in environment.explain(printed)
    assert "\n" not in environment.explain(printed)


def test_without_a_terminal_a_long_installation_says_little(capsys):
    progress = environment.Progress()
    for number in range(110):
        progress.read(f"Collecting package{number}==1.0 (from -r requirements.txt (line {number}))\n")
    progress.read("Installing collected packages: mpmath, six, torch\n")
    assert capsys.readouterr().out == "  installing the packages (3), this can take a minute\n"


@pytest.mark.parametrize("line, shown", [
    ("Collecting async-lru>=1.0.0 (from jupyterlab==4.6.6)\n", "package 1: async-lru"),
    ("Collecting six\n", "package 1: six"),
    ("Processing /my wheels/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl\n", "package 1: torch"),
    ("  Downloading jupyterlab-4.6.6-py3-none-any.whl (17.3 MB)\n", "package 0: jupyterlab (17.3 MB)"),
])
def test_a_terminal_shows_the_package(capsys, monkeypatch, line, shown):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    environment.Progress().read(line)
    text = capsys.readouterr().out
    assert text.rstrip().endswith(shown) and "\n" not in text


# The Makefile

@pytest.fixture
def make(bare):
    """Runs make in a checkout whose .venv only tells what it was called with, which kernel Jupyter would start, and where its
    settings are."""
    if not shutil.which("make"):
        pytest.skip("make is not installed")
    (bare / "tools" / "environment.py").write_text("")
    (bare / "notebooks").mkdir()
    (bare / "notebooks" / "00_start_here.ipynb").touch()
    (bare / "tell.py").write_text(
        "import json, sys; from jupyter_client.kernelspec import get_kernel_spec\n"
        "from jupyter_core.paths import jupyter_config_path\n"
        "print(json.dumps([sys.argv[1:], get_kernel_spec('python3').argv, jupyter_config_path()]))\n")
    python = bare / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" tell.py "$@"\n')
    python.chmod(0o755)
    kernel = bare / "home" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "another", "language": "python"}')

    def make(*arguments):
        settings = {"JUPYTER_DATA_DIR": str(bare / "home"), "JUPYTER_PATH": str(bare / "home"), "JUPYTER_PREFER_ENV_PATH": "0"}
        for name in "MAKEFLAGS", "MAKELEVEL", "MFLAGS":
            settings[name] = ""
        return subprocess.run(["make", *arguments], cwd=bare, env={**os.environ, **settings}, text=True, capture_output=True,
                              timeout=60)
    return make


def told(result):
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("[")]


def test_make_lab_passes_its_options_on(make):
    trust, lab = told(make("lab", f"PYTHON={sys.executable}", "PORT=9000", "ARGS=--no-browser --debug"))
    assert trust[0][-1] == "notebooks/00_start_here.ipynb"
    assert any(option.endswith("default_url=/lab/tree/notebooks/00_start_here.ipynb") for option in lab[0])
    assert {"--port=9000", "--no-browser", "--debug"} <= set(lab[0])


@pytest.mark.parametrize("own", ["", "/of/mine"])
def test_make_lab_adds_its_settings_to_those_of_the_user(make, monkeypatch, own):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", own)
    _, (_, _, places) = told(make("lab", f"PYTHON={sys.executable}"))
    assert "tools/lab" in places and own in ["", *places]
    assert (ROOT / "tools/lab/jupyter_server_config.py").exists()


@pytest.mark.parametrize("target", ["lab", "test"])
def test_kernel_of_the_user_does_not_win(make, target):
    for _, kernel, _ in told(make(target, f"PYTHON={sys.executable}")):
        assert kernel[0] != "/bin/false"


def test_make_without_python(make):
    result = make("test", "PYTHON=/no where/python3")
    assert result.returncode != 0
    sentence = result.stderr.splitlines()[0]
    assert "/no where/python3" in sentence and "3.11" in sentence


def test_make_alone_lists_the_targets(make):
    listed = make().stdout
    for target in "lab", "test", "refresh", "figures", "benchmark", "mutants", "upgrade-report", "rounds":
        assert f"make {target} " in listed
