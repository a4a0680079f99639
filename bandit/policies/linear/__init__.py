"""Linear models of context and creative."""
