// Values that only MessagePack has, through the official client: node values.mjs URL TRANSPORT[,TRANSPORT]
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, transports] = process.argv.slice(2);
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const socket = io(url, { transports: transports.split(","), parser: require("socket.io-msgpack-parser") });
socket.on("values", (date, number, bytes) => {
  tell("heard", [date instanceof Date && date.toISOString(), String(number), Buffer.isBuffer(bytes) && [...bytes]]);
});
tell("said", await socket.emitWithAck("types", new Date(1e12), Number.NaN, new Uint8Array([1, 2]), { a: undefined, b: [undefined] }, 1, -1.5));
socket.disconnect();
