// The unchanged client follows a topic, one JSON line a fact: node processes.mjs URL TOKEN
import { createRequire } from "node:module";

const require = createRequire(new URL("../../../clients/", import.meta.url));
const { io } = require("socket.io-client");

const [url, token] = process.argv.slice(2);
const tell = (fact, value) => console.log(JSON.stringify({ fact, value }));
const socket = io(`${url}/clarion`, { auth: { token }, transports: ["websocket"], reconnectionDelay: 10 });

let since;
const stand = ({ epoch = since.epoch, offset, mark }) => (since = { epoch, offset, mark });
const subscribe = async () => {
  const answer = await socket.emitWithAck("subscribe", { topic: "log:a", since });
  if (answer.error) return setTimeout(subscribe, 50);
  for (const { data } of answer.publications ?? []) tell("said", data);
  stand(answer);
  tell("subscribed", [answer.recovered, answer.reason ?? null]);
};

socket.on("connect", async () => {
  await socket.emitWithAck("subscribe", { topic: "presence:lobby", params: { enter: {} } });
  await subscribe();
});
socket.on("publication", async (publication) => {
  if (!publication.event || publication.topic !== "log:a") return;
  tell("said", publication.data);
  stand(publication);
  if (publication.data !== "go") return;
  // Redis goes away now: another topic can be had no more, which is said in time.
  for (;;) {
    const answer = await socket.timeout(10_000).emitWithAck("subscribe", { topic: "log:b" });
    if (answer.error) return tell("refused", answer.error.code);
  }
});
socket.on("unsubscribed", ({ topic, code }) => {
  if (topic !== "log:a") return;
  tell("unsubscribed", code);
  subscribe();
});
socket.on("disconnect", (reason) => tell("disconnected", reason));
