"""Evaluations and feature importances of placements: asked for, done apart, and kept as files."""
