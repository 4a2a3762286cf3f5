"""Open a notebook as live slides, in JupyterLab with RISE: python tools/lecture.py 03 [options for JupyterLab]"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def settings(folder):
    """Write the settings of JupyterLab for a lecture into a folder: the look of the slides, and no questions about news."""
    look = (ROOT / "tools/deck/slides.css").read_text(encoding="utf-8")
    for name, values in {
        "jupyterlab-rise/plugin": {"overlay": f"<style>{look}</style>", "theme": "white", "center": False, "transition": "none"},
        "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    }.items():
        file = Path(folder, f"{name}.jupyterlab-settings")
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values), encoding="utf-8")


def main(number="", *options):
    notebooks = {path.name[:2]: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    if number not in notebooks:
        sys.exit(f"There is no notebook {number or 'without a number'}: the numbers are {', '.join(notebooks)}, as in "
                 "make lecture N=03")
    path = notebooks[number].relative_to(ROOT)
    subprocess.run([sys.executable, "-m", "jupyter", "trust", path], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    # Settings of their own, so that neither the look of the slides gets into the reader's JupyterLab nor its look into them.
    with tempfile.TemporaryDirectory() as folder:
        settings(folder)
        command = [sys.executable, "-m", "jupyterlab", "--ServerApp.root_dir=.",
                   f"--LabApp.default_url=/rise/{path.as_posix()}", *options]
        try:
            sys.exit(subprocess.call(command, cwd=ROOT, env={**os.environ, "JUPYTERLAB_SETTINGS_DIR": folder}))
        except KeyboardInterrupt:
            pass        # JupyterLab has said goodbye itself


if __name__ == "__main__":
    main(*sys.argv[1:])
