// So many official clients, in turn by polling alone, by polling and then WebSocket, and by WebSocket: what became of them.
// node crowd.mjs URL COUNT
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, count] = [process.argv[2], Number(process.argv[3])];
const KINDS = [["polling"], ["polling", "websocket"], ["websocket"]];
const ECHOES = 4;

const one = (n) =>
  new Promise((resolve) => {
    const transports = KINDS[n % KINDS.length];
    const socket = io(url, { transports, forceNew: true, reconnection: false });
    const end = (what) => {
      resolve(what);
      socket.close();
    };
    socket.on("connect_error", (error) => end(`refused: ${error.message} ${error.context?.responseText ?? ""}`));
    socket.on("disconnect", (reason) => end(`lost: ${reason}`));
    socket.on("connect", async () => {
      const upgraded = new Promise((done) => {
        if (socket.io.engine.transport.name === transports.at(-1)) done();
        else socket.io.engine.once("upgrade", done);
      });
      for (let k = 0; k < ECHOES; k++) {
        const sent = { k, pad: "x".repeat(k * 30_000) };
        const got = await socket.timeout(10_000).emitWithAck("echo", sent).catch((error) => error.message);
        if (got?.k !== k || got.pad.length !== sent.pad.length) return end(`echo: ${got}`);
        if (k === 1) await upgraded;
      }
      end(socket.io.engine.transport.name);
    });
  });

const became = {};
for (const what of await Promise.all(Array.from({ length: count }, (_, n) => one(n)))) {
  became[what] = (became[what] ?? 0) + 1;
}
console.log(JSON.stringify({ fact: "became", value: became }));
process.exit(0);
