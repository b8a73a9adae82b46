// A client that lives through a restart of its server: node restart.mjs URL TRANSPORT[,TRANSPORT]
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, transports] = process.argv.slice(2);
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const socket = io(url, { transports: transports.split(","), reconnectionDelay: 50, reconnectionDelayMax: 200 });
let times = 0;
socket.on("disconnect", (reason, details) => tell("disconnect", [reason, details?.context?.code ?? null]));
socket.on("connect", async () => {
  tell("connect", await socket.emitWithAck("echo", ++times));
  if (times === 2) socket.disconnect();
});
