"""Run the notebooks and store what they show. With names, only those: python tools/refresh.py notebooks/01_*.ipynb

A second run changes no byte: nothing that differs from run to run or from machine to machine is stored.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python"}      # without the version: it is that of the machine


def refresh(path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, record_timing=False, coalesce_streams=True, kernel_name="python3",
                   resources={"metadata": {"path": str(path.parent)}}).execute()
    notebook.metadata = {"kernelspec": KERNEL, "language_info": LANGUAGE}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                output.pop("transient", None)
    text = nbformat.writes(notebook) + "\n"
    whole = path.with_suffix(".tmp")    # a notebook is never left half written
    try:
        whole.write_text(text, encoding="utf-8", newline="\n")
        whole.replace(path)
    finally:
        whole.unlink(missing_ok=True)


def main(names):
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"     # the kernel of this environment, whatever else is installed
    for path in [Path(name).resolve() for name in names] or sorted((ROOT / "notebooks").glob("*.ipynb")):
        print(f"running {path.name}", flush=True)
        try:
            refresh(path)
        except CellExecutionError as error:
            sys.exit(f"{path.name} stopped with an error; it is left as it was.\n{error}")
        except OSError as error:
            sys.exit(f"{path.name} cannot be written ({error.strerror}); it is left as it was.")


if __name__ == "__main__":
    main(sys.argv[1:])
