// The chat before, on Node's own server: `PORT=3000 node before_node.mjs`, where `npm install socket.io` has been.
import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer().listen(process.env.PORT);

const io = new Server(http);

io.use((socket, next) => {
  const name = socket.handshake.auth.name;
  if (!name) return next(new Error("a name, please"));
  socket.data.name = name;
  next();
});

io.on("connection", (socket) => {
  const name = socket.data.name;
  socket.join("lobby");
  socket.to("lobby").emit("joined", name);

  socket.on("say", (text, ack) => {
    socket.to("lobby").emit("said", { by: name, text });
    ack({ ok: true });
  });

  socket.on("who", async (ack) => {
    const there = await io.in("lobby").fetchSockets();
    ack(there.map((each) => each.data.name));
  });

  socket.on("disconnecting", (reason) => {
    socket.to("lobby").emit("left", name);
  });
});
