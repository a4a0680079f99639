"""A package, so that the browser and the dashboard end with its last test."""
