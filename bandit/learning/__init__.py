"""Interactions become policies: the fold, trials, versions, and the worker that publishes them."""
