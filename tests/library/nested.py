"""Graphs folded by modules as the page gets them, made by hand, for the tests of the view that opens."""

import json
from contextlib import contextmanager

from seegrad.folding import packed
from seegrad.looks import FILLS, FRAME_BORDER, FRAMES, SLOTS, svg_look
from seegrad.snapshot import ALIVE, CHANGED, FREED
from seegrad.view import _inlined, _style

LETTERS = {"a": ALIVE, "f": FREED, "c": CHANGED}
WORDS = {"nodes": ["{} node", "{} nodes"], "leaves": ["{} leaf", "{} leaves"], "a": "● {count} saved {size} alive",
         "f": "○ {count} saved freed", "c": "▲ {count} saved {size} changed in place",
         "size": ["{} B", "at least {} B", "(bytes not known)"]}


class Nested:
    """Data that grow node by node, in forward order."""

    def __init__(self):
        self.texts, self.groups, self.nodes, self.numbers, self.storages, self.tensors = [], [], [], [], [], []
        self.inside, self.next, self.leaves = [], 1, {}
        self.groups.append([self.text(""), self.text(""), -1, []])
        self.inside.append(0)

    def text(self, words):
        if words not in self.texts:
            self.texts.append(words)
        return self.texts.index(words)

    @contextmanager
    def group(self, name, kind, lines=()):
        self.groups.append([self.text(name), self.text(kind), self.inside[-1], [self.text(line) for line in lines]])
        self.inside.append(len(self.groups) - 1)
        yield self.inside[-1]
        self.inside.pop()

    def storage(self, size):
        self.storages.append(size)
        return len(self.storages) - 1

    def node(self, kind, *inputs, shape="(2, 5, 32)", leaves=(), slots=(), lines=(), module=None):
        """A node, and its index. slots: a letter and the storages of each. module: that made only it.

        Its leaves are numbered before it.
        """
        self.next += len(leaves)
        self.numbers.append(self.next)
        self.next += 1
        self.nodes.append([self.text(kind), self.inside[-1], [[i, 0] for i in inputs], [self.text(shape)],
                           [self.leaf(*leaf) for leaf in leaves], [[letter, list(held)] for letter, held in slots],
                           [self.text(line) for line in lines], 1 + len(leaves), self.text(module) if module else -1])
        return len(self.nodes) - 1

    def leaf(self, name, words):
        """The place of the line of a leaf: each leaf has its own, even if another has the same words."""
        if name not in self.leaves:
            self.leaves[name] = len(self.texts)
            self.texts.append(words)
        return self.leaves[name]

    def linear(self, name, x, path, shape="(2, 5, 32)", held=None):
        """A module that makes one node."""
        held = self.storage(1280) if held is None else held
        leaves = [(f"{path}.bias", "bias (32,)"), (f"{path}.weight", "weight (32, 32)")]
        return self.node("AddmmBackward0", x, shape=shape, leaves=leaves,
                         slots=[("a", [held]), ("a", [self.storage(4096)])], module=f"{name} Linear")

    def data(self, title, opened):
        looks = {letter: svg_look(SLOTS[state]) for letter, state in LETTERS.items()}
        return {"style": _style("modules.css"), "title": title, "texts": self.texts, "words": WORDS, "looks": looks,
                "fills": {**FILLS, "frames": FRAMES, "border": FRAME_BORDER}, "groups": self.groups,
                "nodes": self.nodes, "numbers": self.numbers,
                "storages": self.storages, "tensors": self.tensors, "open": opened}


def _layer(net, name, path, x):
    """A layer of an encoder: attention with three branches, and two residual arrows."""
    with net.group(name, "Layer") as group:
        with net.group("attention", "Attention"):
            held = net.storage(1280)
            q, k, v = (net.linear(part, x, f"{path}.attention.{part}", held=held) for part in ("query", "key", "value"))
            scores = net.node("BmmBackward0", q, k, shape="(2, 5, 5)", slots=[("a", [net.storage(1280)]) for _ in "qk"])
            weights = net.node("SoftmaxBackward0", scores, shape="(2, 5, 5)", slots=[("a", [softmax := net.storage(200)])])
            mixed = net.node("BmmBackward0", weights, v, slots=[("a", [softmax]), ("a", [net.storage(1280)])])
            out = net.linear("out", mixed, f"{path}.attention.out")
        added = net.node("AddBackward0", x, out)
        normed = net.node("NativeLayerNormBackward0", added, slots=[("a", [net.storage(size)]) for size in (1280, 40, 40)],
                          leaves=[(f"{path}.norm.bias", "bias (32,)"), (f"{path}.norm.weight", "weight (32,)")],
                          module="norm LayerNorm")
        with net.group("mlp", "Sequential"):
            hidden = net.linear("0", normed, f"{path}.mlp.0", shape="(2, 5, 64)")
            active = net.node("ReluBackward0", hidden, shape="(2, 5, 64)", slots=[("a", [kept := net.storage(2560)])],
                              module="1 ReLU")
            last = net.linear("2", active, f"{path}.mlp.2", held=kept)
        return net.node("AddBackward0", normed, last), group


def small():
    """Four layers, three of them in a run, a weight that two modules share, slots in all states, two named tensors."""
    net = Nested()
    with net.group("", "Net") as whole:
        x = net.node("EmbeddingBackward0", leaves=[("embed.weight", "weight (100, 32)")], slots=[("a", [net.storage(80)])],
                     module="embed Embedding")
        x, _ = _layer(net, "layers.0", "layers.0", x)
        with net.group("layers.1 … layers.3:", "3 × Layer, alike"):
            for number in (1, 2, 3):
                x, _ = _layer(net, f"layers.{number}", f"layers.{number}", x)
        with net.group("pool", "Pool", lines=["PyTorch does not show what it saves"]) as pool:
            mean = net.node("MeanBackward1", x, shape="(2, 32)")
            high = net.node("MaxBackward0", x, shape="(2, 32)", slots=[("f", [])])
            x = net.node("AddBackward0", mean, high, shape="(2, 32)")
        x = net.node("MmBackward0", x, shape="(2, 100)", leaves=[("embed.weight", "weight (100, 32)")],
                     slots=[("c", [net.storage(256)]), ("a", [net.storage(None)])], module="head Linear")
    scaled = net.node("MulBackward0", x, shape="(2, 100)", slots=[("a", [net.storage(800)])])
    loss = net.node("MeanBackward0", scaled, shape="()")
    net.tensors += [["t0", "result", ["loss", "()"], 0, [[loss, 0]], [], 1],
                    ["t1", "leaf", ["scale", "leaf (100,)", ".grad None"], 0, [], [scaled], 1],
                    ["t2", "not tracked", ["mask", "not tracked (2, 5)"], 1, [], [], 1]]
    return net.data("loss of Net: 76 nodes", [0, whole, pool])


def large():
    """A graph about as large as that of BERT with 12 layers."""
    net = Nested()

    def linear(name, x, path):
        with net.group(name, "Linear"):
            x = net.node("ViewBackward0", net.node("ContiguousBackward0", x, shape="(4, 128, 768)"), shape="(512, 768)")
            x = net.node("AddmmBackward0", x, shape="(512, 768)",
                         leaves=[(f"{path}.bias", "bias (768,)"), (f"{path}.weight", "weight (768, 768)")],
                         slots=[("a", [net.storage(1572864)]), ("a", [net.storage(2359296)])])
            return net.node("CloneBackward0", net.node("ViewBackward0", x, shape="(4, 128, 768)"), shape="(4, 128, 768)")

    def one(kind, x, *more, shape="(4, 128, 768)", saved=0, **other):
        return net.node(kind, x, *more, shape=shape, **other, slots=[("a", [net.storage(1572864)])] * saved)

    def dropout(x):
        with net.group("dropout", "Dropout"):
            return one("DivBackward0", one("MulBackward0", x, saved=1))

    def norm(x, path):
        return one("NativeLayerNormBackward0", x, saved=3, module="LayerNorm LayerNorm", leaves=[
            (f"{path}.LayerNorm.bias", "bias (768,)"), (f"{path}.LayerNorm.weight", "weight (768,)")])

    def layer(number, x):
        path, heads, flat, scores = f"encoder.layer.{number}", "(4, 12, 128, 64)", "(48, 128, 64)", "(4, 12, 128, 128)"
        with net.group(f"layer.{number}", "BertLayer"):
            with net.group("attention", "BertAttention"):
                with net.group("self", "BertSelfAttention"):
                    parts = []
                    for part in ("query", "key", "value"):
                        y = linear(part, x, f"{path}.attention.self.{part}")
                        y = one("PermuteBackward0", one("ViewBackward0", y, shape="(4, 128, 12, 64)"), shape=heads)
                        parts.append(y)
                    query, key, value = parts
                    key = one("TransposeBackward0", key, shape="(4, 12, 64, 128)")
                    query, key, value = (one("ViewBackward0", one("CloneBackward0", one("ExpandBackward0", y, shape=heads),
                                         shape=heads), shape=flat) for y in (query, key, value))
                    y = one("BmmBackward0", query, key, shape="(48, 128, 128)", saved=2)
                    y = one("DivBackward0", one("ViewBackward0", y, shape=scores), shape=scores, saved=1)
                    y = one("SoftmaxBackward0", one("AddBackward0", y, shape=scores), shape=scores, saved=1)
                    y = dropout(y)
                    y = one("ViewBackward0", one("ExpandBackward0", y, shape=scores), shape="(48, 128, 128)")
                    y = one("ViewBackward0", one("BmmBackward0", y, value, shape=flat, saved=2), shape=heads)
                    for kind in ("PermuteBackward0", "CloneBackward0", "ViewBackward0"):
                        y = one(kind, y)
                with net.group("output", "BertSelfOutput"):
                    y = dropout(linear("dense", y, f"{path}.attention.output.dense"))
                    x = norm(one("AddBackward0", y, x), f"{path}.attention.output")
            with net.group("intermediate", "BertIntermediate"):
                y = linear("dense", x, f"{path}.intermediate.dense")
                for kind in ("PowBackward0", "MulBackward0", "AddBackward0", "MulBackward0", "TanhBackward0", "AddBackward0",
                             "MulBackward0", "MulBackward0"):
                    y = one(kind, y, saved=1, shape="(4, 128, 3072)")
            with net.group("output", "BertOutput"):
                y = dropout(linear("dense", y, f"{path}.output.dense"))
                return norm(one("AddBackward0", y, x), f"{path}.output")

    with net.group("", "BertModel") as model:
        with net.group("embeddings", "BertEmbeddings"):
            tables = []
            for part in ("word_embeddings", "token_type_embeddings", "position_embeddings"):
                tables.append(net.node("EmbeddingBackward0", shape="(4, 128, 768)", slots=[("a", [net.storage(4096)])],
                                       leaves=[(f"embeddings.{part}.weight", "weight (30522, 768)")], module=f"{part} Embedding"))
            x = one("AddBackward0", one("AddBackward0", tables[0], tables[1]), tables[2])
            x = dropout(norm(x, "embeddings"))
        with net.group("encoder", "BertEncoder") as encoder:
            x = layer(0, x)
            with net.group("layer.1 … layer.11:", "11 × BertLayer, alike"):
                for number in range(1, 12):
                    x = layer(number, x)
        with net.group("pooler", "BertPooler"):
            x = linear("dense", one("SelectBackward0", x), "pooler.dense")
            x = one("TanhBackward0", x, saved=1)
    loss = net.node("SumBackward0", x, shape="()")
    net.tensors.append(["t0", "result", ["loss", "()"], 0, [[loss, 0]], [], 1])
    return net.data(f"loss of BertModel: {len(net.nodes)} nodes", [0, model, encoder])


def play(data):
    """A play in `small`: layer 3 is made, the pool runs backward, a weight is let go."""
    keys = [f"n{number}" for number in data["numbers"]]
    layer = [key for key, node in zip(keys, data["nodes"])
             if data["texts"][data["groups"][_layer_of(data, node[1])][0]] == "layers.3"]
    mean, scaled, head, added, high, low = keys[:-7:-1]
    frame = {"box": "", "arrows": [], "says": "", "bytes": 0, "stops": False, "changes": [], "run": 0}
    frames = [frame | {"says": "layers.3 is made", "comes": layer, "lit": layer[:1]},
              frame | {"box": mean, "says": "mean runs", "run": 1, "arrows": [[f"{mean}->t0", "1"]]},
              frame | {"box": scaled, "says": "scaled runs", "run": 1, "arrows": [[f"{scaled}->{mean}", "0.5"]],
                       "changes": [[scaled, "f"], ["t1", 2, ".grad (100,)", ""]]},
              frame | {"box": head, "says": "head runs", "run": 1, "changes": [[head, "ff"]]},
              frame | {"box": added, "says": "added runs", "run": 1},
              frame | {"box": high, "says": "high runs", "run": 1},
              frame | {"box": low, "says": "low runs", "run": 1},
              *(frame | {"box": key, "says": f"{key} runs", "run": 1, "changes": _freed(data, key)} for key in layer[::-1]),
              frame | {"says": "layers.3 is let go", "goes": layer}]
    modules = {key: value for key, value in data.items() if key not in ("style", "title")}
    return {"title": "a play", "start": "it begins", "bytes": 0, "end": "it is over", "style": data["style"], "absent": layer,
            "sources": [], "frames": frames, "modules": modules}


def _layer_of(data, group):
    """The layer around a group, or the root."""
    while group > 0 and not data["texts"][data["groups"][group][1]] == "Layer":
        group = data["groups"][group][2]
    return max(group, 0)


def _freed(data, key):
    slots = data["nodes"][data["numbers"].index(int(key[1:]))][5]
    return [[key, "f" * len(slots)]] if slots else []


def figure(data):
    """The HTML of a view, or of a play, as Python writes it."""
    kind, scripts = ("play", ["player.js"]) if "frames" in data else ("modules", [])
    data = {**data, "modules": packed(data["modules"])} if "frames" in data else packed(data)
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", r"\u003c")
    code = "\n".join(map(_inlined, ["interactive.js", "modules.js", *scripts]))
    return (f'<figure class="seegrad {kind}" style="margin: 0.5em 0"><div class="stills"><p>{data["title"]}</p></div>'
            f'<script type="application/json">{text}</script><script>(() => {{\n{code}\n}})();</script></figure>')


def page(*figures):
    """A page with these figures, and words above and below."""
    return ('<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Modules</title><body><p>Before.</p>'
            f'{"".join(figures)}<p>After.</p>')
