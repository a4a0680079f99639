"""Contexts and creatives become named numbers."""
