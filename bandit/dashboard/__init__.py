"""The dashboard: pages on which people see it learn, and act.

A process of its own that asks the API over HTTP like everyone else, as whoever is signed in, and
keeps nothing: so a slow page slows no rank, and what a page may do the API's guard decides.
"""
