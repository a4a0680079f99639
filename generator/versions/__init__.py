"""A version of the generator must prove itself before it writes, and can be taken back."""
