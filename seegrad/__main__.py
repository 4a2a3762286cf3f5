"""Run a script as Python does, and explain the error of autograd that ends it: python -m seegrad script.py

Or ask which case of the error clinic a message is: python -m seegrad --message "Trying to backward through the graph"
"""

import argparse
import contextlib
import os
import sys
import traceback
import types

from . import passes
from .cases import look_up
from .explaining import explain_error


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m seegrad", description=__doc__.partition("\n")[0])
    parser.add_argument("--message", help="an error message: say which case of the error clinic it is, and run nothing")
    parser.add_argument("--save", metavar="error.html", help="write the explanation, with its picture, to this page")
    parser.add_argument("script", nargs="?", help="the script to run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the script gets in sys.argv")
    options = parser.parse_args()
    if options.message is not None:
        return _say_case(options.message)
    if options.script is None:
        parser.error("there is no script: give one, as in `python -m seegrad train.py`, or --message")
    if not os.path.isfile(options.script):
        parser.error(f"there is no file {options.script}")
    return _run(options.script, options.arguments, options.save)


def _say_case(message: str) -> int:
    found = look_up(message)
    for case in found:
        print(f"error clinic, case {case.number} ({case.link}): {case.title}. The cause: {case.cause}. Fix: {case.fix}.")
    if not found:
        print("Not known: this is no message of the error clinic.", file=sys.stderr)
    return not found


def _run(script: str, arguments: list[str], save: str | None) -> int:
    program = types.ModuleType("__main__")      # what the script defines can be pickled, as when Python runs it
    file = program.__file__ = os.path.abspath(script)
    sys.modules["__main__"] = program
    sys.argv = [script, *arguments]
    sys.path[0] = os.path.dirname(file)
    passes.begin()
    try:
        with open(file, "rb") as source:
            exec(compile(source.read(), file, "exec"), vars(program))
    except Exception as error:
        _drop_our_frames(error)
        traceback.print_exception(error)
        with contextlib.suppress(Exception):        # of ours: the error itself has been shown
            explanation = explain_error(error)
            if explanation is not None:
                print(f"\n{explanation}", file=sys.stderr)
                if save:
                    print(f"\nwritten: {explanation.save(save)}", file=sys.stderr)
        return 1
    return 0


def _drop_our_frames(error: BaseException) -> None:
    """Take the frames through which we have run the script, and its backward passes, out of what is shown of an error."""
    before, following = None, error.__traceback__
    while following is not None:
        if following.tb_frame.f_code.co_filename not in (__file__, passes.__file__):
            before = following
        elif before is not None:
            before.tb_next = following.tb_next
        else:
            error.__traceback__ = following.tb_next
        following = following.tb_next


if __name__ == "__main__":
    sys.exit(main())
