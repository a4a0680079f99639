"""Whether a log can tell at all what a policy would have earned."""
