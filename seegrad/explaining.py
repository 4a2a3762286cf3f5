"""What an error of autograd means: which case of the clinic it is, what is guilty, and the fix.

One entry for each kind of message, in one table. What is not known is not said.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from . import cases, passes
from .cases import cases_of
from .causes import cause_of
from .diagram import gradient_in_words, shape_in_words, short_name
from .gradients import size_of_gradient
from .history import History
from .modules import in_modules
from .postmortem import Guilty, Remains, line_of
from .snapshot import ALIVE, grad_fn_of, is_leaf, shape_of, undisturbed
from .statements import names_read, only_writer
from .view import Explanation, GraphView, readable

MOST_LISTED = 6         # names that a sentence lists
CHECKPOINT_CUTS = ("a checkpoint in this program has warned that none of its inputs is tracked: with use_reentrant=True, its "
                   "result is not tracked then, whatever its parameters are")
WATCH_CELL = "To see which line made, changed and freed what, put `%%watch` above the cell and run it again"
WATCH_CALL = "To see which line made, changed and freed what, call the function by `seegrad.watch(function, …)`"
NOTE_PASSES = "With `%load_ext seegrad` before the cell, or `python -m seegrad` for a script, more is known"

_CASE = r" \(error clinic, cases? [^)]*\)$"       # behind what a watch says
_EXPLAINED = "_seegrad_explanation"         # on an error that was explained in another process
_HISTORY = "_seegrad_history"       # on the error that ended a watch


@dataclass
class _Finding:
    """What is known of an error.

    cases: the numbers of the cases that it is of, the nearest first.
    facts: a sentence each, without its full stop.
    fix: what to do; "" for that of the case.
    marks: what is guilty in the picture: (the number of a node or a name, words, a slot).
    lines: whether a watch would tell more.
    is_known: False where the same message has other reasons, too, and none of ours is seen.
    """

    cases: list[int]
    facts: list[str] = field(default_factory=list)
    fix: str = ""
    marks: list[tuple[int | str, str, str]] = field(default_factory=list)
    lines: bool = False
    is_known: bool = True


def remember(error: BaseException, history: History) -> None:
    """Let an error know the history of the watch that it ended."""
    try:
        setattr(error, _HISTORY, history)
    except AttributeError:      # of a class that allows no more
        return


def explain_here(error: BaseException) -> None:
    """Let an error that goes to another process take along what is known of it in this one. It is plain data."""
    explanation = explain_error(error)
    if explanation is not None:
        setattr(error, _EXPLAINED, explanation)


def explain_error(error: BaseException) -> Explanation | None:
    """Return what is known of an error, or None where nothing is. Its causes are looked at too, the nearest first.

    It never raises: an error of ours must not hide the user's.
    """
    try:
        return _explain_chain(error)
    except Exception:
        return None


def _explain_chain(error: BaseException) -> Explanation | None:
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        found = _explain(following)
        if found is not None:
            return found
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    return None


def _explain(error: BaseException) -> Explanation | None:
    explained: Explanation | None = getattr(error, _EXPLAINED, None)
    if explained is not None:
        return explained
    known = cases_of(str(error))
    if not known and not _is_of_grad(error):
        return None
    remains = Remains(error)
    with undisturbed():
        tell = next((tell for pattern, tell in _READERS if re.search(pattern, str(error))), None)
        finding = tell(remains) if tell else _Finding([])
        if not finding.is_known or not known and not finding.facts:
            return None
        picture = _picture(remains, finding)
    found = [cases.case(number) for number in finding.cases] or known
    facts, fix = finding.facts, finding.fix or (found[0].fix if found else "")
    hint = ""
    if finding.lines and remains.line is not None:
        hint = WATCH_CELL if remains.line.in_cell else WATCH_CALL
    history = getattr(error, _HISTORY, None)
    if history is not None and history.failure is not None:
        watched = cause_of(history.failure, history)
        if watched:         # it knows the lines; its numbers of nodes are those of the play
            told, _, its_fix = watched.partition(". Fix: ")
            facts, hint, picture = [f"why: {re.sub(_CASE, '', told)}"], "", None
            fix = re.sub(_CASE, "", its_fix) or fix
    title = f"Case {found[0].number} of the error clinic: {found[0].title}" if found else f"A .grad that is None: {error}"
    return Explanation(title, remains.line, tuple(facts), fix, hint, tuple(found), picture)


def _is_of_grad(error: BaseException) -> bool:
    return isinstance(error, (TypeError, AttributeError)) and "NoneType" in str(error)


def _picture(remains: Remains, finding: _Finding) -> GraphView | None:
    graph = remains.graph
    if graph is None:
        return None
    view = readable(in_modules(graph), remains.parameters)
    for where, words, slot in finding.marks:
        view = view.mark(where, words, slot)
    return view


# What the kinds of errors leave behind.

def _freed(remains: Remains) -> _Finding:
    finding, found = _Finding([1], lines=True), remains.freed()
    if remains.call is None or not remains.call.ran:        # saved tensors were read from Python
        return _Finding([1])
    if found is None or remains.graph is None:
        finding.facts.append("a node on the way has lost what it had saved, because an earlier backward has run it. Which node "
                             "is not known: the backward that failed has freed some, too")
        if not passes.are_noted():
            finding.facts.append(NOTE_PASSES)
        return finding
    graph, i = remains.graph, found.node
    node = graph.snapshot.nodes[i]
    slot = node.saved[found.slot].name if found.slot is not None else ""
    finding.marks.append((i + 1, "backward needs it, and it was freed", slot))
    ran = remains.order[:remains.order.index(i)]
    if found.earlier is None:
        finding.facts.append(f"{_node(remains, i)} needs what it had saved, and an earlier backward has freed that")
        return finding
    earlier = line_of(found.earlier.file, found.earlier.function, found.earlier.line)
    here = remains.line is not None and earlier.words == remains.line.words
    who = "this line" if here else earlier.words
    finding.facts.append(f"{_node(remains, i)} needs what it had saved, and {who} has run backward through it before, and freed "
                         "that")
    bridge = next((edge for new in ran for edge in graph.snapshot.nodes[new].inputs if edge is not None and edge.node == i), None)
    newer = [new for new in ran if graph.made[new] >= found.earlier.number]
    name = _name_of_result(remains, i) or code(_entries(remains, ran)) or f"the result of [{i + 1}]"
    if bridge is None:
        finding.fix = "compute the result again before a second backward; or one backward from the sum of the losses"
    elif newer:
        finding.facts.append(f"{name} is older than that backward, and what was computed from it now leads back to it")
        if name.startswith("`"):
            finding.fix = f"compute {name} again after that backward, or detach it, if nothing is trained through it"
    else:
        finding.facts.append(f"what failed was computed before that backward: both lead to {name}")
        finding.fix = f"one backward from the sum of both; or retain_graph=True in {'the first one' if here else who}"
        if len(remains.optimizers) > 1:
            finding.cases = [1, 17]
    if newer and (carried := _used_on_both_sides(remains, ran, i)):
        finding.facts.append(f"`{carried}` was used on both sides: the result of an earlier step was carried into this one")
        if any(isinstance(part, nn.RNNBase) and carried.startswith(path) for path, part in _parts(remains)):
            finding.cases = [15, 1]
    now, before = (_owners(remains, _leaves(remains, nodes)) for nodes in (ran, remains.reached([i])))
    if newer and len(now) == len(before) == 1 and now != before:
        finding.cases = [16, 1]
        finding.facts.append(f"what is older is trained by {code(sorted(before))}, and what is newer by {code(sorted(now))}")
        if name.startswith("`"):
            finding.fix = f"detach {name} for the loss of {who}, if that one shall not train it; or compute it again after it"
    return finding


def _entries(remains: Remains, ran: Sequence[int]) -> list[str]:
    """The names of the results by which nodes that have run now lead to nodes that an earlier pass has run."""
    assert remains.graph is not None
    old = {i for i, function in enumerate(remains.graph.functions) if passes.pass_through(function) is not None}
    edges = {edge for new in ran if new not in old for edge in remains.graph.snapshot.nodes[new].inputs
             if edge is not None and edge.node in old}
    return [tensor.names[0] for tensor in remains.graph.snapshot.tensors if tensor.producer in edges and tensor.names]


def _leaves(remains: Remains, users: Iterable[int]) -> set[int]:
    """The leaves that nodes use themselves, as their indices."""
    assert remains.graph is not None
    nodes = remains.graph.snapshot.nodes
    ends = {edge.node for user in users for edge in nodes[user].inputs if edge is not None}
    # A layer uses its weight transposed: that node is made anew each time.
    ends |= {edge.node for end in ends if nodes[end].transposes for edge in nodes[end].inputs if edge is not None}
    return {leaf for end in ends if (leaf := nodes[end].leaf) is not None}


def _owners(remains: Remains, leaves: Iterable[int]) -> set[str]:
    """The optimizers that have one of these leaves."""
    assert remains.graph is not None
    itself = {id(remains.graph.tensors[leaf]) for leaf in leaves}
    return {name for name, optimizer in remains.optimizers.items()
            if any(id(parameter) in itself for group in optimizer.param_groups for parameter in group["params"])}


def _used_on_both_sides(remains: Remains, ran: Sequence[int], old: int) -> str:
    """The name of a parameter that is used by nodes which have run now, and by some that an earlier pass has run; "" for none."""
    assert remains.graph is not None
    both = _leaves(remains, ran) & _leaves(remains, remains.reached([old]))
    names = [name for leaf in sorted(both) for name in remains.graph.snapshot.tensors[leaf].names if name in remains.parameters]
    return names[0] if names else ""


def _changed(remains: Remains) -> _Finding:
    finding, found = _Finding([2, 3], lines=True), remains.changed()
    if found is None or remains.graph is None or found.slot is None:
        return finding
    graph, node = remains.graph, remains.graph.snapshot.nodes[found.node]
    slot = node.saved[found.slot]
    saved, now = slot.versions or (0, 0)
    held = slot.holds if slot.holds is not None else slot.views
    tensor = None if held is None else graph.snapshot.tensors[held]
    words = _slot(remains, found)
    finding.marks.append((found.node + 1, f"changed in place: saved at version {saved}, now {now}", slot.name))
    finding.facts.append(f"{_node(remains, found.node)} saved {words} at version {saved}, and it is at version {now} now: it was "
                         "changed in place after that")
    if tensor is None or not tensor.is_leaf:
        finding.cases = [2]
        return finding
    finding.cases = [3]
    itself = graph.tensors[held] if held is not None else None
    owners = [] if held is None else sorted(_owners(remains, [held]))
    if owners:
        finding.facts.append(f"it is a parameter of {code(owners)}: step() changes it in place")
        if len(remains.optimizers) > 1:
            finding.cases = [3, 16, 17]
    newer = any(held in (other.holds, other.views) and other.state == ALIVE and other.checked
                for other in graph.snapshot.saved)
    if newer:
        finding.facts.append("other nodes of this graph have saved it after that change: a result of before was carried on")
        finding.fix = "detach what is carried on from before the change, or compute it again"
        if any(isinstance(part, nn.RNNBase) and any(itself is parameter for parameter in part.parameters())
               for _, part in _parts(remains)):
            finding.cases = [15, 3]
            finding.fix = ""
    return finding


def _empty_list(remains: Remains) -> _Finding:
    """An optimizer without parameters: because all are frozen, where they are; other reasons are not known."""
    frozen = _all_frozen(remains)
    return _Finding([21], [frozen]) if frozen else _Finding([], is_known=False)


def _all_frozen(remains: Remains) -> str:
    """That all nets around an error are frozen; "" where one is not, and where something else is tracked, which may learn."""
    parameters = {name: list(net.parameters()) for name, net in remains.modules.items()}
    everything = sum(parameters.values(), [])
    if not everything or any(tensor.requires_grad for tensor in (*everything, *remains.named.values())):
        return ""
    nets = code([name for name, its in parameters.items() if its])
    return f"all {len(everything)} parameters of {nets} are frozen: none is tracked"


def _changed_view(remains: Remains) -> _Finding:
    finding = _Finding([22], lines=True)
    hooked = [f"{path} ({type(part).__name__})" for path, part in _parts(remains)
              if part._backward_hooks and part._is_full_backward_hook]
    in_place = [f"{path} ({type(part).__name__})" for path, part in _parts(remains) if getattr(part, "inplace", False) is True]
    if "BackwardHook" in remains.message:
        if hooked:
            finding.facts.append(f"there is a full backward hook on {listed(hooked)}: it hands out views of what a module takes "
                                 "and returns")
        if in_place:
            finding.facts.append(f"`inplace=True` stands in {listed(in_place)}")
        finding.fix = ("inplace=False behind such a hook, or clone() its result before the change" if in_place else
                       "let the change make a new tensor, or put a hook on the tensor in the place of the module")
        return finding
    views = [name for name, tensor in remains.mentioned.items() if tensor._is_view()]
    by_base = "its base or another view of its base" in remains.message
    if len(views) == 1:
        finding.facts.append(f"`{views[0]}` is a view, and " + (
            "a line before this one changed its memory, through its base or another view of that" if by_base else
            "this line changes it in place"))
        finding.marks.append((views[0], "a view of what was changed" if by_base else "a view that is changed in place", ""))
    if "created in" in remains.message:
        finding.fix = ("make the view and the change in the same mode: both where operations are recorded, or both where they "
                       "are not")
    return finding


def _no_graph(remains: Remains) -> _Finding:
    finding = _Finding([4])
    roots = remains.call.roots if remains.call else ()
    root = next((tensor for tensor in roots if isinstance(tensor, torch.Tensor) and not tensor.requires_grad), None)
    if root is None:
        return finding
    name = _name(remains, root)
    finding.marks.append((name, "not tracked: no graph behind it", ""))
    if remains.records is False:
        finding.facts.append("recording is switched off here, so no operation gets a node")
        finding.fix = "compute the loss where recording is on: outside of no_grad(), or after set_grad_enabled(True)"
        return finding
    frozen = _all_frozen(remains)
    if frozen:
        finding.cases = [21, 4]
        finding.facts.append(frozen)
        finding.fix = "let requires_grad be True for what shall learn, and look at the order: freeze first, then add what learns"
        return finding
    untracked = [other for other, tensor in remains.mentioned.items() if not tensor.requires_grad]
    cut = _cut(remains, [name] if name in remains.own else untracked)
    if cut:
        finding.facts.append(cut)
    elif remains.modules and a_checkpoint_has_warned():
        finding.facts.append(CHECKPOINT_CUTS)
        if reentrant_checkpoints(remains.modules.items()):
            finding.cases = [23, 4]
            finding.fix = "use_reentrant=False; or let the input of the first checkpoint be tracked"
        else:       # the warning may be that of another net, or of a validation
            finding.cases = [4, 23]
    return finding


def a_checkpoint_has_warned() -> bool:
    """Whether Python has shown the warning of a checkpoint whose result leaves the graph."""
    checkpoint = sys.modules.get("torch.utils.checkpoint")
    shown = vars(checkpoint).get("__warningregistry__", {}) if checkpoint else {}
    return any("None of the inputs have requires_grad=True" in str(key[0]) for key in shown if isinstance(key, tuple))


def reentrant_checkpoints(nets: Iterable[tuple[str, nn.Module]]) -> list[str]:
    """The modules whose own forward calls a checkpoint of the old form, as their text says; nets: with their names."""
    found = []
    for name, net in nets:
        for path, part in net.named_modules(prefix=name):
            try:
                text = inspect.getsource(type(part).forward)
            except (OSError, TypeError):
                continue
            if type(part).__module__.partition(".")[0] != "torch" and re.search(r"\bcheckpoint\([^)]*use_reentrant=True", text):
                found.append(path or type(part).__name__)
    return found


def _cut(remains: Remains, names: Sequence[str]) -> str:
    """Which line left the graph on the way to untracked tensors, as far as the code tells it; or an empty string.

    It tells where each name on the way is given a value by one statement only, above the line that failed.
    """
    if not remains.frames:
        return ""
    text, below, seen = remains.source, remains.frames[0][1], set[str]()
    pending = list(names)
    while pending:
        read = pending.pop(0)
        writer = None if read in seen else only_writer(text, read, remains.within)
        seen.add(read)
        if writer is None or writer.statement.lineno >= below:
            continue
        here = f"line {writer.statement.lineno}"
        reads = [other for other in names_read(writer.statement) if other in remains.own]
        tracked = [other for other in reads if remains.own[other].requires_grad]
        if writer.is_unrecorded:
            return f"{here} gave `{read}` its value, and stands inside of `{writer.is_unrecorded}`: nothing is recorded there"
        if tracked and all(only_writer(text, other, remains.within) for other in tracked):
            return (f"{here} left the graph: it computed `{read}` from {code(tracked)}, which "
                    f"{'is' if len(tracked) == 1 else 'are'} tracked, and `{read}` is not")
        pending += reads
    return ""


def _no_scalar(remains: Remains) -> _Finding:
    finding = _Finding([5])
    for root in remains.call.roots if remains.call else ():
        if isinstance(root, torch.Tensor) and root.numel() != 1:
            name = _name(remains, root)
            finding.facts.append(f"`{name}` has the shape {shape_in_words(shape_of(root))}: {root.numel()} numbers")
            finding.marks.append((name, "more than one number", ""))
    return finding


def _not_used(remains: Remains) -> _Finding:
    finding = _Finding([6])
    if remains.call is None or remains.graph is None:
        return finding
    reached = remains.reached(remains.roots)
    for one in remains.call.inputs or ():
        if isinstance(one, torch.Tensor) and remains.node_of(one) not in reached:
            name = _name(remains, one)
            why = "" if one.requires_grad else ", which is not tracked"
            finding.facts.append(f"no way through the graph leads to `{name}`{why}")
            if any(name in tensor.names for tensor in remains.graph.snapshot.tensors):
                finding.marks.append((name, "no way leads to it", ""))
    return finding


def _leaf_in_place(remains: Remains) -> _Finding:
    finding = _Finding([7])
    leaves = [name for name, tensor in remains.mentioned.items() if is_tracked_leaf(tensor)
              or tensor._is_view() and tensor._base is not None and is_tracked_leaf(tensor._base)]
    if len(leaves) == 1:
        what = "a tracked leaf" if is_tracked_leaf(remains.mentioned[leaves[0]]) else "a part of a tracked leaf"
        finding.facts.append(f"`{leaves[0]}` is {what}, and this line changes it in place while PyTorch records")
        if remains.has_box(leaves[0]):
            finding.marks.append((leaves[0], "a tracked leaf, changed in place", ""))
    return finding


def is_tracked_leaf(tensor: torch.Tensor) -> bool:
    return tensor.requires_grad and is_leaf(tensor)


def _no_leaf(number: int) -> Callable[[Remains], _Finding]:
    """What tells of an error that a tensor is a result, and no leaf."""
    def tell(remains: Remains) -> _Finding:
        finding = _Finding([number])
        results = {name: tensor for name, tensor in remains.mentioned.items() if tensor.requires_grad and not is_leaf(tensor)}
        guilty = remains.inner_value("add_param_group", "param") if number == 9 else remains.inner_value("__deepcopy__", "self")
        if isinstance(guilty, torch.Tensor):
            results = {_name(remains, guilty): guilty}
        if len(results) == 1:
            (name, tensor), = results.items()
            function = grad_fn_of(tensor)
            made = f" of {short_name(type(function).__name__)}" if function is not None else ""
            finding.facts.append(f"`{name}` is no leaf: it is the result{made}")
            if number == 19:
                finding.fix = _fix_of_copy(remains, name)
            if remains.has_box(name):
                finding.marks.append((name, "a result, and no leaf", ""))
        return finding
    return tell


def _fix_of_copy(remains: Remains, name: str) -> str:
    if "." not in name:
        return f"copy its numbers: `{name}.detach().clone()`"
    path, _, field_name = name.rpartition(".")
    part = dict(_parts(remains)).get(path)
    if part is not None and any(hasattr(part, field_name + end) for end in ("_g", "_orig")):
        return (f"`{field_name}` is computed anew before each forward, by a weight_norm, spectral_norm or pruning of the old "
                "kind: use that of torch.nn.utils.parametrizations, or remove it before the copy")
    return ""


def _numpy(remains: Remains) -> _Finding:
    finding = _Finding([12])
    tracked = [name for name, tensor in remains.mentioned.items() if tensor.requires_grad]
    if len(tracked) == 1:
        finding.facts.append(f"`{tracked[0]}` is tracked, and an array has no graph")
        if remains.has_box(tracked[0]):
            finding.marks.append((tracked[0], "tracked: an array has no graph", ""))
    return finding


def _inference(remains: Remains) -> _Finding:
    finding = _Finding([13])
    made = [name for name, tensor in remains.mentioned.items() if tensor.is_inference()]
    if made:
        were = "was" if len(made) == 1 else "were"
        finding.facts.append(f"{code(made)} {were} made in inference_mode, where no versions are counted")
        finding.marks += [(name, "made in inference_mode", "") for name in made if remains.has_box(name)]
    return finding


def _nan(remains: Remains) -> _Finding:
    finding, named = _Finding([14], lines=True), re.search(r"Function '(\w+)' returned nan", remains.message)
    if named and remains.graph is not None:
        nodes = [i for i, node in enumerate(remains.graph.snapshot.nodes) if node.name == named[1]]
        if len(nodes) == 1:
            finding.facts.append(f"{_node(remains, nodes[0])} was the first to send nan")
            finding.marks.append((nodes[0] + 1, "sends nan", ""))
    return finding


def _no_grad_yet(remains: Remains) -> _Finding:
    finding = _Finding([])
    for path in remains.paths:
        tensor = remains.own.get(path.removesuffix(".grad")) if path.endswith(".grad") else None
        if tensor is None or (tensor.grad if is_leaf(tensor) or tensor.retains_grad else None) is not None:
            continue
        name = path.removesuffix(".grad")
        other = next((other for other, same in remains.own.items() if same is tensor and "." in other), name)
        called = f"`{name}`" if other == name else f"`{name}` (`{other}`)"
        if not tensor.requires_grad:
            finding.facts.append(f"{called} has no gradient: it is not tracked")
            finding.fix = "leave out what is not tracked, or track it before the loss is computed"
        elif not is_leaf(tensor):
            finding.cases = [8, 20]
            finding.facts.append(f"{called} has no gradient: it is a result, and backward fills the .grad of leaves")
        else:
            finding.facts.append(f"{called} is a tracked leaf, and nothing has filled its .grad since it was made or cleared: no "
                                 "backward has run, or none has reached it")
            finding.fix = "run backward first; explain(loss) tells which parameters a loss does not reach"
        break
    return finding


def _other_metadata(remains: Remains) -> _Finding:
    """The slot whose tensor came back another one: the checkpoint's holders tell it, which lie in the slots."""
    finding = _Finding([24])
    different, frame = (remains.inner_value("check_recomputed_tensors_match", name) for name in ("nb_meta_different", "self"))
    if remains.graph is None or not different:
        return finding
    position = different[0][0]      # type: ignore[index]
    holder = frame.weak_holders[position]()     # type: ignore[attr-defined]
    for i, (node, function) in enumerate(zip(remains.graph.snapshot.nodes, remains.graph.functions)):
        for slot in node.saved:
            raw = getattr(function, f"_raw_saved_{slot.name}", None)
            if holder is not None and getattr(raw, "data", None) is holder:
                finding.facts.append(f"{_node(remains, i)} had saved {slot.name}, and the second run of the checkpoint brought "
                                     "another tensor in its place")
                finding.marks.append((i + 1, "another tensor in the second run", slot.name))
                return finding
    return finding


def _donated(remains: Remains) -> _Finding:
    finding, node = _Finding([25]), remains.inner_value("_backward_impl", "ctx")
    if remains.graph is not None and node in remains.graph.functions:
        i = remains.graph.functions.index(node)
        finding.facts.append(f"{_node(remains, i)} stands for all that was compiled: its backward was compiled so that it may "
                             "write into what was saved, and now it was asked to keep it")
        finding.marks.append((i + 1, "compiled to be run once", ""))
    return finding


def _given_twice(remains: Remains) -> _Finding:
    finding = _Finding([17], fix="give each parameter once, to one group of one optimizer")
    group, optimizer = (remains.inner_value("add_param_group", name) for name in ("param_group", "self"))
    if isinstance(group, dict) and isinstance(optimizer, torch.optim.Optimizer):
        known = {id(one) for other in optimizer.param_groups for one in other["params"]}
        twice = [_name(remains, one) for one in group["params"] if id(one) in known]
        if twice:
            finding.facts.append(f"two groups hold {code(twice)}")
    return finding


def _double_compiled(remains: Remains) -> _Finding:
    return _Finding([25], fix="compute the gradient of a gradient by the plain net, which is not compiled")


def _nothing_in_checkpoint(remains: Remains) -> _Finding:
    fact = ("the input of this checkpoint is tracked, and nothing that it returns is: something inside of it left the graph, or "
            "switched recording off")
    return _Finding([23], [fact], "call that block without a checkpoint, or let it stay in the graph")


def _option_of_ddp(remains: Remains) -> _Finding:
    return _Finding([26], ["static_graph=True or find_unused_parameters=True promises what is not so"],
                    "leave the option out, and see which message comes then")


def _finished_reduction(remains: Remains) -> _Finding:
    finding = _Finding([27])
    indices = re.search(r"Parameter indices which did not receive grad for rank \d+: ([\d ]+)", remains.message)
    wrapped = [(path, part) for path, part in _parts(remains) if isinstance(part, nn.parallel.DistributedDataParallel)]
    if indices and len(wrapped) == 1:
        path, net = wrapped[0]
        names = [name for name, parameter in net.module.named_parameters() if parameter.requires_grad]
        found = [names[k] for k in map(int, indices[1].split()) if k < len(names)]
        finding.facts.append(f"in the step before, no loss has reached {code(found)} of `{path}`")
    return finding


def _ready_twice(remains: Remains) -> _Finding:
    finding = _Finding([26])
    name = re.search(r"Parameter at index \d+ with name \.?(\S+) has been marked as ready twice", remains.message)
    if name:
        finding.facts.append(f"gradients have come to `{name[1].removeprefix('module.')}` in two backward passes of one step")
    if remains.graph is not None and any(node.name.startswith("CheckpointFunction") for node in remains.graph.snapshot.nodes):
        finding.facts.append("a checkpoint with use_reentrant=True runs a backward pass of its own inside of the one that was "
                             "called")
        finding.fix = "use_reentrant=False"
    return finding


def _scaler(remains: Remains) -> _Finding:
    fact, fix = next(said for words, said in cases.SCALER.items() if re.search(words, remains.message))
    return _Finding([29], [fact] if fact else [], fix)


def _not_finite(remains: Remains) -> _Finding:
    sizes = {name: size_of_gradient(tensor.grad) for name, tensor in remains.named.items() if is_leaf(tensor)}
    bad = [f"`{name}` has {gradient_in_words(size)}" for name, size in sizes.items() if size is not None and size.inf + size.nan]
    return _Finding([30], [f"of the gradients here, that of {listed(bad)} in it"] if bad else [])


def _retained(remains: Remains) -> _Finding:
    finding = _Finding([20])
    untracked = [name for name, tensor in remains.mentioned.items() if not tensor.requires_grad]
    if len(untracked) == 1:
        finding.facts.append(f"`{untracked[0]}` is not tracked, so backward brings it no gradient")
        finding.facts += [frozen] if (frozen := _all_frozen(remains)) else []
        finding.marks += [(untracked[0], "not tracked", "")] if remains.has_box(untracked[0]) else []
    return finding


# In words

def _node(remains: Remains, i: int) -> str:
    assert remains.graph is not None
    return f"[{i + 1}] {short_name(remains.graph.snapshot.nodes[i].name)}"


def _name_of_result(remains: Remains, i: int) -> str:
    """What the code calls the result of a node, best by a name of its own; "" where it has no name."""
    assert remains.graph is not None
    names = [name for tensor in remains.graph.snapshot.tensors if tensor.producer and tensor.producer.node == i
             for name in tensor.names]
    return f"`{min(names, key=lambda name: ('.' in name, '[' in name))}`" if names else ""


def _slot(remains: Remains, guilty: Guilty) -> str:
    """What a slot holds, in words."""
    assert remains.graph is not None and guilty.slot is not None
    snapshot = remains.graph.snapshot
    saved = snapshot.nodes[guilty.node].saved[guilty.slot]
    held = saved.views if saved.holds is None else saved.holds
    tensor = None if held is None else snapshot.tensors[held]
    name = tensor.names[0] if tensor and tensor.names else saved.name
    if saved.holds is None and tensor and tensor.names:
        return f"a view of {name}"
    return f"its result {name}" if tensor and tensor.producer and tensor.producer.node == guilty.node else name


def _name(remains: Remains, tensor: torch.Tensor) -> str:
    """What the code, or the picture, calls a tensor."""
    names = [name for name, other in remains.named.items() if other is tensor]
    names += [name for path, net in remains.modules.items() for name, other in net.named_buffers(prefix=path) if other is tensor]
    if remains.graph is not None:
        names += [name for other, drawn in zip(remains.graph.tensors, remains.graph.snapshot.tensors) if other is tensor
                  for name in drawn.names]
    return names[0] if names else "a tensor without a name"


def _parts(remains: Remains) -> list[tuple[str, nn.Module]]:
    return [(path, part) for name, net in remains.modules.items() for path, part in net.named_modules(prefix=name)]


def code(names: Sequence[str]) -> str:
    """Names, as they stand in code."""
    return listed([f"`{name}`" for name in names])


def listed(words: Sequence[str]) -> str:
    if not words:
        return ""
    if len(words) > MOST_LISTED:
        return f"{', '.join(words[:MOST_LISTED])} and {len(words) - MOST_LISTED} more"
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


_READERS: tuple[tuple[str, Callable[[Remains], _Finding]], ...] = (
    (cases.CHANGED_VIEW, _changed_view),
    (cases.IN_PLACE, _changed),
    (cases.SECOND_TIME, _freed),
    (cases.NO_GRAPH, _no_graph),
    (cases.EMPTY_LIST, _empty_list),
    (cases.NO_SCALAR, _no_scalar),
    (f"{cases.NOT_USED}|{cases.NOT_TRACKED}", _not_used),
    (cases.LEAF_IN_PLACE, _leaf_in_place),
    (cases.NO_OPTIMIZED_LEAF, _no_leaf(9)),
    (cases.NO_LEAF_FLAG, _no_leaf(10)),
    (cases.NO_LEAF_COPY, _no_leaf(19)),
    (cases.NUMPY, _numpy),
    (cases.INFERENCE, _inference),
    (cases.NAN, _nan),
    (cases.GIVEN_TWICE, _given_twice),
    (cases.OTHER_METADATA, _other_metadata),
    (cases.DONATED, _donated),
    (cases.NO_REDUCTION, _finished_reduction),
    (cases.READY_TWICE, _ready_twice),
    ("|".join(cases.SCALER), _scaler),
    (cases.OPTION_OF_DDP, _option_of_ddp),
    (cases.NOTHING_IN_CHECKPOINT, _nothing_in_checkpoint),
    (cases.DOUBLE_COMPILED, _double_compiled),
    (cases.NOT_FINITE, _not_finite),
    (cases.NO_RETAIN, _retained),
    (cases.NONE_TYPE, _no_grad_yet),
)
