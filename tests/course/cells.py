"""Sources that run as the cells of a notebook do."""

import itertools
import linecache

_number = itertools.count(1)


def run_cells(*sources, **names):
    """Run sources one after the other, as IPython runs cells, and return what their names stand for in the end.

    names: what is there before.
    """
    namespace = {**names, "__name__": "__main__", "_ih": [""]}
    for source in sources:
        namespace["_ih"].append(source)
        file = f"<cell {next(_number)}>"
        linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
        exec(compile(source, file, "exec"), namespace)
    return namespace
