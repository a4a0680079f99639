"""The commands that judge policies on a log; what they run is in `bandit.ope`."""
