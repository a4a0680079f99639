"""The catalogue: its state as a fold, its one writer, and the audit log of changes."""
