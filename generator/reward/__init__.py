"""What a creative's text promises: a model of reward, learned from those that were shown."""
