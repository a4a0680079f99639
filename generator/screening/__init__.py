"""Screening: what a model wrote gets to people only through these gates, each with a reason."""
