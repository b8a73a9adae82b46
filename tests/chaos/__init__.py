"""Bulk sends during which processes and databases die, and audits of every row afterwards."""
