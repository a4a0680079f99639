"""Decide, learn, judge: policies, the service that asks them, and replay."""
