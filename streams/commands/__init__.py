"""The commands of `streams`, and what those of all packages share: options and output."""
