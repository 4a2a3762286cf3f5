"""What makes the questions of a notebook answer to a key, and open the run behind them.

It is stored in the output of the set-up cell, so it works with no kernel: in JupyterLab, on pages and in decks.
"""

from pathlib import Path

SAYS = "Questions: choose A, B or C, by click or by key. What is under “Run it yourself” then opens."


class Predictions:
    """The script and the style of the questions, and one sentence on how to answer them."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": SAYS,
                "text/html": f"<p>{SAYS}</p><style>{_source('css')}</style><script>{_source('js')}</script>"}


def _source(kind):
    return Path(__file__).with_suffix(f".{kind}").read_text(encoding="utf-8")


def predictions() -> Predictions:
    """Let the questions of this notebook be answered by click or key: the last line of its set-up cell."""
    return Predictions()
