"""Models that an evaluation fits to a log: of rewards, and of propensities that nobody wrote down.

All are cross-fitted: no decision is judged by a model that has seen it.
"""
