"""The policies, and how one is opened by name or loaded from its bytes."""
