"""Settings of the JupyterLab that `make lab` and `make lecture` open: what it saves has no trace of the machine, the notes
for lecturers are shown with FOR=lecturer, and its kernels soon leave the processors to others where they wait."""

import os

# A kernel inherits these from its server, before it loads PyTorch. PyTorch's threads would keep a processor busy while they wait
# for each other: two kernels that train on two processors may then take twenty times as long. Where they wait asleep
# (OMP_WAIT_POLICY=passive), one kernel alone may take four times as long, because small nets wake them at each step. So they are
# awake for so many turns of a loop, then they sleep (make benchmark).
KERNELS = {"GOMP_SPINCOUNT": "1000"}
for name, value in KERNELS.items():
    os.environ.setdefault(name, value)


def without_version(model, **_):
    """Leave the version of Python out of a notebook that is saved: to open and save one changes no byte then."""
    if model["type"] == "notebook":
        model["content"]["metadata"].get("language_info", {}).pop("version", None)


c.ContentsManager.pre_save_hook = without_version       # type: ignore[name-defined] # noqa: F821 (Jupyter gives it)
# A page of JupyterLab holds these words; notebooks/course/predictions.js reads them.
# VOTES is the address of classroom/votes.py, on a hub that has it.
c.ServerApp.tornado_settings = {"page_config_data": {   # type: ignore[name-defined] # noqa: F821
    "courseFor": os.environ.get("FOR", ""), "courseVotes": os.environ.get("VOTES", "")}}
