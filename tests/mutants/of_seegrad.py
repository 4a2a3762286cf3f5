"""Changes to seegrad, whose pictures and counts most of the claims are shown with."""

import importlib
import re
from collections import Counter
from dataclasses import replace

import torch

from mutants import noticed_at, patch
from seegrad import diagram, drawing, explaining, history, measurement, play, recording, show, snapshot, tracing, view, watching
from seegrad.diagram import LEAF, RESULT
from seegrad.looks import SLOTS
from seegrad.measurement import Measurement
from seegrad.snapshot import ALIVE, CHANGED, FREED

# As attributes of the package, these names are functions.
checking = importlib.import_module("course.checking")
running = importlib.import_module("course.running")


@noticed_at("00-03")
def second_arrow_into_a_node_is_dropped():
    """A node is drawn with the arrow from its first input only."""
    patch(diagram._Full, "arrows_into")(lambda arrows_into, level, i: arrows_into(level, i)[:1])


@noticed_at("03-21")
def arrows_come_from_the_node_made_before():
    """Each arrow into a node comes from the node that was made just before it."""
    @patch(diagram._Full, "arrows_into")
    def arrows_into(original, level, i):
        return [replace(arrow, source=level.home[i - 1]) for arrow in original(level, i)]


@noticed_at("05-32")
def clone_has_no_node():
    """The node of `clone()` is not drawn, and what came from it comes from the node before."""
    @patch(diagram._Full, "make")
    def make(original, level):
        drawn = original(level)
        clones = {box.key for box in drawn.boxes if box.title == "CloneBackward0"}
        before = {arrow.target: arrow.source for arrow in drawn.arrows if arrow.target in clones}
        arrows = [replace(arrow, source=before.get(arrow.source, arrow.source))
                  for arrow in drawn.arrows if arrow.target not in clones]
        return replace(drawn, boxes=tuple(box for box in drawn.boxes if box.key not in clones), arrows=tuple(arrows))


@noticed_at("07-26")
def shared_node_is_listed_twice():
    """A node that two others use is listed twice."""
    @patch(diagram._Full, "make")
    def make(original, level):
        drawn = original(level)
        uses = Counter(source for source, _ in {(arrow.source, arrow.target) for arrow in drawn.arrows})
        return replace(drawn, boxes=tuple(box for box in drawn.boxes for _ in range(uses[box.key] or 1)))


@noticed_at("00-06")
def freed_is_shown_as_alive():
    """A saved tensor that was freed is shown as alive."""
    @patch(snapshot, "_check")
    def check_slot(original, raw, unpack):
        state, *more = original(raw, unpack)
        return (ALIVE if state == FREED else state, *more)


@noticed_at("00-10")
def versions_of_a_changed_tensor_are_swapped():
    """The version when a tensor was saved and its version now are swapped."""
    @patch(snapshot, "_in_place_check")
    def in_place_check(original, error):
        check = original(error)
        return check and (check[0], check[1] and check[1][::-1], check[2])


@noticed_at("09-71")
def bytes_of_a_saved_tensor_are_its_elements():
    """The bytes of a saved tensor are the number of its elements."""
    patch(snapshot, "size_of")(lambda size, storage: size(storage) // torch.float32.itemsize)


@noticed_at("01-34")
def leaf_is_shown_as_a_result():
    """A tracked leaf is shown as a result."""
    @patch(diagram._Full, "kind_of")
    def kind_of(original, level, i):
        kind = original(level, i)
        return RESULT if kind == LEAF else kind


@noticed_at("06-40")
def grad_is_shown_as_none():
    """The `.grad` of a tensor is shown as None although there is one."""
    @patch(snapshot._Reader, "describe")
    def describe(original, *inputs):
        return replace(original(*inputs), grad_shape=None)


@noticed_at("02-70")
def names_of_leaves_are_lost():
    """A leaf is drawn without the name that the caller gave it."""
    @patch(snapshot._Reader, "describe")
    def describe(original, *inputs):
        tensor = original(*inputs)
        return replace(tensor, names=()) if tensor.is_leaf else tensor


@noticed_at("05-36")
def names_are_on_the_wrong_tensors():
    """The names that the caller gave are on the tensors in reverse order."""
    @patch(snapshot._Reader, "__init__")
    def init(original, reader, outputs, names):
        original(reader, outputs, dict(zip(names, reversed(names.values()))))


@noticed_at("06-13")
def nodes_are_numbered_from_the_end():
    """The nodes are numbered from the last one back to the first."""
    @patch(diagram._Full, "node_box")
    def node_box(original, level, i):
        return replace(original(level, i), name=f"[{len(level.snapshot.nodes) - i}]")


@noticed_at("00-13")
def shared_memory_is_not_tied():
    """No dotted line ties the tensors that share memory."""
    patch(diagram._Full, "tensor_ties")(lambda ties, level, drawn: ())


@noticed_at("05-16")
def one_storage_means_one_version_counter():
    """Tensors on one storage are said to share a version counter, always."""
    patch(snapshot, "_version_counter")(lambda version_counter, tensor: 1)


@noticed_at("06-53")
def folded_hides_what_is_not_tracked():
    """At `detail="folded"`, a tensor that is not tracked has no box."""
    @patch(diagram._Folded, "stands_alone")
    def stands_alone(original, level, tensor):
        return original(level, tensor) and tensor.requires_grad


@noticed_at("02-05")
def caption_counts_one_node_too_few():
    """The line under a picture counts one node too few."""
    def headline(original, graph):
        return re.sub(r"^\d+", lambda number: str(int(number[0]) - 1), original(graph))

    for module in (diagram, play, watching):
        patch(module, "headline")(headline)


@noticed_at("04-21")
def last_two_steps_are_swapped():
    """A play shows its last two steps in reverse order."""
    @patch(show, "record")
    def record(original, *inputs):
        played = original(*inputs)
        return replace(played, steps=played.steps[:-2] + played.steps[:-3:-1])


@noticed_at("07-30")
def failing_node_is_named_wrongly():
    """A play that fails says that it stopped at the node that ran before the failing one."""
    @patch(play, "_ending")
    def ending(original, played, *inputs):
        last = tuple(replace(step, node=before.node) for before, step in zip(played.steps[-2:], played.steps[-1:]))
        return original(replace(played, steps=last), *inputs)


@noticed_at("02-29")
def step_shows_the_gradient_of_the_step_before():
    """A step of a play shows the gradient that the node before it received."""
    @patch(show, "record")
    def record(original, *inputs):
        played = original(*inputs)
        steps = played.steps
        return replace(played, steps=tuple(replace(step, gradients=before.gradients)
                                           for before, step in zip(steps[:1] + steps, steps)))


@noticed_at("03-34")
def measure_does_not_count_accumulate_grad():
    """`measure` does not count the runs of `AccumulateGrad`."""
    @patch(measurement, "reachable")
    def reachable(original, functions):
        return [function for function in original(functions) if snapshot._name(function) != snapshot._ACCUMULATE]


@noticed_at("01-18")
def what_if_shows_the_next_picture():
    """`what_if` shows under each combination the picture of the next one."""
    @patch(view.WhatIf, "__init__")
    def init(original, what_if, choices, pictures):
        original(what_if, choices, pictures[1:] + pictures[:1])


@noticed_at("02-09")
def side_by_side_leaves_out_a_picture():
    """`side_by_side` leaves out its first picture."""
    @patch(view.SideBySide, "__init__")
    def init(original, row, pictures):
        original(row, dict(list(pictures.items())[1:]))


@noticed_at("07-08")
def alt_text_says_nothing():
    """The alt text of every picture of a graph is "A computation graph."."""
    patch(view, "make_alt")(lambda make_alt, graph: "A computation graph.")


@noticed_at("08-06")
def picture_marks_freed_as_alive():
    """In the picture, and not in its text, a freed saved tensor has the mark of one that is alive."""
    drawing.SLOTS = SLOTS | {FREED: replace(SLOTS[FREED], mark=SLOTS[ALIVE].mark)}


@noticed_at("08-progress")
def progress_leaves_out_an_exercise():
    """`progress` leaves out the last exercise of a notebook."""
    patch(checking, "load")(lambda load, notebook: load(notebook)[:-1])


@noticed_at("05-48")
def drawing_counts_as_a_change():
    """Drawing two tensors that share a version counter moves this counter."""
    @patch(snapshot, "_version_counter")
    def version_counter(original, tensor):
        torch.autograd.graph.increment_version(tensor)
        return original(tensor)


@noticed_at("08-17")
def changed_in_place_is_shown_as_alive():
    """A saved tensor that was changed in place is shown as alive."""
    @patch(snapshot, "_check")
    def check_slot(original, raw, unpack):
        state, versions = original(raw, unpack)
        return (ALIVE, None) if state == CHANGED else (state, versions)


@noticed_at("02-54")
def saved_result_is_shown_as_freed():
    """A saved result that is alive is shown as freed."""
    @patch(snapshot._Reader, "slot")
    def slot(original, reader, name, raw, checked):
        return original(reader, name, raw, (FREED, None, None) if name == "result" and checked[0] == ALIVE else checked)


@noticed_at("05-65")
def result_is_shown_as_a_leaf():
    """A result is shown as a tracked leaf."""
    @patch(diagram._Full, "kind_of")
    def kind_of(original, level, i):
        kind = original(level, i)
        return LEAF if kind == RESULT else kind


@noticed_at("08-25")
def storages_of_one_size_are_tied():
    """Two storages of one size are taken for one storage."""
    @patch(snapshot._Reader, "storage_of")
    def storage_of(original, reader, tensor):
        return None if original(reader, tensor) is None else tensor.untyped_storage().nbytes()


@noticed_at("02-29")
def play_leaves_out_its_first_step():
    """A play does not show the first node that ran."""
    @patch(show, "record")
    def record(original, *inputs):
        played = original(*inputs)
        return replace(played, steps=played.steps[1:])


@noticed_at("02-29")
def freed_is_marked_one_step_late():
    """What a step of a play freed is marked one step later."""
    @patch(recording.Recording, "updates")
    def updates(original, played):
        return iter([({}, {}), *original(played)][:-1])


@noticed_at("09-73")
def measure_doubles_the_flops():
    """`measure` counts each multiplication and addition as two FLOPs."""
    patch(measurement, "Measurement")(lambda measurement, runs, flops, *more: measurement(runs, 2 * flops, *more))


@noticed_at("07-46")
def measure_gives_the_peak_as_the_end():
    """`measure` gives the peak of the saved bytes where it should give those left at the end."""
    Measurement.left_saved_bytes = Measurement.peak_saved_bytes


@noticed_at("02-16")
def arrows_of_the_picture_point_back():
    """The arrows of the picture point from a result to its inputs, and its text does not change."""
    @patch(drawing, "_arrows")
    def arrows(original, *inputs):
        return [re.sub(r"(\w+) -> (\w+)", r"\2 -> \1", line) for line in original(*inputs)]


@noticed_at("04-exercise-3-answer")
def empty_answer_is_checked():
    """An exercise that is not answered yet is checked as if it were."""
    patch(running.Run, "is_open")(lambda is_open, run: False)


@noticed_at("02-exercise-2-answer")
def verdict_names_the_line_before():
    """A verdict on an answer names the line before the one that is meant."""
    patch(running.Run, "line")(lambda line, run, number: line(run, number - 1))


@noticed_at("02-exercise-2-answer")
def answers_mark_the_node_before():
    """A mark is on the node before the one that is meant."""
    patch(view.GraphView, "mark")(lambda mark, graph, where, words, slot="": mark(graph, where - 1, words))


@noticed_at("02-29")
def play_runs_with_retain_graph():
    """A play retains the graph always."""
    patch(show, "record")(lambda record, graph, backward: record(graph, replace(backward, retain_graph=True)))


@noticed_at("02-05")
def watch_counts_lines_from_zero():
    """A watch gives each line a number that is one too low."""
    patch(watching, "_line")(lambda line, place: (place.source, place.line - 1))


@noticed_at("02-65f")
def watch_does_not_tell_what_was_let_go():
    """A watch does not tell which nodes a line let go."""
    patch(watching._Watching, "let_go")(lambda let_go, *_: iter(()))


@noticed_at("05-17c")
def watch_sees_versions_only():
    """A watch does not see that memory has changed where the version has not."""
    patch(history, "_changed_unnoticed")(lambda changed, *_: False)


@noticed_at("01-55b")
def watch_does_not_see_that_recording_is_off():
    """A watch takes it that operations are recorded, always."""
    patch(tracing, "_records")(lambda records: True)


@noticed_at("03-15")
def watch_blames_the_line_that_failed():
    """What freed a saved tensor is said to be the line that failed, and not the one that ran backward before."""
    @patch(watching, "cause_of")
    def cause_of(original, failure, told):
        slots = {slot: replace(origin, freed=origin.freed and failure.place) for slot, origin in told.slots.items()}
        return original(failure, replace(told, slots=slots))


@noticed_at("08-21-watch")
def watch_says_no_cause():
    """A watch that ends with an error does not say why."""
    patch(watching, "cause_of")(lambda cause_of, *_: "")


@noticed_at("06-31b")
def slot_does_not_say_who_freed_it():
    """The picture of a watch does not say by which line a slot was freed."""
    patch(watching._Watching, "origins")(lambda origins, told: replace(origins(told), slots={}))


@noticed_at("09-09")
def watch_does_not_enter_functions():
    """A watch does not follow the functions of the notebook."""
    @patch(tracing.Tracer, "_is_watched")
    def is_watched(original, tracer, frame):
        return original(tracer, frame) and frame.f_code.co_name == "<module>"


@noticed_at("08-ask-explain")
def explain_does_not_see_that_all_is_frozen():
    """`explain` does not look at the parameters of the modules around an error."""
    patch(explaining, "_all_frozen")(lambda original, remains: "")
