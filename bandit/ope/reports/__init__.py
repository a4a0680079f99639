"""Evaluations as tables, JSON and pages."""
