/** One notification. Its text is text: React escapes it, and nothing here turns it into HTML. */

import type { Client, Inbox, Message } from "@clarion/client";
import { watchSeen } from "@clarion/client/seen";
import { memo, useEffect, useRef, useState } from "react";
import { PinIcon } from "./icons.tsx";
import { ItemTools, type Left } from "./item-tools.tsx";
import { safeLink } from "./links.ts";
import { MessageButtons } from "./message-buttons.tsx";
import { sayAgo, sayAhead, sayWhen } from "./time.ts";

interface InboxItemProps {
  client: Client;
  inbox: Inbox;
  message: Message;
  now: number;
  place: number;
  /** -1: not known. */
  size: number;
  onArchive: (message: Message) => void;
  onSnoozed: (left: Left) => void;
  /** Tells something to those who listen. */
  announce: (text: string) => void;
}

export const InboxItem = memo(function InboxItem(props: InboxItemProps) {
  const { client, inbox, message, now, place, size, onArchive, onSnoozed, announce } = props;
  const [trouble, setTrouble] = useState<string | null>(null);
  const isUnread = message.read_at === null;
  const isPinned = message.pinned_at !== undefined;
  const shown = useRef<HTMLElement>(null);
  useEffect(() => (shown.current ? watchSeen(client, shown.current, message) : undefined), [client, message]);
  const titleId = `title-${message.id}`;
  return (
    <article
      ref={shown}
      className="item"
      data-testid="inbox-item"
      data-id={message.id}
      data-unread={isUnread}
      data-pinned={isPinned}
      // Focusable by script and key, as the feed pattern asks; not every one a stop of Tab.
      tabIndex={-1}
      aria-posinset={place}
      aria-setsize={size}
      aria-labelledby={titleId}
    >
      <span className="item-mark" aria-hidden="true" />
      <div className="item-text">
        <h3 id={titleId} className="item-title">
          {isUnread && <span className="visually-hidden">Unread: </span>}
          {message.title}
        </h3>
        {message.body && <p className="item-body">{message.body}</p>}
        <Foot inbox={inbox} message={message} now={now} />
        {message.actions && (
          <MessageButtons client={client} message={message} onTrouble={setTrouble} announce={announce} />
        )}
      </div>
      <ItemTools
        client={client}
        inbox={inbox}
        message={message}
        onArchive={onArchive}
        onSnoozed={onSnoozed}
        onTrouble={setTrouble}
      />
      {trouble && (
        <p className="item-trouble" role="alert">
          {trouble}
        </p>
      )}
    </article>
  );
});

/** When it came, until when it stays, and where it leads. */
function Foot({ inbox, message, now }: { inbox: Inbox; message: Message; now: number }) {
  const link = safeLink(message.action_url);
  return (
    <p className="item-foot">
      {message.pinned_at && (
        <span className="item-pinned" title={`Pinned since ${sayWhen(message.pinned_at)}`}>
          <PinIcon />
          Pinned
        </span>
      )}
      <time dateTime={message.created_at} title={sayWhen(message.created_at)}>
        {sayAgo(message.created_at, now)}
      </time>
      {message.expires_at && (
        <span title={sayWhen(message.expires_at)} data-testid="expires">
          Expires {sayAhead(message.expires_at, now)}
        </span>
      )}
      {link && (
        <a
          href={link.href}
          data-testid="action"
          {...(link.isExternal && { target: "_blank", rel: "noreferrer noopener" })}
          onClick={() => message.read_at === null && void inbox.markRead(message)}
        >
          {link.label}
        </a>
      )}
    </p>
  );
}
