// Results that stay true, with the stock client: npm install socket.io-client
// The token grants `topics: {"search:shoes": ["subscribe"]}`, and shows what its `access` tags let it.
import { io } from "socket.io-client";

const LIMIT = 10;
const query = { text: "red*", where: { price: { lt: 50 } }, sort: ["price"], limit: LIMIT };
const socket = io("http://127.0.0.1:8000/clarion", { auth: { token: process.env.CLARION_TOKEN } });
let topic, results;

function show() {
  const titles = results.items.map((item) => item.data.title);
  console.log(`${titles.join(", ") || "nothing"} (${results.counts.total})`);
}

socket.on("connect", async () => {
  const answer = await socket.emitWithAck("subscribe", { topic: "search:shoes", params: { query } });
  if (answer.error) throw new Error(answer.error.message);
  ({ topic, snapshot: results } = answer);
  show();
});

socket.on("publication", (publication) => {
  if (publication.topic !== topic) return;
  const { id, item, at, more, counts } = publication.data;
  const items = results.items.filter((each) => each.id !== id);
  if (item) items.splice(at, 0, item);
  results = { items: items.slice(0, LIMIT), more, counts };
  show();
});
