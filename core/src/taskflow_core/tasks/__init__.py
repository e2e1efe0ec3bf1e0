"""What a task is and how it may change."""
