"""make test-browser where there is no browser: a line on one's own machine, a failure where CI is set."""

import pytest

import browser


@pytest.mark.parametrize("has, words", [([], "No Playwright"), (["pip"], "No browser"), (["pip", "playwright"], "No browser")])
@pytest.mark.parametrize("ci, code", [("", 0), ("true", 1)])
def test_a_missing_browser_fails_in_ci_only(has, words, ci, code, monkeypatch, capsys):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(browser, "install", lambda tool, *more: tool in has)
    monkeypatch.setattr(browser, "find_browser", lambda: None)
    monkeypatch.setattr(browser.subprocess, "run", lambda *command, **more: pytest.fail("no test can be run"))
    assert browser.main([]) == code
    said = capsys.readouterr().out
    assert said.startswith(f"{words}: the browser tests were not run.") and said.count("\n") == 1
