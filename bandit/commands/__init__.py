"""The commands of `bandit`; what is heavy is imported when one runs."""
