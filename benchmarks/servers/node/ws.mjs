// socket.io on Node, on its default engine (ws): node ws.mjs PORT
import { createServer } from "node:http";
import { Server } from "socket.io";
import { handle, pingInterval, port } from "./handlers.mjs";

const http = createServer();
handle(new Server(http, { pingInterval }));
http.listen(port, "127.0.0.1");
