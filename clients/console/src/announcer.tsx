/**
 * The page's one live region. It is there, empty, from the start: screen readers only tell what changes in a region that
 * they already know. What happens at once is told at once, in one short sentence.
 */

import type { Client, ConnectionStatus, Store } from "@clarion/client";
import { useEffect, useRef, useState } from "react";
import { useStore } from "./use-store.ts";

const GATHER_MS = 600;
// Breaks shorter than this are nobody's business.
const BREAK_MS = 3_000;

// Then the region is emptied: the same sentence is told again only if it was gone in between.
const SAID_MS = 5_000;

/** @param said What other parts of the page want told. */
export function Announcer({ client, said }: { client: Client; said: Store<string> }) {
  const arrived = useArrived(client);
  const connection = useBreaks(useStore(client.connection).status);
  const other = useStore(said);
  useEffect(() => {
    if (!other) return;
    const timer = setTimeout(() => said.set(""), SAID_MS);
    return () => clearTimeout(timer);
  }, [other, said]);
  return (
    <div role="status" className="visually-hidden" data-testid="announcer">
      {[connection, arrived, other].filter(Boolean).join(". ")}
    </div>
  );
}

/** "New notification: …", or how many. */
function useArrived(client: Client): string {
  const [text, setText] = useState("");
  const gathered = useRef<string[]>([]);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = client.inbox.added.listen((messages) => {
      gathered.current.push(...messages.map((message) => message.title));
      clearTimeout(timer);
      timer = setTimeout(() => {
        const titles = gathered.current;
        gathered.current = [];
        setText(titles.length === 1 ? `New notification: ${titles[0]}` : `${titles.length} new notifications`);
        timer = setTimeout(() => setText(""), SAID_MS);
      }, GATHER_MS);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [client]);
  return text;
}

/** Tells of a break that lasts, and of its end. */
function useBreaks(status: ConnectionStatus): string {
  const [text, setText] = useState("");
  useEffect(() => {
    if (status === "live") {
      setText((before) => (before === "Connection lost, trying again" ? "Connected again" : ""));
      return;
    }
    if (status !== "reconnecting") return;
    const timer = setTimeout(() => setText("Connection lost, trying again"), BREAK_MS);
    return () => clearTimeout(timer);
  }, [status]);
  return text;
}
