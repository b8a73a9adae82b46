"""Every captured exchange of the official server over HTTP and WebSocket; test_http_vectors.py replays them."""
