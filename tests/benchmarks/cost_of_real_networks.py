"""Measure what real networks cost, with random weights: their pictures beside those of other tools, and what it costs to
record their modules and a backward pass.

To run it by hand, make an environment of its own and install what it needs there, beside the `dot` program of Graphviz:
`pip install -r tests/benchmarks/requirements.txt -e .`, then `python tests/benchmarks/cost_of_real_networks.py`.
What is not installed is left out, with the reason. `make benchmark` runs it with what the course has.
"""

import argparse
import contextlib
import functools
import importlib
import io
import shutil
import signal
import sys
import tempfile
import warnings

import torch
from torch import nn

from seegrad import modules, show_graph
from seegrad.recording import Backward, record
from seegrad.snapshot import LiveGraph
from timing import medians

MOST_SECONDS = 60       # for one picture
ROUNDS = 3


class LSTM(nn.Module):
    """An LSTM cell, called again and again."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(16, 32)

    def forward(self, x):
        h = c = torch.zeros(2, 32)
        for i in range(100):
            h, c = self.cell(x[i], (h, c))
        return h


def resnet(name):
    from torchvision import models
    return getattr(models, name)(weights=None), (torch.randn(2, 3, 64, 64),)


def vit():
    from torchvision.models import vit_b_16
    return vit_b_16(weights=None, image_size=64), (torch.randn(2, 3, 64, 64),)


def language_model(model, config):
    import transformers
    return getattr(transformers, model)(getattr(transformers, config)()), (torch.randint(1000, (2, 16)),)


def t5_small():
    """T5's own defaults are those of the small one."""
    net, (words,) = language_model("T5Model", "T5Config")
    return net, (words, None, words)


def unet():
    from diffusers import UNet2DModel
    net = UNet2DModel(
        sample_size=32, block_out_channels=(64, 128, 256), norm_num_groups=32,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"))
    return net, (torch.randn(2, 3, 32, 32), 10)


NETWORKS = {
    "resnet18": functools.partial(resnet, "resnet18"),
    "resnet50": functools.partial(resnet, "resnet50"),
    "ViT-B/16": vit,
    "BERT, 12": functools.partial(language_model, "BertModel", "BertConfig"),
    "GPT-2, 12": functools.partial(language_model, "GPT2Model", "GPT2Config"),
    "T5-small": t5_small,
    "U-Net": unet,
    "LSTM, 100": lambda: (LSTM(), (torch.randn(100, 2, 16),)),
}


def result(net, inputs):
    output = net(*inputs)
    return (output if isinstance(output, torch.Tensor) else output[0]).sum()


def with_modules(net, inputs):
    with modules(net):
        return result(net, inputs)


def torchviz_and_dot(net, inputs, loss):
    from torchviz import make_dot
    make_dot(loss).pipe(format="svg")


def torchview(net, inputs, loss):
    from torchview import draw_graph
    draw_graph(net, inputs, expand_nested=True).visual_graph.pipe(format="svg")


def torchvista(net, inputs, loss):
    from torchvista import trace_model
    with tempfile.TemporaryDirectory() as folder:
        trace_model(net, inputs, export_format="html", export_path=f"{folder}/page.html")


def torchlens(net, inputs, loss):
    from torchlens import trace
    from torchlens.options import CaptureOptions
    with tempfile.TemporaryDirectory() as folder:
        # Or it would go on to wrap PyTorch's functions, and all that is measured afterwards would be slower.
        traced = trace(net, inputs, save=None, capture=CaptureOptions(unwrap_when_done=True))
        traced.draw(vis_outpath=f"{folder}/picture", vis_fileformat="svg", vis_save_only=True)


def as_called(net, inputs, loss):
    """What a cell does that ends in show_graph(loss)."""
    return show_graph(loss)._repr_mimebundle_()


TOOLS = {"torchviz + dot": torchviz_and_dot, "torchview": torchview, "torchvista": torchvista, "torchlens": torchlens,
         "seegrad": as_called}


class TooLongError(BaseException):
    """No code of a tool is to catch it."""


class Limited:
    """A way to draw that may fail or take too long: it is then not tried again.

    trouble: what went wrong, in words.
    """

    def __init__(self, draw):
        self.draw, self.trouble = draw, ""

    def __call__(self, *given):
        if self.trouble:
            return
        signal.signal(signal.SIGALRM, self._stop)
        signal.alarm(MOST_SECONDS)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                self.draw(*given)
        except TooLongError:
            self.trouble = f"> {MOST_SECONDS} s"
        except Exception as error:
            self.trouble = f"fails: {type(error).__name__}: {' '.join(str(error).split())[:100]}"
        finally:
            signal.alarm(0)

    @staticmethod
    def _stop(*_):
        raise TooLongError


def pictures(net, inputs, tools):
    """A cell for each tool, and what went wrong."""
    loss = with_modules(net, inputs)
    limited = {tool: Limited(TOOLS[tool]) for tool in tools}
    median = medians({tool: (lambda: (net, inputs, loss), draw) for tool, draw in limited.items()}, ROUNDS)
    base = "" if limited["torchviz + dot"].trouble else median["torchviz + dot"]
    cells, troubles = {}, []
    for tool, draw in limited.items():
        if draw.trouble.startswith("fails"):
            troubles.append(f"{tool} {draw.trouble}")
        ratio = f"  ({median[tool] / base:.3f}x)" if base else ""
        cells[tool] = draw.trouble.partition(":")[0] or f"{median[tool] / 1000:.2f}{ratio}"
    page = as_called(net, inputs, loss)
    # What Jupyter is given, without its plain text.
    return cells, sum(len(str(data).encode()) for kind, data in page.items() if kind != "text/plain"), troubles


def ratios(net, inputs):
    """What it costs to record modules, beside a plain forward, and a play, beside a plain backward."""
    def loss():
        net.zero_grad()
        return (result(net, inputs),)

    def read():
        root, = loss()
        return LiveGraph([], {"loss": root}, with_contents=True), Backward([root])

    forward = medians({"plain": (lambda: (net, inputs), result), "modules": (lambda: (net, inputs), with_modules)}, ROUNDS)
    backward = medians({"plain": (loss, torch.Tensor.backward), "play": (read, record)}, ROUNDS)
    return forward["modules"] / forward["plain"], backward["play"] / backward["plain"]


def installed_tools():
    for tool in TOOLS:
        name = tool.partition(" ")[0]
        try:
            importlib.import_module(name)
        except Exception as error:
            print(f"Without {name}, which cannot be imported here: {error}")
        else:
            yield tool


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help=f"which of {', '.join(NETWORKS)}; all if none is named")
    chosen = parser.parse_args(arguments).networks or NETWORKS
    warnings.simplefilter("ignore")
    if not shutil.which("dot") or not hasattr(signal, "SIGALRM"):
        sys.exit("This needs the program `dot`, and a signal that Windows does not have: install Graphviz, on Linux or macOS.")
    tools = list(installed_tools())
    print(f"\nSeconds for one picture, at most {MOST_SECONDS} (median of {ROUNDS}, interleaved), and the ratio to torchviz "
          "+ dot.\n"
          "torchview, torchvista and torchlens run the forward too, and torchvista leaves the layout to the browser.\n"
          "seegrad: show_graph(loss) as a cell shows it, which may be a summary where the others draw every operation.\n"
          "modules: a forward whose modules are recorded, to a plain one; play: a recorded backward, to a plain one.\n"
          "page: KB that a cell stores which ends in show_graph(loss).")
    print(f"{'':11}{'nodes':>7}" + "".join(f"{tool:>18}" for tool in tools) + f"{'modules':>10}{'play':>8}{'page':>10}")
    for name in chosen:
        torch.manual_seed(0)
        try:
            net, inputs = NETWORKS[name]()
        except ImportError as error:
            print(f"{name:11} left out: {error}")
            continue
        nodes = len(show_graph(result(net, inputs)).snapshot.nodes)
        cells, page, troubles = pictures(net, inputs, tools)
        recording, play = ratios(net, inputs)
        print(f"{name:11}{nodes:>7}" + "".join(f"{cell:>18}" for cell in cells.values())
              + f"{recording:>9.2f}x{play:>7.2f}x{page / 1000:>10.1f}", flush=True)
        for trouble in troubles:
            print(f"{'':11} {trouble}")


if __name__ == "__main__":
    main()
