"""Figures of what happens now and happened lately, for pages and alerts: a fold over the log."""
