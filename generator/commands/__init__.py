"""The commands of `generator`, and `copyloop`; what is heavy is imported when one runs."""
