"""A team moves over: servers of Node are replaced by Clarion one at a time, and back again, under load; see `__main__`."""
