"""What operators see: messages with their timelines, triggers, runs."""
