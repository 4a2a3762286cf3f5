"""To import this puts the mutant to work that the variable MUTANT names: in the processes that a notebook starts."""

import os

from mutants import load

if os.environ.get("MUTANT"):
    load()[os.environ["MUTANT"]].apply()
