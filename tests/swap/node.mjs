// A server of Node with the official streams adapter and recovery: node node.mjs REDIS_SOCKET PORT. SIGTERM ends it in order.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [redis, port] = process.argv.slice(2);
const client = createClient({ socket: { path: redis } });
await client.connect();
const http = createServer();
const io = new Server(http, {
  adapter: createAdapter(client),
  connectionStateRecovery: { maxDisconnectionDuration: 60_000 },
});
io.on("connection", (socket) => {
  if (!socket.recovered) {
    socket.join(socket.handshake.auth.room);
    // Who has had nothing yet has no place in the stream, and Node does not know it when it comes back.
    socket.emit("hello", 0);
  }
  socket.on("say", (id, ack) => {
    io.to(socket.handshake.auth.room).emit("said", id);
    ack("node");
  });
});
http.listen(Number(port), "127.0.0.1", () => console.log("ready"));
process.on("SIGTERM", () => {
  io.close();
  // What it keeps of its clients is on its way to Redis.
  setTimeout(() => process.exit(0), 1_000);
});
