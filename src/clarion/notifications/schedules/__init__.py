"""Schedules: workflows that are triggered at a time, once or again and again."""
