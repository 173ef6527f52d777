"""What only those who work on Threadline run."""
