"""Feeds of products: read, made into briefs by a template, and written for one after the other."""
