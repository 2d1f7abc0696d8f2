"""What every request shares: problems, validation, request ids and timing, logs, probes, documentation."""
