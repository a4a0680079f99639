"""Files outside the log: how they are written, and what is read in them."""
