"""Writing: from a brief to texts that pass the screen, and to whole creatives."""
