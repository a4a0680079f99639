"""New creatives: from a brief to screened candidates."""
