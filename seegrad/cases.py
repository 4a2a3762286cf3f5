"""The cases of the error clinic: which messages lead to each, in one table.

The patterns are PyTorch's words since 2.6. They leave out what another version says in another way, shapes, names and numbers.
`make docs` makes the tables of messages from this one: those in the clinics, and docs/messages.md. The pages look a message up in
its patterns, so they are written as JavaScript reads them too.
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
INFERENCE = r"Inference tensors cannot be saved for backward|Inplace update to inference tensor outside InferenceMode"
NO_RETAIN = r"can't retain_grad on Tensor that has requires_grad=False"
OTHER_METADATA = r"Recomputed values for the following tensors have different metadata"
DONATED = r"compiled with non-empty donated buffers"
DOUBLE_COMPILED = r"torch\.compile with aot_autograd does not currently support double backward"
EMPTY_LIST = r"optimizer got an empty parameter list"
GIVEN_TWICE = (r"some parameters appear in more than one parameter group|"
               r"optimizer contains a parameter group with duplicate parameters")
# Words that the calls of a GradScaler bring, with what was wrong, and what to do.
SCALER = {
    r"unscale_\(\) has already been called on this optimizer":
        ("", "unscale_() once for each step of an optimizer, before the clipping: not for each small batch"),
    r"unscale_\(\) is being called after step\(\)": ("", "clip before scaler.step(optimizer)"),
    r"step\(\) has already been called since the last update": ("", "scaler.update() after each step"),
    r"No inf checks were recorded for this optimizer":
        ("no parameter of this optimizer has a gradient: no backward has run since they were cleared, or none has reached them",
         "run scaler.scale(loss).backward() first, for a loss that reaches what this optimizer trains"),
    r"No inf checks were recorded prior to update":
        ("no step went through the scaler", "scaler.step(optimizer) in the place of optimizer.step()"),
    r"Attempted (step|unscale_|update) but _scale is None":
        ("the scaler has scaled no loss yet", "scaler.scale(loss).backward() in the place of loss.backward()"),
    r"Attempting to unscale FP16 gradients":
        ("the parameters themselves are float16, so their gradients are too",
         "keep the parameters in float32, and let autocast choose where 16 bits are enough"),
}
OPTION_OF_DDP = r"Your training graph has changed in this iteration|Encountered gradient which is undefined, but still allreduced"
NOTHING_IN_CHECKPOINT = r"none of output has requires_grad=True"
NOT_FINITE = r"The total norm of order .* for gradients from `parameters` is non-finite"
NO_REDUCTION = r"Expected to have finished reduction in the prior iteration"
READY_TWICE = r"Expected to mark a variable ready only once"


FEWEST = 4      # letters of a message that are looked up


@dataclass(frozen=True)
class Beginning:
    """How a message begins, for a reader who looks for it.

    words: as PyTorch says them, with … for what differs; "" where there is no message.
    behind: what the table says after them.
    cause: in a few words; "" for that of the case.
    """

    words: str
    behind: str = ""
    cause: str = ""


@dataclass(frozen=True)
class Case:
    """A case of the clinic.

    number: from 1 on, through all notebooks of the clinic.
    notebook: the file in which it stands.
    title: its heading, without "Case 4: ".
    cause: in a few words.
    messages: patterns; a message that has one of them may be of this case. Of several cases with one message, the first is the
        one that is named where nothing more is known, and the one that quotes the message.
    fix: what to do, in a sentence.
    more: the numbers of the notebooks that explain the cause.
    beginnings: a row of the table of messages for each; none where the title is the only one.
    """

    number: int
    notebook: str
    title: str
    cause: str
    messages: tuple[str, ...]
    fix: str
    more: tuple[str, ...]
    beginnings: tuple[Beginning, ...] = ()

    @property
    def heading(self) -> str:
        return f"Case {self.number}: {self.title}"

    @property
    def link(self) -> str:
        """Where it stands, as JupyterLab and the pages write the address of a heading."""
        return f"{self.notebook}#{self.heading.replace(' ', '-')}"

    @property
    def patterns(self) -> list[str]:
        """Its messages, for text without white space: a message is broken into lines anywhere."""
        return [pattern.replace(" ", "") for pattern in self.messages]

    @property
    def words(self) -> list[str]:
        """The beginnings of its messages, in small letters and without white space."""
        return [without_space(part).lower() for row in self.rows for part in row.words.split("…")]

    @property
    def rows(self) -> tuple[Beginning, ...]:
        return self.beginnings or (Beginning(self.title),)


# What was changed is a parameter, or data: a linear layer saves its weight transposed.
_NO_RESULT = r".*?: \[[^\]]*\]\](, which is output 0 of (AsStrided|T)(Backward\d*)?,)? is at version"

_SECOND_TIME = "Trying to backward through the graph a second time"
_CHANGED = "one of the variables needed for gradient computation has been modified by an inplace operation"
_NO_GRAPH = "element 0 of tensors does not require grad and does not have a grad_fn"

CASES = (
    Case(1, BASIC, _SECOND_TIME, "another backward went through this part: in an earlier step, or from another loss",
         (SECOND_TIME,),
         "compute what is older than the last backward again, or detach it; for several losses, one backward from their sum",
         ("02", "03")),
    Case(2, BASIC, _CHANGED, "a result that a node has saved was changed", (f"{IN_PLACE}(?!{_NO_RESULT})",),
         "let the change make a new tensor, or run backward before it", ("05",),
         (Beginning(f"{_CHANGED} … which is output 0 of", " Exp, Sigmoid or another operation"),)),
    Case(3, BASIC, "modified by an inplace operation, after a step of the optimizer",
         "a parameter was changed by `optimizer.step()`, or data in place", (IN_PLACE,),
         "run all backwards before the step, or compute the loss again after it", ("03",),
         (Beginning(_CHANGED, ", and no output, or output 0 of AsStrided"),)),
    Case(4, BASIC, _NO_GRAPH, "no tracked leaf stands behind the loss", (NO_GRAPH,),
         "find the first result that is not tracked: the line that made it left the graph", ("01", "05")),
    Case(5, BASIC, "grad can be implicitly created only for scalar outputs", "backward was called on several numbers",
         (NO_SCALAR,), "take the sum() or the mean() first, or give the gradient to start with", ("01",)),
    Case(6, BASIC, "The differentiated Tensor appears to not have been used in the graph",
         "the result was not computed from this tensor", (NOT_USED, NOT_TRACKED),
         "look where the name was given a new tensor (a copy is one), or give allow_unused=True and expect None", ("01",),
         (Beginning("The differentiated Tensor at index … appears to not have been used in the graph"),
          Beginning("One of the differentiated Tensors does not require grad",
                    cause="`autograd.grad` for a tensor that is not tracked"))),
    Case(7, BASIC, "a leaf Variable that requires grad is being used in an in-place operation",
         "a parameter was changed while PyTorch was recording", (LEAF_IN_PLACE,), "change it under torch.no_grad()", ("05",),
         (Beginning("a leaf Variable that requires grad is being used in an in-place operation"),
          Beginning("a view of a leaf Variable that requires grad is being used in an in-place operation",
                    cause="the same, in a part of a parameter"))),
    Case(8, BASIC, "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed", "your parameter is a result",
         (r"\.grad attribute of a Tensor that is not a leaf",),
         "compute the numbers first and track them last, by requires_grad_(); or ask for it by retain_grad()", ("01", "04")),
    Case(9, BASIC, "can't optimize a non-leaf Tensor", "the parameter is a result, and an optimizer has found it",
         (NO_OPTIMIZED_LEAF,), "compute the numbers first and track them last, by requires_grad_()", ("01",)),
    Case(10, BASIC, "you can only change requires_grad flags of leaf variables", "`requires_grad` was set on a result",
         (NO_LEAF_FLAG,), "detach() a result; requires_grad is for leaves", ("01",)),
    Case(11, BASIC, "Only Tensors of floating point and complex dtype can require gradients", "whole numbers",
         (r"[Oo]nly Tensors of floating point (and complex )?dtype can require gradients",), "make the numbers floating point",
         ("01",)),
    Case(12, BASIC, "Can't call numpy() on Tensor that requires grad", "NumPy has no graph", (NUMPY,),
         "detach() before numpy(), for looking; PyTorch's own function in a loss", ("05",)),
    Case(13, BASIC, "Inference tensors cannot be saved for backward", "made in `inference_mode`, used in a training",
         (INFERENCE,), "make it under torch.no_grad(), or clone() it outside", ("01",),
         (Beginning("Inference tensors cannot be saved for backward"),
          Beginning("Inplace update to inference tensor outside InferenceMode is not allowed",
                    cause="made in `inference_mode`, and changed in place outside"))),
    Case(14, BASIC, "returned nan values in its 0th output", "an operation at a place where it has no slope", (NAN,),
         "choose the inputs of the operation, not its results", (),
         (Beginning("Function '…Backward0' returned nan values in its 0th output",
                    ", or a gradient of `nan` without a message"),)),
    Case(15, TRAINING, "backward a second time, through a hidden state",
         "the hidden state of the last batch was not detached, or only `h` and not `c`", (SECOND_TIME, IN_PLACE),
         "detach all parts of the state before the next batch", ("03", "10"),
         (Beginning(_SECOND_TIME, ", in a recurrent network"),
          Beginning(_CHANGED, ", in a recurrent network", "`retain_graph=True` stands there in the place of `detach()`"))),
    Case(16, TRAINING, "a second time, or modified by an inplace operation, in a GAN",
         "`fake` was not detached for D, or one network made its step before the other one's backward", (SECOND_TIME, IN_PLACE),
         "detach the fake for the loss of D, and compute the loss of G after the step of D", ("03", "05"),
         (Beginning(_SECOND_TIME, ", in a GAN", "`fake` was not detached where the discriminator learns"),
          Beginning(_CHANGED, ", in a GAN", "one network made its step before the other one's backward"))),
    Case(17, TRAINING, "modified by an inplace operation, with several optimizers",
         "one optimizer made its step before the last backward; or a parameter was given twice",
         (IN_PLACE, GIVEN_TWICE),
         "run all backwards, and then all steps; each parameter belongs to one group of one optimizer", ("03", "04"),
         (Beginning(_CHANGED, ", with several optimizers", "one optimizer made its step before the last backward"),
          Beginning("some parameters appear in more than one parameter group",
                    cause="a parameter was given to one optimizer twice"),
          Beginning("optimizer contains a parameter group with duplicate parameters", cause="the same, in one group"))),
    Case(18, TRAINING, "no message, and the memory grows: a metric keeps its graphs",
         "tensors with graphs are kept in a sum or a list", (), "keep numbers: loss.item() or loss.detach()", ("02",),
         (Beginning("", ", and the memory grows"),)),
    Case(19, TRAINING, "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment",
         "the network keeps a result, and `deepcopy` comes to it", (NO_LEAF_COPY,),
         "let the network keep detach() of the result, or compute it anew in forward", ("01",)),
    Case(20, TRAINING, "can't retain_grad on Tensor that has requires_grad=False",
         "the tensor is not tracked: made under `no_grad`, by `detach()`, or by a frozen network", (NO_RETAIN,),
         "call it on a tracked result, before backward", ("04",)),
    Case(21, TRAINING, "element 0 of tensors does not require grad, and every parameter is frozen", "all parameters are frozen",
         (NO_GRAPH, EMPTY_LIST), "freeze first, then add what shall learn", ("01", "10"),
         (Beginning(_NO_GRAPH, ", and no line cuts the graph"),
          Beginning("optimizer got an empty parameter list",
                    cause="the same, found by an optimizer that gets only what is tracked; or the layers stand in a "
                          "Python list"))),
    Case(22, VIEWS, "… is a view and is being modified inplace",
         "one of several views was changed, or what a full backward hook hands out", (CHANGED_VIEW,),
         "out of place, or change a clone()", ("05",),
         (Beginning("Output 0 of BackwardHookFunction is a view and is being modified inplace",
                    cause="a full backward hook, and a change in place behind it"),
          Beginning("Output 0 of Split is a view and is being modified inplace", ", or of Unbind, or of SplitWithSizes",
                    "one of several views that were made at once was changed"),
          Beginning("A view was created in no_grad mode and is being modified inplace with grad mode enabled",
                    ", or the same with *inference mode*",
                    "the view was made where nothing is recorded, and changed where all is recorded"))),
    Case(23, VIEWS, "None of the inputs have requires_grad=True. Gradients will be None",
         "the old form of a checkpoint, and its input is not tracked",
         (r"None of the inputs have requires_grad=True", NOTHING_IN_CHECKPOINT,
          r"the use_reentrant parameter should be passed explicitly", NO_GRAPH),
         "use_reentrant=False, or let the input of the first checkpoint be tracked", ("09",),
         (Beginning("None of the inputs have requires_grad=True. Gradients will be None", ", or a part learns nothing"),
          Beginning(_NO_GRAPH, ", behind a checkpoint"),
          Beginning("none of output has requires_grad=True, this checkpoint() is not necessary",
                    cause="the same form, and nothing inside of it is tracked"),
          Beginning("torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly",
                    cause="the form of the checkpoint was not chosen"))),
    Case(24, VIEWS, "Recomputed values for the following tensors have different metadata",
         "the second run of a checkpoint is another one; often `eval()` came in between",
         (OTHER_METADATA, r"different number of tensors was saved",
          r"trying to save more tensors during recomputation",
          r"Detected non-determinism while running activation checkpointing"),
         "let the block depend on nothing that changes between forward and backward", ("09",),
         (Beginning("torch.utils.checkpoint: Recomputed values for the following tensors have different metadata",
                    ", or a wrong gradient", "the second forward pass of a checkpoint is not like the first"),
          Beginning("torch.utils.checkpoint: A different number of tensors was saved",
                    cause="the same; often `eval()` came in between"),
          Beginning("torch.utils.checkpoint: trying to save more tensors during recomputation", cause="the same"))),
    Case(25, VIEWS, "This backward function was compiled with non-empty donated buffers",
         "`retain_graph` or `create_graph`, with compiled code", (DONATED, DOUBLE_COMPILED),
         "one backward from the sum of the losses; and the plain net for a gradient of a gradient", ("02", "03"),
         (Beginning("This backward function was compiled with non-empty donated buffers"),
          Beginning("torch.compile with aot_autograd does not currently support double backward",
                    cause="a gradient of a gradient, with compiled code"))),
    Case(26, PROCESSES, "Expected to mark a variable ready only once",
         "DDP: two backwards of one forward pass came to one parameter", (READY_TWICE, OPTION_OF_DDP),
         "one backward for each forward of the wrapped net", ("03",),
         (Beginning("Expected to mark a variable ready only once"),
          Beginning("Your training graph has changed in this iteration", ", or *Encountered gradient which is undefined*",
                    "DDP: an option that promises what is not so, often as a bandage for the line above"))),
    Case(27, PROCESSES, "Expected to have finished reduction in the prior iteration before starting a new one",
         "DDP: a parameter got no gradient", (NO_REDUCTION,),
         "let each parameter take part in the loss, or find_unused_parameters=True", ("04",)),
    Case(28, PROCESSES, "each process has other weights, without a message", "DDP: the forward pass or the backward went past it",
         (), "call the wrapped net, and run one backward", ("04",),
         (Beginning("", ", and each process has other weights"),)),
    Case(29, PROCESSES, "unscale_() has already been called on this optimizer since the last update()",
         "the calls of a `GradScaler` in another order",
         tuple(SCALER),
         "backward of the scaled loss, unscale_ once, clip, step, update; the parameters stay float32", ("04",),
         (Beginning("unscale_() has already been called on this optimizer since the last update()"),
          Beginning("unscale_() is being called after step()", cause="the same"),
          Beginning("step() has already been called since the last update()", cause="`update()` is missing"),
          Beginning("No inf checks were recorded for this optimizer", cause="no parameter of this optimizer has a gradient"),
          Beginning("No inf checks were recorded prior to update", cause="the step went past the scaler"),
          Beginning("Attempted step but _scale is None", cause="no loss was scaled"),
          Beginning("Attempting to unscale FP16 gradients", cause="the parameters are of 16 bits"))),
    Case(30, PROCESSES, "The total norm of gradients is non-finite",
         "a number too large for 16 bits, or an operation without a slope",
         (NOT_FINITE,),
         "look for the first node that sends inf or nan", ("08",),
         (Beginning("The total norm of order … for gradients from `parameters` is non-finite",
                    ", or an `inf` or a `nan` without a message"),)),
)


def cases_of(message: str) -> list[Case]:
    """The cases that an error message may be of, in order.

    message: it may be broken into lines anywhere, and have a traceback around it.
    """
    plain = without_space(message)
    return [case for case in CASES if any(re.search(pattern, plain) for pattern in case.patterns)]


def look_up(words: str) -> list[Case]:
    """The cases of a message, or else those that have these few words in one. The pages of the course look up in the same way."""
    plain = without_space(words).lower()
    return cases_of(words) or [case for case in CASES if len(plain) >= FEWEST and any(plain in word for word in case.words)]


def without_space(message: str) -> str:
    return re.sub(r"\s|\[rank\d+\]:", "", message)


def case(number: int) -> Case:
    return CASES[number - 1]
