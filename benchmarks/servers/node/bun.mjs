// socket.io on Bun, on the official engine for it: bun bun.mjs PORT
import { Server as Engine } from "@socket.io/bun-engine";
import { Server } from "socket.io";
import { handle, pingInterval, port } from "./handlers.mjs";

const io = new Server();
const engine = new Engine({ path: "/socket.io/", pingInterval });
io.bind(engine);
handle(io);
Bun.serve({ hostname: "127.0.0.1", port, ...engine.handler() });
