"""The cases of the error clinic: which messages lead to each, in one table.

The patterns are PyTorch's words since 2.6. They leave out what another version says in another way, shapes, names and numbers.
The clinic's table of messages is made from this one.
"""

import re
from dataclasses import dataclass

BASIC, TRAINING = "08_error_clinic.ipynb", "13_clinic_training_programs.ipynb"
VIEWS, PROCESSES = "14_clinic_views_and_checkpoints.ipynb", "15_clinic_processes_and_precision.ipynb"

# The messages that a watch, and `explain`, can say more about.
SECOND_TIME = r"backward through the graph a second time|saved tensors after they have already been freed"
CHANGED_VIEW = (r"is a view and (is being|its base or another view of its base has been) modified in-?place|"
                r"view was created in (no_grad|inference) mode and (is being|its base)")
IN_PLACE = r"needed for gradient computation has been modified by an in-?place"
NO_GRAPH = r"does not require grad and does not have a grad_fn"
NO_SCALAR = r"grad can be implicitly created only for scalar"
NOT_USED = r"appears to not have been used in the graph"
NOT_TRACKED = r"One of the differentiated Tensors does not require grad"
LEAF_IN_PLACE = r"leaf [Vv]ariable (that requires grad (is being|has been) used in an in-?place|has been moved into)"
NO_OPTIMIZED_LEAF = r"can't optimize a non-leaf"
NO_LEAF_FLAG = r"only change requires_grad flags of leaf"
NO_LEAF_COPY = r"support the deepcopy protocol"
NONE_TYPE = r"NoneType"
NUMPY = r"Can't call numpy\(\) on Tensor that requires grad"
NAN = r"returned nan values"
WRONG_RESULT = r"returned (an incorrect number of gradients|an invalid gradient|nan values)"
INFERENCE = r"Inference tensors cannot be saved for backward"
NO_RETAIN = r"can't retain_grad on Tensor that has requires_grad=False"
OTHER_METADATA = r"Recomputed values for the following tensors have different metadata"
DONATED = r"compiled with non-empty donated buffers"
EMPTY_LIST = r"optimizer got an empty parameter list"
GIVEN_TWICE = (r"some parameters appear in more than one parameter group|"
               r"optimizer contains a parameter group with duplicate parameters")
SCALER = r"No inf checks were recorded for this optimizer|Attempting to unscale FP16 gradients"
NOT_FINITE = r"The total norm of order .* for gradients from `parameters` is non-finite"
NO_REDUCTION = r"Expected to have finished reduction in the prior iteration"
READY_TWICE = r"Expected to mark a variable ready only once"


@dataclass(frozen=True)
class Case:
    """A case of the clinic.

    number: from 1 on, through all notebooks of the clinic.
    notebook: the file in which it stands.
    title: its heading, without "Case 4: ".
    cause: in a few words.
    messages: patterns; a message that has one of them may be of this case. Of several cases with one message, the first is the
        one that is named where nothing more is known.
    fix: what to do, in a sentence.
    """

    number: int
    notebook: str
    title: str
    cause: str
    messages: tuple[str, ...]
    fix: str

    @property
    def heading(self) -> str:
        return f"Case {self.number}: {self.title}"

    @property
    def link(self) -> str:
        """Where it stands, as JupyterLab and the pages write the address of a heading."""
        return f"{self.notebook}#{self.heading.replace(' ', '-')}"


CASES = (
    Case(1, BASIC, "Trying to backward through the graph a second time",
         "another backward went through this part: in an earlier step, or from another loss", (SECOND_TIME,),
         "compute what is older than the last backward again, or detach it; for several losses, one backward from their sum"),
    Case(2, BASIC, "one of the variables needed for gradient computation has been modified by an inplace operation",
         "a result that a node has saved was changed", (IN_PLACE,),
         "let the change make a new tensor, or run backward before it"),
    Case(3, BASIC, "modified by an inplace operation, after a step of the optimizer",
         "a parameter was changed by `optimizer.step()`, or data in place", (IN_PLACE,),
         "run all backwards before the step, or compute the loss again after it"),
    Case(4, BASIC, "element 0 of tensors does not require grad and does not have a grad_fn",
         "no tracked leaf stands behind the loss", (NO_GRAPH,),
         "find the first result that is not tracked: the line that made it left the graph"),
    Case(5, BASIC, "grad can be implicitly created only for scalar outputs", "backward was called on several numbers",
         (NO_SCALAR,), "take the sum() or the mean() first, or give the gradient to start with"),
    Case(6, BASIC, "The differentiated Tensor appears to not have been used in the graph",
         "the result was not computed from this tensor", (NOT_USED, NOT_TRACKED),
         "look where the name was given a new tensor (a copy is one), or give allow_unused=True and expect None"),
    Case(7, BASIC, "a leaf Variable that requires grad is being used in an in-place operation",
         "a parameter was changed while PyTorch was recording", (LEAF_IN_PLACE,), "change it under torch.no_grad()"),
    Case(8, BASIC, "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed", "your parameter is a result",
         (r"\.grad attribute of a Tensor that is not a leaf",),
         "compute the numbers first and track them last, by requires_grad_(); or ask for it by retain_grad()"),
    Case(9, BASIC, "can't optimize a non-leaf Tensor", "the same, found by an optimizer", (NO_OPTIMIZED_LEAF,),
         "compute the numbers first and track them last, by requires_grad_()"),
    Case(10, BASIC, "you can only change requires_grad flags of leaf variables", "`requires_grad` was set on a result",
         (NO_LEAF_FLAG,), "detach() a result; requires_grad is for leaves"),
    Case(11, BASIC, "Only Tensors of floating point and complex dtype can require gradients", "whole numbers",
         (r"[Oo]nly Tensors of floating point (and complex )?dtype can require gradients",), "make the numbers floating point"),
    Case(12, BASIC, "Can't call numpy() on Tensor that requires grad", "NumPy has no graph", (NUMPY,),
         "detach() before numpy(), for looking; PyTorch's own function in a loss"),
    Case(13, BASIC, "Inference tensors cannot be saved for backward", "made in `inference_mode`, used in a training",
         (INFERENCE,), "make it under torch.no_grad(), or clone() it outside"),
    Case(14, BASIC, "returned nan values in its 0th output", "an operation at a place where it has no slope", (NAN,),
         "choose the inputs of the operation, not its results"),
    Case(15, TRAINING, "backward a second time, through a hidden state",
         "the hidden state of the last batch was not detached, or only `h` and not `c`", (SECOND_TIME,),
         "detach all parts of the state before the next batch"),
    Case(16, TRAINING, "a second time, or modified by an inplace operation, in a GAN",
         "`fake` was not detached for D, or one network made its step before the other one's backward", (SECOND_TIME, IN_PLACE),
         "detach the fake for the loss of D, and compute the loss of G after the step of D"),
    Case(17, TRAINING, "modified by an inplace operation, with several optimizers",
         "one optimizer made its step before the last backward; or a parameter was given twice",
         (IN_PLACE, GIVEN_TWICE), "run all backwards, and then all steps"),
    Case(18, TRAINING, "no message, and the memory grows: a metric keeps its graphs",
         "tensors with graphs are kept in a sum or a list", (), "keep numbers: loss.item() or loss.detach()"),
    Case(19, TRAINING, "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment",
         "the network keeps a result, and deepcopy comes to it", (NO_LEAF_COPY,),
         "let the network keep detach() of the result, or compute it anew in forward"),
    Case(20, TRAINING, "can't retain_grad on Tensor that has requires_grad=False",
         "the tensor is not tracked: made under `no_grad`, or by a frozen network", (NO_RETAIN,),
         "call it on a tracked result, before backward"),
    Case(21, TRAINING, "element 0 of tensors does not require grad, and every parameter is frozen", "all parameters are frozen",
         (NO_GRAPH, EMPTY_LIST), "freeze first, then add what shall learn"),
    Case(22, VIEWS, "… is a view and is being modified inplace",
         "one of several views was changed, or what a full backward hook hands out", (CHANGED_VIEW,),
         "out of place, or change a clone()"),
    Case(23, VIEWS, "None of the inputs have requires_grad=True. Gradients will be None",
         "the old form of a checkpoint, and its input is not tracked",
         (r"None of the inputs have requires_grad=True", r"none of output has requires_grad=True",
          r"the use_reentrant parameter should be passed explicitly", NO_GRAPH),
         "use_reentrant=False, or let the input of the first checkpoint be tracked"),
    Case(24, VIEWS, "Recomputed values for the following tensors have different metadata",
         "the second run of a checkpoint is another one; often `eval()` came in between",
         (OTHER_METADATA, r"different number of tensors was saved during the original forward and recomputation",
          r"trying to save more tensors during recomputation",
          r"Detected non-determinism while running activation checkpointing"),
         "let the block depend on nothing that changes between forward and backward"),
    Case(25, VIEWS, "This backward function was compiled with non-empty donated buffers",
         "`retain_graph` or `create_graph` with compiled code", (DONATED, r"aot_autograd does not currently support double"),
         "one backward from the sum of the losses; and the plain net for a gradient of a gradient"),
    Case(26, PROCESSES, "Expected to mark a variable ready only once", "two backwards of one step reach a parameter",
         (READY_TWICE,), "one backward for each forward of the wrapped net"),
    Case(27, PROCESSES, "Expected to have finished reduction in the prior iteration", "a parameter took part in no loss",
         (NO_REDUCTION,), "let each parameter take part in the loss, or find_unused_parameters=True"),
    Case(28, PROCESSES, "Two losses, and silent mistakes", "the replicas drift apart", (),
         "call the wrapped net, and run one backward"),
    Case(29, PROCESSES, "unscale_() has already been called on this optimizer since the last update()",
         "the calls of GradScaler in another order",
         (r"unscale_\(\) has already been called on this optimizer", r"unscale_\(\) is being called after step\(\)",
          r"step\(\) has already been called since the last update", r"No inf checks were recorded",
          r"Attempting to unscale FP16 gradients"),
         "for each step: unscale_ once, clip, step, update"),
    Case(30, PROCESSES, "Gradients that are inf or nan", "a number too large for its type, or one bad sample",
         (r"The total norm of order .* for gradients from `parameters` is non-finite",),
         "look for the first node that sends inf or nan"),
)


def cases_of(message: str) -> list[Case]:
    """The cases that an error message may be of, in order."""
    return [case for case in CASES if any(re.search(pattern, message) for pattern in case.messages)]


def case(number: int) -> Case:
    return CASES[number - 1]
