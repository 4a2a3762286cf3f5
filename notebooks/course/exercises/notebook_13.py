"""The checks of notebook 13."""

import torch

from ..checking import Idea, exercise, same_numbers


@exercise("13.1")
def check_1(run):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = run(x)
    same_numbers(y, 2 * x)
    view, lines = run.show({"x": x, "y": torch.as_tensor(y)})
    return Idea("Say the idea of the exercise in one sentence. The picture proves the answer.", view)


@exercise("13.2")
def check_2(run):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = run(x)
    same_numbers(y, 3 * x)
    view, lines = run.show({"x": x, "y": torch.as_tensor(y)})
    return Idea("Say the idea of the exercise in one sentence. The picture proves the answer.", view)


@exercise("13.3")
def check_3(run):
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = run(x)
    same_numbers(y, 4 * x)
    view, lines = run.show({"x": x, "y": torch.as_tensor(y)})
    return Idea("Say the idea of the exercise in one sentence. The picture proves the answer.", view)
