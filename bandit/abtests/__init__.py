"""Finished A/B tests: replaying policies on them, and learning a prior from them."""
