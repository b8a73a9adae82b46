"""What is known to have broken others."""
