"""What the generator is taught: which texts won, as rows to learn from."""
