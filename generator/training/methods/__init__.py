"""The ways to train an adapter, one a module: each takes a `Job` and trains its model."""
