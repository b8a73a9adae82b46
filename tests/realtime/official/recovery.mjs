// A client that loses its connection and comes back: node recovery.mjs URL TRANSPORT[,TRANSPORT] [early]
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, transports, early] = process.argv.slice(2);
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const known = { token: "fresh" };
const options = {
  transports: transports.split(","),
  reconnectionDelay: 10,
  reconnectionDelayMax: 20,
  forceNew: true,
  auth: (give) => give(known),
};
const socket = io(url, options);
const cut = () => socket.io.engine.close();
let times = 0;

socket.on("connect", () => {
  tell("connect", [socket.recovered, socket.id]);
  if (early && ++times === 1) cut();
});
socket.on("connect_error", (error) => {
  if (!error.data) return; // nobody answers: it tries again by itself
  tell("refused", error.data.code);
  known.token = "fresh";
  socket.connect();
});
socket.on("disconnect", (reason) => tell("disconnect", reason));
socket.onAny((name, ...args) => {
  if (name === "cut") {
    known.token = args[0];
    cut();
  } else if (name === "twin") {
    // As if the first connection had died unnoticed, and the client had connected again.
    socket.io.reconnection(false);
    const twin = io(url, options);
    twin._pid = socket._pid;
    twin._lastOffset = args[0];
    twin.onAny((...heard) => tell("twin heard", heard.slice(0, -1)));
    twin.on("connect", () => tell("twin", [twin.recovered, twin.id]));
  } else {
    tell(name, args.slice(0, -1).map((arg) => (Buffer.isBuffer(arg) ? [...arg] : arg)));
  }
});
