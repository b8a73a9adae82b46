"""Speed, as ratios against something that runs beside it on the same machine, in turn, in one run."""
