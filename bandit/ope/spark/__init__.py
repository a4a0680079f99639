"""Policies judged on Apache Spark: the sums of one machine, a partition at a time."""
