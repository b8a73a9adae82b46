// A Socket.IO server of Node with the official adapter and emitter, and clients of its own. It runs the code that it is given, a line each.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { Emitter } from "@socket.io/redis-emitter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient, createCluster } from "redis";
import { Server } from "socket.io";
import { io as connect } from "socket.io-client";

// The socket of a Redis, or URLs of a Cluster; the adapter; and for how long a client may be away (ms), or nothing.
const [where, format, away] = process.argv.slice(2);
const pub = where.startsWith("redis:")
  ? createCluster({ rootNodes: where.split(",").map((url) => ({ url })) })
  : createClient({ socket: { path: where } });
const sub = pub.duplicate();
await Promise.all([pub.connect(), sub.connect()]);
const http = createServer();
const adapters = {
  pubsub: () => createAdapter(pub, sub, { requestsTimeout: 3000 }),
  sharded: () => createShardedAdapter(pub, sub),
  streams: () => createStreamsAdapter(pub),
};
const adapter = adapters[format]();
const connectionStateRecovery = { maxDisconnectionDuration: Number(away) };
const io = new Server(http, { adapter, ...(away && { connectionStateRecovery }) });
const emitter = new Emitter(pub);
await new Promise((ok) => http.listen(0, "127.0.0.1", ok));
const url = `http://127.0.0.1:${http.address().port}`;
const clients = {};
const say = (fact) => console.log(JSON.stringify(fact));

/** A client of this server, in some rooms; what it hears is told, and what it is asked is answered with its name. */
async function client(name, ...rooms) {
  const socket = connect(url, { transports: ["websocket"], forceNew: true, reconnection: false });
  await new Promise((ok) => socket.on("connect", ok));
  const own = io.sockets.sockets.get(socket.id);
  own.join(rooms);
  own.data.name = name;
  socket.onAny((...event) => (typeof event.at(-1) === "function" ? event.at(-1)(name) : say({ to: name, event })));
  socket.on("disconnect", (reason) => say({ to: name, event: ["disconnect", reason] }));
  clients[name] = socket;
  return socket.id;
}

say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const { id, code } = JSON.parse(line);
  const run = eval(`async () => { ${code} }`);
  run().then(
    (value) => say({ id, value: value ?? null }),
    (error) => say({ id, error: error.message, responses: error.responses ?? null }),
  );
}
