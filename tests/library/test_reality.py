"""Programs after what people post: each raises the message of its thread, and explain names the case that its docstring does."""

import json

import pytest

import clinic_log

each_program = pytest.mark.parametrize("program", clinic_log.programs(), ids=lambda program: program.path.stem)
VERDICTS = json.loads(clinic_log.VERDICTS.read_text(encoding="utf-8"))


@each_program
def test_the_message_is_that_of_the_thread_and_explain_says_what_the_log_has(program):
    ended = clinic_log.run(program)
    output = ended.stdout + ended.stderr
    if program.message:
        assert ended.returncode != 0 and program.says(ended.stderr), output
    else:
        assert ended.returncode == 0, output
    assert clinic_log.named(output) == VERDICTS[program.path.stem], output


def test_no_verdict_is_wrong():
    wrong = [program.path.stem for program in clinic_log.programs()
             if clinic_log.verdict(program, VERDICTS[program.path.stem]).startswith("wrong")]
    assert wrong == []
