"""Decisions and their outcomes become interactions."""
