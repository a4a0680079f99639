"""Other people's events become outcomes: mappings, and the worker that reads their topics."""
