"""The Upworthy Research Archive (Matias et al. 2021, Scientific Data; CC BY 4.0) as A/B tests."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bandit.abtests.data import AbTest, WeekRange, read_ab_tests

DATA: Final = Path(__file__).parents[2] / "shared" / "data" / "upworthy.parquet"
COLUMNS: Final = {"test": "clickability_test_id", "week": "test_week"}
FAULTY_WEEKS: Final[WeekRange] = (201326, 201402)
"""Weeks in which visitors were not randomised evenly."""
OPTIONS: Final = (
    *("--column", "test=clickability_test_id", "--column", "week=test_week"),
    *("--exclude-weeks", "201326-201402"),
)
"""The same on the command line."""


def read_upworthy(*, min_headlines: int = 3, min_impressions: int = 1000) -> list[AbTest]:
    """Returns the archive's tests that qualify, without the faulty weeks; see `read_ab_tests`."""
    return read_ab_tests(
        DATA,
        columns=COLUMNS,
        min_headlines=min_headlines,
        min_impressions=min_impressions,
        exclude_weeks=FAULTY_WEEKS,
    )
