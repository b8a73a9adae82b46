// What somebody follows, live, with the stock client: npm install socket.io-client
// The token's user follows streams, and its `topics` grant `subscribe` on them: {"activity:user:*": ["subscribe"]}
import { io } from "socket.io-client";

const user = process.env.CLARION_USER;
const socket = io("http://127.0.0.1:8000/clarion", { auth: { token: process.env.CLARION_TOKEN } });
let topic, items;

function show() {
  console.log(items.map((each) => `${each.actor} ${each.verb} ${each.object}`).join(", ") || "nothing");
}

function newestFirst(a, b) {
  return Date.parse(b.published) - Date.parse(a.published) || (a.id < b.id ? 1 : -1);
}

socket.on("connect", async () => {
  const answer = await socket.emitWithAck("subscribe", { topic: `timeline:${user}` });
  if (answer.error) throw new Error(answer.error.message);
  topic = answer.topic;
  items = answer.snapshot.items;
  show();
});

socket.on("publication", (publication) => {
  if (publication.topic !== topic) return;
  const { item, id = item?.id } = publication.data;
  items = items.filter((each) => each.id !== id);
  if (item) items = [...items, item].sort(newestFirst).slice(0, 50);
  show();
});
