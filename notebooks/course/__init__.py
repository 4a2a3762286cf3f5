"""The course's own code: exercises that check themselves, and the look of its plots.

    from course import check, progress

It lies beside the notebooks, so that they find it. The graphs are drawn by seegrad, which is installed.
"""

from .checking import check, progress

__all__ = ["check", "progress"]
