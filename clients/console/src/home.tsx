/** The page of somebody who is signed in: their client, and the places where it shows. */

import { type Client, createClient, createStore, type Session, type User } from "@clarion/client";
import { useCallback, useEffect, useRef, useState } from "react";
import { Announcer } from "./announcer.tsx";
import { Bell } from "./bell.tsx";
import { ConnectionCard } from "./connection-card.tsx";
import { ConnectionBanner, ConnectionPill } from "./connection-state.tsx";
import { Mark } from "./icons.tsx";
import { InboxPanel } from "./inbox-panel.tsx";
import { SendForm } from "./send-form.tsx";
import { Toasts } from "./toasts.tsx";
import { useStore } from "./use-store.ts";

const ROOM = "(min-width: 52rem)";

export function Home({ session, user }: { session: Session; user: User }) {
  const [client] = useState(() => createClient({ getToken: session.getToken }));
  useEffect(() => {
    client.connection.connect();
    return () => client.close();
  }, [client]);
  // Beside the rest where there is room; where it would cover the page, it waits to be asked for.
  const [isOpen, setOpen] = useState(() => matchMedia(ROOM).matches);
  const [said] = useState(() => createStore(""));
  const bell = useRef<HTMLButtonElement>(null);
  const close = useCallback(() => {
    setOpen(false);
    bell.current?.focus();
  }, []);

  return (
    <>
      <header className="bar">
        <h1 className="brand">
          <Mark />
          <span>Clarion</span>
        </h1>
        <ConnectionPill connection={client.connection} />
        <div className="bar-end">
          <Bell inbox={client.inbox} isOpen={isOpen} ref={bell} onToggle={() => setOpen(!isOpen)} />
          <span className="who" data-testid="who">
            {user.name || user.id}
          </span>
          {/* Where the server cannot be told, the session ends by itself. */}
          <button
            type="button"
            className="button"
            data-testid="sign-out"
            onClick={() => void session.signOut().catch(() => undefined)}
          >
            Sign out
          </button>
        </div>
      </header>
      <main className="page" data-inbox={isOpen ? "open" : "closed"}>
        <ConnectionBanner connection={client.connection} />
        {isOpen && <InboxPanel client={client} inbox={client.inbox} onClose={close} />}
        <SendForm client={client} user={user} announce={said.set} />
        <ConnectionCard client={client} />
      </main>
      <Toasts inbox={client.inbox} onOpen={() => setOpen(true)} />
      <Announcer client={client} said={said} />
      <Title client={client} />
    </>
  );
}

/** The count in the tab's title, for those who look at another tab. */
function Title({ client }: { client: Client }) {
  const { unread } = useStore(client.inbox);
  return <title>{unread > 0 ? `(${unread}) Clarion` : "Clarion"}</title>;
}
