"""Taking a value out of a log that only grows, where somebody has a right to that."""
