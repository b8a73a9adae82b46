// The application's own service worker, on its own origin; what Clarion's adds is beside whatever else is done here.
importScripts(`${new URL(self.location).searchParams.get("server")}/v1/push/worker.js`);
