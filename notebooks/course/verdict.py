"""How the verdict on an answer shows itself: at a glance, with the sentence, the line and the picture beside each other."""

import html
from dataclasses import dataclass

from seegrad.saving import Shown

RIGHT, WRONG, OPEN = "right", "not yet", "not answered yet"

# White on these can be read, and they stand out from a light and from a dark page.
_SIGNS = {RIGHT: ("✓", "#2e7d32"), WRONG: ("✗", "#c62828")}


@dataclass(frozen=True)
class Verdict:
    """What a check says of an answer, for Jupyter and as text.

    name: of the exercise, as in "03.1".
    state: RIGHT, WRONG or OPEN.
    sentence: what is wrong, or the idea of what is right; may be empty.
    line: the line of the learner's code that is meant, as in "line 5: loss.backward()"; may be empty.
    picture: the graph that shows it, or None.
    """

    name: str
    state: str
    sentence: str = ""
    line: str = ""
    picture: Shown | None = None

    def __repr__(self) -> str:
        sign = f"{_SIGNS[self.state][0]} " if self.state in _SIGNS else ""
        first = f"Exercise {self.name}: {sign}{self.state}." + f" {self.sentence}" * bool(self.sentence)
        return "\n".join(filter(None, [first, self.line, repr(self.picture) if self.picture else ""]))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        sign, colour = _SIGNS.get(self.state, ("", "#616161"))
        words = [f'<p style="margin: 0.2em 0 0.6em"><strong>Exercise {self.name}:</strong> '
                 f'<strong style="padding: 0.1em 0.5em; border-radius: 4px; white-space: nowrap; color: white; '
                 f'background: {colour}">{f"{sign} {self.state}".strip()}</strong></p>']
        if self.sentence:
            words.append(f'<p style="margin: 0.4em 0">{html.escape(self.sentence)}</p>')
        if self.line:
            place, _, code = self.line.partition(": ")
            words.append(f'<p style="margin: 0.4em 0">{html.escape(place)}: <code>{html.escape(code)}</code></p>')
        parts = [f'<div style="flex: 1 1 300px; min-width: 0">{"".join(words)}</div>']
        if self.picture:
            parts.append(f'<div style="flex: 2 1 400px; min-width: 0">{self.picture._repr_mimebundle_()["text/html"]}</div>')
        shown = (f'<div class="verdict" style="display: flex; flex-wrap: wrap; gap: 0 1.5em; margin: 0.3em 0; padding: 0 0.8em; '
                 f'border-left: 5px solid {colour}">{"".join(parts)}</div>')
        return {"text/plain": repr(self), "text/html": shown}
