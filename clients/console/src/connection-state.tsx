/** How the connection is, in a word; and what to do when it has failed. */

import type { Client, ConnectionStatus } from "@clarion/client";
import { useStore } from "./use-store.ts";

const WORDS: Record<ConnectionStatus, string> = {
  idle: "Offline",
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  closed: "Offline",
  failed: "Disconnected",
};

export function ConnectionPill({ connection }: { connection: Client["connection"] }) {
  const { status } = useStore(connection);
  return (
    <span className="pill" data-testid="connection-state" data-status={status}>
      <span className="pill-dot" aria-hidden="true" />
      <span className="visually-hidden">Connection: </span>
      {WORDS[status]}
    </span>
  );
}

/** Only where a person must act: the server does not want this connection. */
export function ConnectionBanner({ connection }: { connection: Client["connection"] }) {
  const { status, lastError } = useStore(connection);
  if (status !== "failed") return null;
  return (
    <div className="notice bad banner" role="alert">
      <p>
        <strong>Live updates have stopped.</strong> {lastError?.detail}
      </p>
      <button type="button" className="button" onClick={() => connection.connect()}>
        Try again
      </button>
    </div>
  );
}
