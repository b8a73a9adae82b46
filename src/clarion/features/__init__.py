"""What people come for on top of topics and sockets: independent slices, none of which imports another."""
