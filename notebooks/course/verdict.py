"""What a check says of an answer, and how that shows itself: at a glance, with sentence, line and picture beside each other."""

import html
import re
from dataclasses import dataclass

from seegrad.saving import Shown
from seegrad.view import ERROR_COLOUR, beside

RIGHT, WRONG, OPEN = "right", "not yet", "not answered yet"

# White on these can be read, and they stand out from a light and from a dark page.
_SIGNS = {RIGHT: ("✓", "#2e7d32"), WRONG: ("✗", ERROR_COLOUR)}


class Wrong(Exception):
    """What is wrong with an answer.

    sentence: the symptom, what is seen, for the learner. The cure stands in the hints.
    picture: the graph of the answer, where that is the matter.
    line: the line of the learner's code that is meant, as `Run.show` tells it. Where an error came through a line, and none is
        given, that one is shown.
    """

    def __init__(self, sentence: str, picture: Shown | None = None, line: str = "") -> None:
        super().__init__(sentence)
        self.picture, self.line = picture, line


@dataclass(frozen=True)
class Idea:
    """What a right answer shows.

    sentence: the idea of the exercise.
    picture: the graph that proves the answer.
    """

    sentence: str
    picture: Shown | None = None


@dataclass(frozen=True)
class Verdict:
    """What is shown, in Jupyter and as text.

    name: of the exercise, as in "03.1".
    state: RIGHT or WRONG.
    sentence: what is wrong, or the idea of what is right; may be empty. Code in it stands in backticks.
    line: the line of the learner's code that is meant, as in "line 5: loss.backward()"; may be empty.
    picture: the graph that shows it, or None.
    """

    name: str
    state: str
    sentence: str = ""
    line: str = ""
    picture: Shown | None = None

    def __repr__(self) -> str:
        first = f"Exercise {self.name}: {_SIGNS[self.state][0]} {self.state}." + f" {self.sentence}" * bool(self.sentence)
        return "\n".join(filter(None, [first, self.line, repr(self.picture) if self.picture else ""]))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        sign, colour = _SIGNS[self.state]
        words = [f'<p style="margin: 0.2em 0 0.6em"><strong>Exercise {self.name}:</strong> '
                 f'<strong style="padding: 0.1em 0.5em; border-radius: 4px; white-space: nowrap; color: white; '
                 f'background: {colour}">{sign} {self.state}</strong></p>']
        if self.sentence:
            sentence = re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(self.sentence))
            words.append(f'<p style="margin: 0.4em 0">{sentence}</p>')
        if self.line:
            place, _, code = self.line.partition(": ")
            words.append(f'<p style="margin: 0.4em 0">{html.escape(place)}: <code>{html.escape(code)}</code></p>')
        shown = beside("".join(words), self.picture, colour, "verdict")
        return {"text/plain": repr(self), "text/html": shown}

