// The handlers that every measured server has. Settings come from the environment: PING_INTERVAL_S, JWT_SECRET.
import jwt from "jsonwebtoken";

const { PING_INTERVAL_S, JWT_SECRET } = process.env;

export const pingInterval = Number(PING_INTERVAL_S ?? 25) * 1000;
export const port = Number(process.argv[2]);

export function handle(io) {
  if (JWT_SECRET) {
    io.use((socket, next) => {
      jwt.verify(socket.handshake.auth.token, JWT_SECRET, { algorithms: ["HS256"], issuer: "bench", audience: "clarion" }, (error, claims) => {
        socket.data.user = claims?.sub;
        next(error);
      });
    });
  }
  io.on("connection", (socket) => {
    socket.on("join", (room, ack) => {
      socket.join(`room-${room}`);
      ack(true);
    });
    socket.on("broadcast", (message) => io.emit("tick", message));
    socket.on("burst", ({ n, t, count }) => {
      for (let i = 0; i < count; i++) io.emit("tick", { n: n + i, t });
    });
    socket.on("room", (room, message) => io.to(`room-${room}`).emit("tick", message));
    socket.on("echo", (value, ack) => ack(value));
  });
}
