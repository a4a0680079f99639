"""What happened and how it moves: events, the log that holds them, and the join."""
