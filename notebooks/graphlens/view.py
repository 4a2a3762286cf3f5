"""How a picture shows itself in a notebook. The only module that knows HTML.

Every display carries its sentences twice: `text/plain` is the transcript, which the regression run compares;
`text/html` is the picture with alt text. The picture is an <img>, because JupyterLab shows no other form of SVG in a
notebook that has not been run or trusted on this machine.
"""

import base64
import functools
import html
import os
from pathlib import Path

from .diagram import make_diagram, node_counts
from .drawing import draw
from .transcript import make_alt, make_transcript


class Picture:
    """A picture that shows itself in Jupyter and has a text of its own.

    svg: the picture, an SVG string. alt: what the picture shows, in words. caption: a line under it.
    transcript: the text that stands for it where no picture can be shown.
    """

    def __init__(self, svg, alt, caption="", transcript=""):
        self.svg, self.alt, self.caption, self.transcript = svg, alt, caption, transcript or alt

    def save(self, path):
        """Write the picture to a file that ends in .svg and return its path.

        Raises ValueError for another ending and OSError where the file cannot be written.
        """
        path = Path(path)
        if path.suffix != ".svg":
            raise ValueError(f"save() writes SVG, but the path is {str(path)!r}: let it end in .svg.")
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")      # what stands at `path` is not lost
        try:                                                            # when drawing or the disk fails
            unfinished.write_text(self.svg, encoding="utf-8", newline="\n")
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        return path

    def __repr__(self):
        return self.transcript

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": self.transcript, "text/html": self._figure()}

    def _figure(self):
        data = base64.b64encode(self.svg.encode()).decode()
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        text = ("<details><summary>The picture as text</summary>"
                f"<pre>{html.escape(self.transcript)}</pre></details>") if self.transcript != self.alt else ""
        return (f'<figure style="margin: 0.5em 0"><img alt="{html.escape(self.alt)}" src="data:image/svg+xml;base64,{data}">'
                f"{caption}{text}</figure>")


class GraphView(Picture):
    """A computation graph at the moment when :func:`graphlens.show_graph` was called.

    snapshot: the facts, a :class:`graphlens.snapshot.GraphSnapshot`. transcript, alt and caption: the same in words.
    svg: the picture, or an empty string where the graph is too large to draw. It is drawn when it is first asked for.
    """

    def __init__(self, snapshot, detail, max_boxes):
        self.snapshot = snapshot
        self.detail = detail
        self.max_boxes = max_boxes

    @functools.cached_property
    def diagram(self):
        return make_diagram(self.snapshot, self.detail)

    @property
    def is_too_large(self):
        return len(self.diagram.boxes) > self.max_boxes

    @functools.cached_property
    def svg(self):
        return "" if self.is_too_large else draw(self.diagram, self.alt)

    @property
    def alt(self):
        return make_alt(self.diagram)

    @property
    def caption(self):
        return self.diagram.headline

    @functools.cached_property
    def transcript(self):
        return self._summary() if self.is_too_large else make_transcript(self.diagram)

    def save(self, path):
        if self.is_too_large:
            raise ValueError(self._too_large())
        return super().save(path)

    def _too_large(self):
        coarser = {"full": 'detail="compact" or detail="folded"', "compact": 'detail="folded"',
                   "folded": "fewer named tensors"}[self.detail]
        return (f"This graph has {len(self.diagram.boxes)} boxes at detail={self.detail!r}, too many to draw "
                f"(the limit is max_boxes={self.max_boxes}): try {coarser}, or a larger max_boxes.")

    def _summary(self):
        kinds = [f"{count:>6} {name}" for name, count in node_counts(self.snapshot)]
        return "\n".join([self.diagram.headline, self._too_large(), *kinds])

    def _figure(self):
        if self.is_too_large:
            return f"<pre>{html.escape(self.transcript)}</pre>"
        return super()._figure()


class SideBySide:
    """Pictures in a row, each under its title. Made by :func:`graphlens.side_by_side`."""

    def __init__(self, pictures):
        self.pictures = pictures

    def __repr__(self):
        return "\n\n".join(f"{title}\n{picture!r}" for title, picture in self.pictures.items())

    def _repr_mimebundle_(self, include=None, exclude=None):
        cells = "".join('<div style="display: inline-block; vertical-align: top; margin-right: 2em">'
                        f"<p><strong>{html.escape(title)}</strong></p>{picture._figure()}</div>"
                        for title, picture in self.pictures.items())
        return {"text/plain": repr(self), "text/html": f"<div>{cells}</div>"}
