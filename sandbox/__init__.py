"""Runs an untrusted program in isolation; knows nothing of problems, scores or users."""
