"""Answers to the exercises of notebook 15."""

from answers import right, wrong

right("15.1", ["def answer_1(x): return x * 2"])

wrong("15.1", [
    ("def answer_1(x): return x", "other numbers"),
    ("def answer_1(x):\n    return x.sum() / zero", "`zero` is not defined", "line 2: return x.sum() / zero"),
])

right("15.2", ["def answer_2(x): return x * 3"])

wrong("15.2", [
    ("def answer_2(x): return x", "other numbers"),
    ("def answer_2(x):\n    return x.sum() / zero", "`zero` is not defined", "line 2: return x.sum() / zero"),
])

right("15.3", ["def answer_3(x): return x * 4"])

wrong("15.3", [
    ("def answer_3(x): return x", "other numbers"),
    ("def answer_3(x):\n    return x.sum() / zero", "`zero` is not defined", "line 2: return x.sum() / zero"),
])
