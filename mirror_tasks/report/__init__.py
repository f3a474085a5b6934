"""What is told of a plan to who asks."""
