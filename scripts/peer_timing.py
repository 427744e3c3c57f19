"""How the benchmarks of peers take a call's time."""

import statistics
import time


def timed(run, budget):
    """Median seconds of a call, after one to warm up."""
    run()
    times = []
    # Three calls at least, unless they take ten times what they may.
    while not times or sum(times) < (budget if len(times) >= 3 else 10 * budget):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
