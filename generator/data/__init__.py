"""What the log teaches: rows to fine-tune on, and what is left out of them."""
