"""Ads as advertising platforms take and give them: files in, files out."""
