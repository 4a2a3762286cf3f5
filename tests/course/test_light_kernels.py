"""What a kernel does not load, does not keep and does not do while it waits: what a class on one machine lives on."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import course.memory
from project import COURSE, ROOT, notebooks, read

HEAVY = {"sympy", "torch._dynamo.utils", "torch._inductor", "matplotlib", "PIL", "pygraphviz", "torchviz"}
CONFIG = ROOT / "tools/lab/jupyter_server_config.py"

USES = """
from torch import nn
from torch.utils.checkpoint import checkpoint
from seegrad import measure, play_backward, show_graph
net = nn.Linear(2, 1)
for kind in torch.optim.SGD, torch.optim.Adam:
    optimizer = kind(net.parameters(), lr=0.1)
    optimizer.zero_grad()
    checkpoint(net, torch.ones(2, requires_grad=True), use_reentrant=True).backward(torch.ones(1))
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
assert measure(lambda: net(torch.ones(2)).backward()).flops
play_backward(net(torch.ones(2)), gradient=torch.ones(1))
show_graph(net(torch.ones(2))).snapshot
"""

COMPILED = """
from torch import nn
from torch.utils.checkpoint import checkpoint
net = nn.Linear(2, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.ones(2)).backward(torch.ones(1))      # all this before anything is compiled
optimizer.step()
@torch.compiler.disable
def apart(x):
    return x.cos()
from torch._dynamo.testing import CompileCounter
counter = CompileCounter()
@torch.compile(backend=counter)
def step(x):
    optimizer.zero_grad()
    return net(apart(x)).sum() + checkpoint(torch.sin, x, use_reentrant=False).sum()
for _ in range(2):
    step(torch.ones(2, requires_grad=True)).backward()
    optimizer.step()
print(counter.frame_count, counter.op_count, torch._dynamo.utils.counters["stats"]["unique_graphs"])
"""


def python(source):
    """What a Python of its own prints, in the folder of the notebooks."""
    variables = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", source], cwd=COURSE, env=variables, capture_output=True,
                         text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def loaded_by(source):
    """The heavy modules that are there after a source."""
    return set(json.loads(python(f"{source}\nimport json, sys\nprint(json.dumps([*sys.modules]))").splitlines()[-1])) & HEAVY


def set_up(path):
    """The set-up cell of a notebook, without the lines for IPython and without a first picture."""
    cell = next(cell.source for cell in read(path).cells if cell.cell_type == "code")
    return "\n".join(line for line in cell.splitlines() if not line.startswith(("%", "predictions()", "show_graph(")))


def test_the_library_and_the_course_load_nothing_heavy():
    assert loaded_by("import torch\nimport seegrad") == set()
    assert loaded_by("from course import check, predictions, progress") == set()


def test_the_set_up_cells_load_nothing_heavy_but_the_plots_that_they_name():
    cells = [set_up(path) for path in notebooks()]
    assert loaded_by("\n".join(cell for cell in cells if "matplotlib" not in cell)) == set()
    assert loaded_by("\n".join(cells)) == {"matplotlib", "PIL"}


def test_what_most_notebooks_do_loads_no_compiler():
    assert loaded_by(f"import torch, course\n{USES}") == set()
    assert "sympy" in loaded_by(f"import torch\n{USES}")        # as PyTorch comes


def test_a_set_up_kernel_holds_little_more_than_pytorch():
    """The memory of a process is the same in each run, to one MB in two hundred."""
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is read from /proc, which this system does not have")
    rss = "print(*(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))"
    bare, ours = (int(python(f"import torch, IPython{more}\n{rss}")) for more in ("", ", course, seegrad"))
    assert ours < 1.1 * bare


def test_what_is_compiled_is_the_same_as_without_the_course():
    assert python(f"import torch, course\n{COMPILED}") == python(f"import torch\n{COMPILED}") != ""


@pytest.mark.parametrize("source", [
    "import torch._dynamo.utils as found; from torch._dynamo.utils import counters; assert found.counters is counters",
    "from torch._dynamo import utils as found",
    "torch._dynamo.config.verbose; found = torch._dynamo.utils",
    "held = torch._dynamo; import torch._dynamo.utils as found; assert held.disable is torch._dynamo.disable",
])
def test_whoever_wants_more_of_the_compiler_gets_the_real_one_once(source):
    printed = python(f"""
import sys, torch, course
{source}
real = sys.modules["torch._dynamo"]
assert torch._dynamo is real and real.__file__.endswith("__init__.py"), real
assert found is sys.modules["torch._dynamo.utils"] is real.utils
assert found.__spec__.loader.get_source(found.__name__), found.__spec__
torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.1)
assert hasattr(torch.optim.Optimizer.add_param_group.__wrapped__.__dict__["__dynamo_disable"], "_torchdynamo_disable")
print("done")
""")
    assert printed == "done\n"


@pytest.mark.parametrize("shape", ["(3,)", "(1, 2)", "()"])
def test_a_gradient_of_another_shape_is_refused_in_the_same_words(shape):
    source = f"""
try:
    torch.ones(2, requires_grad=True).exp().backward(torch.ones({shape}))
except RuntimeError as error:
    print(error)
"""
    told = python(f"import torch, course\n{source}")
    assert told == python(f"import torch\n{source}") and "Mismatch in shape" in told


def test_unknown_shapes_are_compared_by_pytorch():
    python("""
import torch, course
from torch.fx.experimental.symbolic_shapes import expect_true, sym_eq
from torch.fx.experimental.symbolic_shapes import ShapeEnv
size = ShapeEnv().create_unbacked_symint()
assert expect_true(sym_eq((size, 2), (size, 2))) is True
assert isinstance(sym_eq((size,), (3,)), torch.SymBool)
assert sym_eq((2, 3), (2, 3)) is True and sym_eq((2,), (2, 3)) is False
""")


def test_freed_memory_is_given_back_after_each_cell():
    if sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("the C library of this system has no malloc_trim")
    printed = python("""
import ctypes, course.memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
def rss():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) // 1024
def block():
    address = libc.malloc(100_000)      # too small for pages of its own
    ctypes.memset(address, 1, 100_000)
    return address
blocks = [block() for _ in range(1000)]
for address in blocks[:-1]:     # the last one stays, and keeps the rest from going by itself
    libc.free(address)
before = rss()
course.memory.give_back()
print(before - rss())
""")
    assert int(printed) > 80


def test_a_kernel_gives_back_once_however_often_the_course_asks_for_it(monkeypatch):
    calls = []
    monkeypatch.setattr(course.memory, "give_back", lambda *_: calls.append(1))
    shell = InteractiveShell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    course.memory.after_each_cell()
    course.memory.after_each_cell()
    shell.run_cell("1 + 1")
    shell.run_cell("1 / 0")
    assert len(calls) == 2


def test_the_kernels_of_make_lab_soon_sleep_where_they_wait(monkeypatch):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    code = compile(CONFIG.read_text(encoding="utf-8"), str(CONFIG), "exec")
    exec(code, {"c": Config()})
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "30")      # the reader's own wish
    exec(code, {"c": Config()})
    assert os.environ["GOMP_SPINCOUNT"] == "30"


def test_kernels_elsewhere_do_so_too():
    start = subprocess.run([ROOT / ".binder/start", "sh", "-c", "echo $JUPYTER_CONFIG_PATH"], cwd=ROOT, capture_output=True,
                           text=True, env={"PATH": os.environ["PATH"], "JUPYTER_CONFIG_PATH": "/of/others"}, check=True)
    ours, others = start.stdout.strip().split(":")
    assert Path(ours) / CONFIG.name == CONFIG and others == "/of/others"
    settings = {"c": Config()}
    exec(CONFIG.read_text(encoding="utf-8"), settings)
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))["containerEnv"]
    assert settings["KERNELS"].items() <= container.items()
