"""The data of notebook 06, pictures of cats and cars, and how the notebook shows them and its training.

A cat is a round face with two pointed ears. A car is a box with a roof and two wheels. Noise is added, and the place is random.
The plots have the look that the notebook has set.
"""

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

SIDE = 28       # of a picture, in pixels
NAMES = ("cat", "car")
ROWS, COLUMNS = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")


def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Make pictures and their labels, the same ones for the same seed.

    Returns the pictures, of shape (count, 1, 28, 28) and the default dtype, and the labels, of shape (count, 2) and 64 bits:
    cat? car? as 0 or 1.
    """
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (count, 2), generator=random)
    pictures = 0.25 * torch.randn(count, 1, SIDE, SIDE, generator=random)
    for (picture,), (has_cat, has_car) in zip(pictures, labels.tolist()):
        left, *at = torch.randint(0, 9, (5,), generator=random).tolist()
        cat_column, car_column = (7, 20) if left % 2 else (20, 7)
        if has_cat:
            picture[_cat(11 + at[0], cat_column + at[1] % 3 - 1)] += 1
        if has_car:
            picture[_car(10 + at[2], car_column + at[3] % 3 - 1)] += 1
    return pictures, labels.double()


def _cat(row, column):
    """The pixels of a cat, as a mask of shape (28, 28). row, column: of the middle of its face."""
    return _disc(row, column, 5) | _ear(row - 10, column - 3) | _ear(row - 10, column + 3)


def _car(row, column):
    """The pixels of a car, as a mask of shape (28, 28). row, column: of the middle of its box."""
    wheels = _disc(row + 3, column - 4, 2) | _disc(row + 3, column + 4, 2)
    return _box(row, column, 2, 6) | _box(row - 4, column, 2, 3) | wheels


def _disc(row, column, radius):
    return (ROWS - row) ** 2 + (COLUMNS - column) ** 2 <= radius ** 2


def _box(row, column, height, width):
    return ((ROWS - row).abs() <= height) & ((COLUMNS - column).abs() <= width)


def _ear(row, column):
    return (ROWS >= row) & (ROWS <= row + 6) & (2 * (COLUMNS - column).abs() <= ROWS - row)


def words(label: Iterable[Tensor]) -> str:
    """The words for a label or an answer, such as "cat + car" or "neither". label: two numbers, one for each name."""
    return " + ".join(name for name, yes in zip(NAMES, label) if yes) or "neither"


def grid(pictures: Tensor, titles: Iterable[str]) -> Figure:
    """Ten pictures in two rows. pictures: of shape (10, 1, 28, 28). titles: one for each."""
    figure, all_axes = plt.subplots(2, 5, figsize=(10, 4.6))
    for axes, picture, title in zip(all_axes.flat, pictures, titles):
        axes.imshow(picture[0], vmin=-0.5, vmax=1.5)
        axes.set_title(title)
        axes.axis("off")
    return figure


def plot_training(history: Sequence[Sequence[float]]) -> Figure:
    """Two plots side by side, with a line for each branch: the losses and the accuracies.

    history: for each epoch the loss of cat, the loss of car, the accuracy of cat and the accuracy of car, from 0 to 1.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.6))
    for branch, name in enumerate(NAMES):
        left.plot([row[branch] for row in history], label=name)
        right.plot([100 * row[2 + branch] for row in history], label=name)
    left.set_ylabel("held-out loss")
    right.set_ylabel("held-out accuracy in %")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.legend()
    figure.tight_layout()
    return figure


def plot_cosines(epochs: Sequence[Sequence[float]]) -> Figure:
    """A bar for each of the three convolutions of the trunk, after each epoch. epochs: for each, the three cosines."""
    figure, axes = plt.subplots()
    for layer, hatch in zip(range(3), ("", "//", "xx")):
        places = [epoch + 0.25 * (layer - 1) for epoch in range(len(epochs))]
        axes.bar(places, [cosines[layer] for cosines in epochs], width=0.25, hatch=hatch, edgecolor="white",
                 label=f"conv {layer + 1}")
    axes.axhline(0, color="black", linewidth=1, marker="")
    axes.set_xlabel("epochs of training")
    axes.set_ylabel("cosine")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure
