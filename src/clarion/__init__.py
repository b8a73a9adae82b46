"""Clarion: real-time features and notifications for any application, in one process."""

__version__ = "0.1.0"
