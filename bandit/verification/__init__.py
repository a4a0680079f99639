"""Decisions and shortlists are derived again from the log, and compared with what was logged."""
