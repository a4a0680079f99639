"""What a request may choose from, and the question to the policy."""
