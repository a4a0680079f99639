"""OpenFeature's remote evaluation (OFREP 0.3): a placement is a flag, a creative a variant."""
