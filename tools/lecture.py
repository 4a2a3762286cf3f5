"""Open a notebook as live slides, in JupyterLab with RISE: make lecture N=03"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from project import ROOT, notebooks


def look_of_slides() -> dict[str, str | bool]:
    """The settings of RISE for a lecture."""
    style = (ROOT / "tools/deck/slides.css").read_text(encoding="utf-8")
    return {"overlay": f"<style>{style}</style>", "theme": "white", "center": False, "transition": "none"}


def settings(folder: Path | str) -> None:
    """Write the settings of JupyterLab for a lecture into a folder: the look of the slides, and no questions about news."""
    for name, values in {
        "jupyterlab-rise/plugin": look_of_slides(),
        "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }.items():
        file = Path(folder, f"{name}.jupyterlab-settings")
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values), encoding="utf-8")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", nargs="?", default="", help="of the notebook, as in 03")
    chosen, options = parser.parse_known_args(arguments)     # the other options are JupyterLab's
    numbers = {path.name[:2]: path for path in notebooks()}
    if chosen.number not in numbers:
        sys.exit(f"There is no notebook {chosen.number or 'without a number'}: the numbers are {', '.join(numbers)}, as in "
                 "make lecture N=03")
    path = numbers[chosen.number].relative_to(ROOT)
    subprocess.run([sys.executable, "-m", "jupyter", "trust", path], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    # Settings of their own, so that neither the look of the slides gets into the reader's JupyterLab nor its look into them.
    with tempfile.TemporaryDirectory() as folder:
        settings(folder)
        variables = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": folder, "JUPYTER_CONFIG_PATH": str(ROOT / "tools/lab"),
                     "FOR": "lecturer"}
        command = [sys.executable, "-m", "jupyterlab", "--ServerApp.root_dir=.",
                   f"--LabApp.default_url=/rise/{path.as_posix()}", *options]
        try:
            sys.exit(subprocess.call(command, cwd=ROOT, env=variables))
        except KeyboardInterrupt:
            pass        # JupyterLab has said goodbye itself


if __name__ == "__main__":
    main()
