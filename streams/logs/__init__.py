"""The Log protocol, and every log that keeps it."""
