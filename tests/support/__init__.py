"""Helpers of the tests: real neighbours that are started for them, and stand-ins that keep the same promises."""
