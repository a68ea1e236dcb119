"""Decides whether a submitted operator is right and how fast it is."""
