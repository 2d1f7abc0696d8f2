"""Answers that are kept in memory, and work that is done once for all who wait for it."""
