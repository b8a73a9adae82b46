"""Workflows: how a notification unfolds. Pure, but for the catalog that keeps their versions."""
