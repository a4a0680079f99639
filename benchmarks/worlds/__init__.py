"""A suite of worlds that says how good a policy is where nobody tuned it.

`tuning` holds the worlds and seeds that a policy may be made with, `held_out` those that only
judge it. `python -m benchmarks.worlds --help` plays them.
"""
