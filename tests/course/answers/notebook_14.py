"""Answers to the exercises of notebook 14."""

from answers import right, wrong

right("14.1", ["def answer_1(x): return x * 2"])

wrong("14.1", [
    ("def answer_1(x): return x", "other numbers"),
    ("def answer_1(x):\n    return x.sum() / zero", "`zero` is not defined", "line 2: return x.sum() / zero"),
])

right("14.2", ["def answer_2(x): return x * 3"])

wrong("14.2", [
    ("def answer_2(x): return x", "other numbers"),
    ("def answer_2(x):\n    return x.sum() / zero", "`zero` is not defined", "line 2: return x.sum() / zero"),
])

right("14.3", ["def answer_3(x): return x * 4"])

wrong("14.3", [
    ("def answer_3(x): return x", "other numbers"),
    ("def answer_3(x):\n    return x.sum() / zero", "`zero` is not defined", "line 2: return x.sum() / zero"),
])
