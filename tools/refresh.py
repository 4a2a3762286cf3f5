"""Run the notebooks and store what they show: make refresh

A second run changes no byte: nothing that differs from run to run or from machine to machine is stored.
"""

import argparse
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from project import notebooks, read, write

# As JupyterLab stores it when it saves a notebook, without the version, which is that of the machine.
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"codemirror_mode": {"name": "ipython", "version": 3}, "file_extension": ".py",
                      "mimetype": "text/x-python", "name": "python", "nbconvert_exporter": "python",
                      "pygments_lexer": "ipython3"},
}


def refresh(path: Path) -> None:
    notebook = read(path)
    NotebookClient(notebook, timeout=120, record_timing=False, coalesce_streams=True, kernel_name="python3",
                   resources={"metadata": {"path": str(path.parent)}}).execute()
    notebook.metadata = METADATA
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                output.pop("transient", None)
    write(path, nbformat.writes(notebook) + "\n")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="paths of notebooks; without any, all of the course")
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"     # the kernel of this environment, whatever else is installed
    for path in parser.parse_args(arguments).notebooks or notebooks():
        print(f"running {path.name}", flush=True)
        try:
            refresh(path.resolve())
        except CellExecutionError as error:
            sys.exit(f"{path.name} stopped with an error; it is left as it was.\n{error}")
        except ValueError as error:
            sys.exit(f"{path.name} {error}; it is left as it was.")
        except OSError as error:
            sys.exit(f"{path.name} cannot be read or written ({error.strerror}); it is left as it was.")


if __name__ == "__main__":
    main()
