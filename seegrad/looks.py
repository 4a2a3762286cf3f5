"""How a diagram looks, as plain data: the pictures and the player are both made from it, so they look alike."""

from dataclasses import dataclass
from textwrap import wrap

from .diagram import BASE, GROUP, LEAF, NODE, RESULT, UNTRACKED
from .snapshot import ALIVE, CHANGED, FREED


@dataclass(frozen=True)
class SlotLook:
    """How a slot looks. Colours are those that both Graphviz and CSS know.

    mark: the sign before its words, for readers who see no colour.
    fill: the colour behind its words.
    border: the colour of its border.
    width: the width of its border, in points.
    dashed: whether its border is dashed.
    padding: the room between its border and its words, in points.
    """

    mark: str
    fill: str
    border: str = "black"
    width: int = 1
    dashed: bool = False
    padding: int = 4


SLOTS = {ALIVE: SlotLook("●", fill="orange"),
         FREED: SlotLook("○", fill="white", dashed=True),
         CHANGED: SlotLook("▲", fill="#ffd0d0", border="#b00020", width=4, padding=7)}
GUILTY = SlotLook("✗", fill="white", border="#b00020", width=4)      # what a mark is on, and the row with its words
WIDEST_BLAME = 34       # characters in a line of the words of a mark: a box stays about as wide as it is
NO_SLOT = SlotLook("", fill="white", border="none")     # a row of the player whose slot is gone

# torchviz's own colours, so that readers know these pictures when they meet others. A browser does not know the names of the two
# greens, darkolivegreen1 and darkolivegreen3.
FILLS = {LEAF: "lightblue", NODE: "lightgrey", GROUP: "lightgrey", RESULT: "#caff70", BASE: "#a2cd5a", UNTRACKED: "white"}

FRAMES = "#eaf1f9", "#f6f9fd"       # behind the boxes of a module that is open; one inside another has the other colour
FRAME_BORDER = "#7799bb"


def blame_in_lines(words: str) -> list[str]:
    """The words of a mark, behind its sign, as lines in a box."""
    return wrap(f"{GUILTY.mark} {words}", WIDEST_BLAME)


def svg_look(look: SlotLook) -> tuple[dict[str, str | int], dict[str, str | int]]:
    """The attributes that Graphviz gives to the two shapes of a slot in its SVG: what is behind its words, its border."""
    dashes = "5,2" if look.dashed else "none"
    return {"fill": look.fill}, {"stroke": look.border, "stroke-width": look.width, "stroke-dasharray": dashes}
