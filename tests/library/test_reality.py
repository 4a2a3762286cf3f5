"""Programs after what people post: each raises the message of its thread, and explain names the case that its docstring does."""

import pytest

import clinic_log
from project import ROOT

each_program = pytest.mark.parametrize("program", clinic_log.programs(), ids=lambda program: program.path.stem)
EXPLAINS = (ROOT / "seegrad/__main__.py").exists()


def right(program, output):
    """Whether an output of explain names the case of a program, and nothing where it is none of ours."""
    return clinic_log.named(output) == program.case


@each_program
def test_the_message_is_that_of_the_thread_and_explain_names_its_case(program):
    ended = clinic_log.run(program, explaining=EXPLAINS)
    output = ended.stdout + ended.stderr
    if program.message:
        assert ended.returncode != 0 and program.says(ended.stderr), output
    else:
        assert ended.returncode == 0, output
    if EXPLAINS:
        assert right(program, output), output
