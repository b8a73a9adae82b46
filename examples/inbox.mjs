// A page (or any program) sees ann's inbox live, with the stock client: npm install socket.io-client
import { io } from "socket.io-client";

const socket = io("http://127.0.0.1:8000/clarion", { auth: { token: process.env.CLARION_TOKEN } });

socket.on("connect", async () => {
  const inbox = await socket.emitWithAck("subscribe", { topic: "inbox:ann" });
  console.log(`${inbox.snapshot.unread} unread`);
});
socket.on("publication", ({ event, data }) => console.log(event, data.message?.title ?? "", `${data.unread} unread`));
socket.on("connect_error", (error) => console.log(error.message, error.data));
