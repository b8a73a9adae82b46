/** The page of somebody who is signed in: their client, and the places where it shows. */

import { type Client, createClient, createStore, type Session, type User } from "@clarion/client";
import { watchIdle } from "@clarion/client/idle";
import { contacts } from "@clarion/client/presence";
import { useCallback, useEffect, useRef, useState } from "react";
import { Announcer } from "./announcer.tsx";
import { Bell } from "./bell.tsx";
import { Captures, lookAtCaptures } from "./captures.tsx";
import { ConnectionCard } from "./connection-card.tsx";
import { ConnectionBanner, ConnectionPill } from "./connection-state.tsx";
import { Mark } from "./icons.tsx";
import { InboxPanel } from "./inbox-panel.tsx";
import { Overview } from "./overview.tsx";
import { SendForm } from "./send-form.tsx";
import { Toasts } from "./toasts.tsx";
import { useStore } from "./use-store.ts";

const HOME = "#";
const CAPTURES = "#captures";
const OVERVIEW = "#messages";
const ROOM = "(min-width: 52rem)";

export function Home({ session, user }: { session: Session; user: User }) {
  const [client] = useState(() => createClient({ getToken: session.getToken }));
  useEffect(() => {
    client.connection.connect();
    return () => client.close();
  }, [client]);
  useEffect(() => watchIdle(contacts(client, user.id)), [client, user.id]);
  // Beside the rest where there is room; where it would cover the page, it waits to be asked for.
  const [isOpen, setOpen] = useState(() => matchMedia(ROOM).matches);
  const hasCaptures = useCaptures(client, user);
  const hash = useHash();
  const isCaptures = hash === CAPTURES;
  const isOverview = hash === OVERVIEW;
  const isElsewhere = isCaptures || isOverview;
  const places: Place[] = [{ href: HOME, name: "Home", id: "to-home" }];
  if (may(user, "messages", "read") || isOverview) places.push({ href: OVERVIEW, name: "Messages", id: "to-overview" });
  if (hasCaptures || isCaptures) places.push({ href: CAPTURES, name: "Captured", id: "to-captures" });
  const [said] = useState(() => createStore(""));
  const bell = useRef<HTMLButtonElement>(null);
  // The inbox is beside the page's own cards.
  const open = useCallback(() => {
    location.hash = "";
    setOpen(true);
  }, []);
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
        <Places places={places} here={isElsewhere ? hash : HOME} />
        <div className="bar-end">
          <Bell
            inbox={client.inbox}
            isOpen={isOpen && !isElsewhere}
            ref={bell}
            onToggle={() => (isElsewhere ? open() : setOpen(!isOpen))}
          />
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
      {isCaptures ? (
        <Captures client={client} />
      ) : isOverview ? (
        <Overview client={client} mayReplay={may(user, "messages", "write")} />
      ) : (
        <main className="page" data-inbox={isOpen ? "open" : "closed"}>
          <ConnectionBanner connection={client.connection} />
          {isOpen && <InboxPanel client={client} inbox={client.inbox} onClose={close} announce={said.set} />}
          <SendForm client={client} user={user} announce={said.set} />
          <ConnectionCard client={client} />
        </main>
      )}
      <Toasts inbox={client.inbox} onOpen={open} />
      <Announcer client={client} said={said} />
      <Title client={client} />
    </>
  );
}

interface Place {
  readonly href: string;
  readonly name: string;
  readonly id: string;
}

/** Where one can go, always in the same order; for who can go nowhere else there is nothing to choose. */
function Places({ places, here }: { places: readonly Place[]; here: string }) {
  if (places.length < 2) return null;
  return (
    <nav className="places" aria-label="Pages">
      {places.map(({ href, name, id }) => (
        <a key={id} href={href} data-testid={id} aria-current={href === here ? "page" : undefined}>
          {name}
        </a>
      ))}
    </nav>
  );
}

/** The count in the tab's title, for those who look at another tab. */
function Title({ client }: { client: Client }) {
  const { unread } = useStore(client.inbox);
  return <title>{unread > 0 ? `(${unread}) Clarion` : "Clarion"}</title>;
}

/** Whether there is something to see that was kept instead of sent, for somebody who may. */
function useCaptures(client: Client, user: User): boolean {
  const [has, setHas] = useState(false);
  const mayLook = may(user, "captures", "read");
  useEffect(() => {
    if (!mayLook) return;
    let isWanted = true;
    lookAtCaptures(client, 1)
      .then((page) => isWanted && setHas(page !== null && (page.mode !== "live" || page.items.length > 0)))
      .catch(() => undefined); // then there is no link; what is wrong is said elsewhere
    return () => {
      isWanted = false;
    };
  }, [client, mayLook]);
  return has;
}

/** Whether a user has a scope: what is shown depends on it, what may be done the server decides. */
function may({ scopes = [] }: User, of: string, what: "read" | "write"): boolean {
  return scopes.some((scope) => ["*", `${of}:*`, `*:${what}`, `${of}:${what}`].includes(scope));
}

function useHash(): string {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const look = () => setHash(location.hash);
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  return hash;
}
