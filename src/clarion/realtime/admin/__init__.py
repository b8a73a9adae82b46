"""The endpoint of Socket.IO's admin page (`@socket.io/admin-ui`): a namespace in which operators look at the server and act on it.

    instrument(io, AdminUi(password="…"))

Nothing is observed while no page is connected; in `production` mode nothing but counters, which are kept anyway.
"""

from clarion.realtime.admin.endpoint import Admin, instrument
from clarion.realtime.admin.entrance import Verify
from clarion.settings import AdminUi

__all__ = ["Admin", "AdminUi", "Verify", "instrument"]
