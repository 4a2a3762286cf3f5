"""Time several ways to do a thing, in turns: what else the machine does falls on all of them."""

import statistics
import time

ROUNDS = 15


def medians(ways, rounds=ROUNDS):
    """The milliseconds of each way, by its name.

    ways: for each name a pair: what makes its arguments, and what is timed with them.
    """
    times = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, (prepare, run) in ways.items():
            given = prepare()
            begin = time.perf_counter()
            result = run(*given)
            taken = 1000 * (time.perf_counter() - begin)
            del given, result           # the next way is not to wait until they are freed
            if number:                  # the first round imports and fills caches
                times[way].append(taken)
    return {way: statistics.median(values) for way, values in times.items()}


def heading(columns, *more):
    """The first line of a table. more: of columns of counts."""
    return f"{'':14}" + "".join(f"{word:>8}" for word in more) + "".join(f"{column:>20}" for column in columns)


def row(name, median, *more):
    """A line of a table: milliseconds, each with its ratio to the first. more: counts."""
    base = next(iter(median.values()))
    return (f"{name:14}" + "".join(f"{count:>8}" for count in more)
            + "".join(f"{f'{ms:.1f}  ({ms / base:.2f}x)':>20}" for ms in median.values()))
