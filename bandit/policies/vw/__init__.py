"""Vowpal Wabbit as a policy: its options, its models, and the bindings that run it."""
