// A client whom operators watch: says what happens to it, a JSON line each.
import { createRequire } from "node:module";

const { io } = createRequire(new URL("../../clients/", import.meta.url))("socket.io-client");
const say = (...fact) => console.log(JSON.stringify(fact));

const socket = io(process.argv[2], { transports: ["websocket"] });
socket.on("connect", () => say("connect", socket.id));
socket.on("said", (text) => say("said", text));
socket.on("disconnect", (reason) => {
  say("disconnect", reason);
  process.exit();
});
process.stdin.on("data", (text) => socket.emit("say", String(text).trim()));
