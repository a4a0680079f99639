"""The `copyloop` command: every package's commands under one name.

It lives at the top of the arrow, the only place that may see all three packages.
"""

from __future__ import annotations


def main() -> None:
    """Runs the command line."""


if __name__ == "__main__":
    main()
