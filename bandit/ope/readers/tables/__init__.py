"""Tables of any kind as logs of decisions."""
