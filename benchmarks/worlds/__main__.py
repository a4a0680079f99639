"""Plays the suite of worlds: `python -m benchmarks.worlds --help`."""

from benchmarks.worlds.referee import main

main()
