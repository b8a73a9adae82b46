// Who is in a room, and who types there, with the stock client: npm install socket.io-client
// The token grants `topics: {"presence:lobby": ["subscribe", "publish"], "signals:lobby": ["subscribe", "publish"]}`, or `presence.open` lists the room.
import { io } from "socket.io-client";

const socket = io("http://127.0.0.1:8000/clarion", { auth: { token: process.env.CLARION_TOKEN } });
const here = { "presence:lobby": new Map(), "signals:lobby": new Map() };

function show() {
  const users = [...here["presence:lobby"]].map(([user, { status }]) => `${user} (${status})`);
  const typing = [...here["signals:lobby"]].filter(([key]) => key.startsWith("typing:")).map(([, { user }]) => user);
  console.log(users.join(", ") + (typing.length ? `; ${typing.join(", ")} typing` : ""));
}

async function follow(topic, params) {
  const answer = await socket.emitWithAck("subscribe", { topic, ...(params && { params }) });
  if (answer.error) throw new Error(answer.error.message);
  here[topic] = new Map(answer.snapshot.items.map(({ key, data }) => [key, data]));
}

socket.on("connect", async () => {
  await follow("presence:lobby", { enter: { device: "web" } });
  await follow("signals:lobby");
  await socket.emitWithAck("publish", { topic: "signals:lobby", event: "typing" });
});

socket.on("publication", ({ topic, event, key, data, patch }) => {
  if (event === "remove") here[topic].delete(key);
  else here[topic].set(key, patch ? { ...here[topic].get(key), ...patch } : data);
  show();
});
