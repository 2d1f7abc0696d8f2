"""The statements, each beside the function that runs it."""
