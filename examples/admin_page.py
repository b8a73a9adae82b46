"""A server that Socket.IO's admin page can look at: `python examples/admin_page.py`."""

from clarion.realtime import Server
from clarion.realtime.admin import AdminUi, instrument

io = Server(allowed_origins=["https://admin.socket.io"])  # where the page is hosted
instrument(io, AdminUi(password="a long password", mode="development"))

if __name__ == "__main__":
    io.run(port=3000)
