"""The autograd of notebook 12: the parts of the course agree with PyTorch, the pictures have one shape, a mistake is told."""

import pytest
import torch

from course import check, own_autograd
from course.checking import Wrong
from course.own_autograd import Value, plugged, yours
from course.own_graph import show_own
from course.programs import Program, agree, difference, programs, run_ours, run_pytorch
from seegrad import show_graph

KINDS = {"single numbers": (["add", "mul", "detach", "no_grad", "nested"], False),
         "shapes": (["add", "mul", "matmul", "detach", "no_grad", "nested"], True)}
ENDINGS = [["loss.backward()"], ["loss.backward(retain_graph=True)", "loss.backward()"], ["loss.backward()", "loss.backward()"],
           ["loss.backward()", "more = {0} * {1}", "more = more.mean()", "more.backward()"]]

made_of = pytest.mark.parametrize("kinds, shapes", KINDS.values(), ids=KINDS)


@made_of
def test_the_parts_of_the_course_agree_with_pytorch(kinds, shapes):
    made = programs(100, kinds, 400, ENDINGS, shapes)
    assert len(set(made)) == 400
    agree(made)


@made_of
def test_programs_are_the_same_each_time_and_the_short_ones_come_first(kinds, shapes):
    made = programs(101, kinds, 50, ENDINGS, shapes)
    assert made == programs(101, kinds, 50, ENDINGS, shapes)
    assert [len(program.lines) for program in made] == sorted(len(program.lines) for program in made)


def shape_of(view):
    nodes = [(node.inputs, node.leaf, node.results, bool(node.saved), {slot.state for slot in node.saved})
             for node in view.snapshot.nodes]
    tensors = [(tensor.names, tensor.shape, tensor.requires_grad, tensor.in_graph, tensor.producer, tensor.grad_shape,
                tensor.storage) for tensor in view.snapshot.tensors]
    return nodes, tensors


@made_of
def test_a_picture_of_ours_has_the_shape_of_pytorchs(kinds, shapes):
    for program in programs(102, kinds, 100, ENDINGS[:2], shapes):
        for upto in (program.lines, program.lines[:-1]):
            ours, theirs = (run(Program(upto, program.leaves)).namespace for run in (run_ours, run_pytorch))
            named = {name: tensor for name, tensor in theirs.items() if isinstance(tensor, torch.Tensor)}
            mine = show_own(**{name: ours[name] for name in named})
            nodes, tensors = shape_of(mine)
            wanted_nodes, wanted_tensors = shape_of(show_graph(named))
            assert nodes == wanted_nodes, program
            assert [each[:-1] for each in tensors] == [each[:-1] for each in wanted_tensors], program


def test_a_leaf_without_a_name_is_drawn_and_a_slot_says_what_it_holds():
    loss = Value(2.0, requires_grad=True) * Value(3.0)
    assert repr(show_own(loss=loss)).splitlines()[1:4] == [
        "leaf 1; leaf (); .grad None", "[1] AccumulateGrad from leaf 1",
        "[2] mul_backward from [1]; a = leaf 1 () 4 B alive; b () 4 B alive"]
    loss.backward()
    assert "[2] mul_backward from [1]; a freed; b freed" in repr(show_own(loss=loss))


def test_a_value_that_is_not_tracked_gets_no_gradient_in_the_picture():
    c = Value(3.0)
    loss = Value(2.0, requires_grad=True) * c
    assert "[2] mul_backward from [1], c (no gradient)" in repr(show_own(loss=loss, c=c))


def test_slots_of_a_rule_that_takes_all_as_one():
    with plugged(mul_backward=lambda gradient, *saved: (gradient * saved[1], gradient * saved[0])):
        loss = Value(2.0, requires_grad=True) * Value(3.0)
    assert "saved[0] = leaf 1 () 4 B alive; saved[1] () 4 B alive" in repr(show_own(loss=loss))
    loss.backward()
    assert "from [1]; saved freed" in repr(show_own(loss=loss))


def test_a_difference_is_told_with_the_program_without_what_does_not_matter_and_with_a_mark():
    program = Program(("x = leaf(2.0)", "y = leaf(3.0)", "a = y + y", "b = x * x", "loss = b * x", "loss.backward()"), ("x", "y"))
    assert difference(program) is None
    with plugged(mul_backward=lambda gradient, a, b: (gradient * b, gradient)), pytest.raises(Wrong) as wrong:
        agree([program])
    assert str(wrong.value) == "x.grad is 7, and in PyTorch 12."
    assert repr(wrong.value.picture).startswith("The two differ at this program. The graph is PyTorch's.\n\n"
                                                "x = leaf(2.0)\nb = x * x\nloss = b * x\nloss.backward()\n\n")
    shown = wrong.value.picture._repr_mimebundle_()["text/html"]
    assert "loss = b * x" in shown and "<th" in shown and "✗ they differ here" in shown
    assert own_autograd.mul_backward(1, 2, 3) == (3, 2)


def test_only_what_differs_has_a_table():
    with plugged(gradient_edge=lambda value: value.grad_fn or value.grad_accumulator), pytest.raises(Wrong) as wrong:
        agree([Program(("x = leaf(2.0)", "c = constant(3.0)", "loss = x + c", "loss.backward()"), ("x",))])
    assert "Gradients" not in repr(wrong.value.picture)


def test_a_function_is_yours_as_long_as_the_check_finds_it_right():
    check("12.8", lambda value: Value(value.data))
    assert "detach" in yours
    check("12.8", lambda value: value)
    assert "detach" not in yours
