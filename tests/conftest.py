import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks"))    # where the notebooks find graphlens too


def pytest_collection_modifyitems(items):
    """Run each notebook cell twice in a row, unless its tag `stateful` says that its point is a lasting state.

    A reader does it all the time, and must see the same again. nbval compares both runs with the stored output.
    """
    items[:] = [run for item in items for run in [item, *_again(item)]]


def _again(item):
    cell = getattr(item, "cell", None)      # an item of nbval
    if cell is not None and "stateful" not in cell.metadata.get("tags", []):
        yield type(item).from_parent(item.parent, name=f"{item.name} again", cell_num=item.cell_num, cell=cell,
                                     options=item.options)
