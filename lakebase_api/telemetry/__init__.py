"""What the service tells of itself: metrics, usage, and the state of its workers."""
