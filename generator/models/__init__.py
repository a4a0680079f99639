"""Models: language models that complete prompts, on this machine or behind a server."""
