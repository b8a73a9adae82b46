// Node's socket.io with the handlers that every measured server has, over its default engine (ws).
//
//     node node.mjs PORT
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, { transports: ["websocket"], serveClient: false });
let joined = 0;

io.on("connection", (socket) => {
  socket.join(`room-${Math.floor(joined++ / 10)}`);
  socket.on("broadcast", (pad) => io.emit("tick", pad));
  socket.on("burst", (count) => {
    for (let i = 0; i < count; i++) io.emit("tick", { n: 1 });
  });
  socket.on("echo", (value, ack) => ack(value));
  socket.on("room", (room, t) => io.to(`room-${room}`).emit("tick", { t }));
});
http.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("listening"));
