"""What contributors run: the test stages, coverage of the pure cores, generated reference pages."""
