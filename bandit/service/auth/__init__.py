"""Who is asking, what they may, and what is kept from whom."""
