/** What is put off, and until when: to be seen, and brought back early. */

import type { Client, Inbox, InboxPage, Message } from "@clarion/client";
import { unsnooze } from "@clarion/client/actions";
import { useEffect, useState } from "react";
import { ClockIcon } from "./icons.tsx";
import { sayWhen } from "./time.ts";
import { useStore } from "./use-store.ts";

interface SnoozedProps {
  client: Client;
  inbox: Inbox;
  /** The row that had the focus is gone. */
  onBack: () => void;
}

export function Snoozed({ client, inbox, onBack }: SnoozedProps) {
  // Whatever is put off, here or elsewhere, leaves the list, and what comes back enters it.
  const { items: visible } = useStore(inbox);
  const [items, setItems] = useState<readonly Message[] | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: read anew when the list has changed.
  useEffect(() => {
    let isWanted = true;
    client
      .call<InboxPage>({ method: "GET", path: "/v1/inbox?filter=snoozed&limit=100", retries: 1 })
      .then((page) => isWanted && setItems(page.items))
      .catch(() => isWanted && setTrouble("What is snoozed could not be read."));
    return () => {
      isWanted = false;
    };
  }, [client, visible]);

  async function bringBack(message: Message) {
    setTrouble(null);
    const error = await unsnooze(client, message);
    if (error) {
      setTrouble(`Not brought back: ${error.detail}`);
      return;
    }
    setItems((before) => before?.filter(({ id }) => id !== message.id) ?? null);
    onBack();
  }

  return (
    <div className="panel-scroll" data-testid="snoozed" aria-busy={items === null && trouble === null}>
      {trouble && (
        <p className="notice bad panel-notice" role="alert">
          {trouble}
        </p>
      )}
      {items?.length === 0 && (
        <div className="empty">
          <ClockIcon />
          <p className="empty-title">Nothing is snoozed</p>
          <p className="muted">What you put off waits here, and comes back at its time.</p>
        </div>
      )}
      <ul className="snoozed" aria-label="Snoozed notifications">
        {items?.map((message) => (
          <li key={message.id} data-testid="snoozed-item">
            <div className="item-text">
              <h3 className="item-title">{message.title}</h3>
              <p className="item-foot">
                <span>
                  Comes back <time dateTime={message.snoozed_until}>{sayWhen(message.snoozed_until ?? "")}</time>
                </span>
              </p>
            </div>
            <button
              type="button"
              className="button small"
              data-testid="bring-back"
              aria-label={`Bring back: ${message.title}`}
              onClick={() => void bringBack(message)}
            >
              Bring back
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
