"""The demo: the whole loop on one machine, with a simulated audience in front of it."""
