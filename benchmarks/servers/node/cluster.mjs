// socket.io on Node in several processes, over the Redis adapter: REDIS_URL=… node cluster.mjs PORT WORKERS
// Without @socket.io/sticky, which its documentation asks for only where clients poll: the generator's are WebSockets from the start. (With it,
// 1.0.4 and 2.0.1 on Node 20, some connections in a hundred were never answered.)
import cluster from "node:cluster";
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";
import { handle, pingInterval, port } from "./handlers.mjs";

if (cluster.isPrimary) {
  for (let i = 0; i < Number(process.argv[3]); i++) cluster.fork();
} else {
  const publisher = createClient({ url: process.env.REDIS_URL });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const http = createServer();
  handle(new Server(http, { pingInterval, adapter: createAdapter(publisher, subscriber) }));
  http.listen(port, "127.0.0.1");
}
