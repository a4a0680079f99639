"""One question a file, its baseline measured in the same run."""
