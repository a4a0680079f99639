"""The archive in Parquet, and backups of the log."""
