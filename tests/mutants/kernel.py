"""A kernel in which one mutant is at work, named by the variable MUTANT; an empty name is the control."""

import os

from ipykernel.kernelapp import launch_new_instance

from mutants import load

if __name__ == "__main__":
    mutants = load()
    if os.environ["MUTANT"]:
        mutants[os.environ["MUTANT"]].apply()
    launch_new_instance(extensions=["seegrad"])       # the mutants have imported it before there was a shell
