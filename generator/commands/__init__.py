"""The commands of `generator`, a module each; what is heavy is imported when one runs."""
