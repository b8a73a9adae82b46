/** One notification. Its text is text: React escapes it, and nothing here turns it into HTML. */

import type { Client, Inbox, Message } from "@clarion/client";
import { watchSeen } from "@clarion/client/seen";
import { memo, useEffect, useRef } from "react";
import { ArchiveIcon, CheckIcon, UnreadIcon } from "./icons.tsx";
import { safeLink } from "./links.ts";
import { sayAgo, sayWhen } from "./time.ts";

interface InboxItemProps {
  client: Client | undefined;
  inbox: Inbox;
  message: Message;
  now: number;
  place: number;
  /** -1: not known. */
  size: number;
  onArchive: (message: Message) => void;
}

export const InboxItem = memo(function InboxItem({
  client,
  inbox,
  message,
  now,
  place,
  size,
  onArchive,
}: InboxItemProps) {
  const isUnread = message.read_at === null;
  const link = safeLink(message.action_url);
  const shown = useRef<HTMLElement>(null);
  useEffect(() => (client && shown.current ? watchSeen(client, shown.current, message) : undefined), [client, message]);
  const titleId = `title-${message.id}`;
  return (
    <article
      ref={shown}
      className="item"
      data-testid="inbox-item"
      data-id={message.id}
      data-unread={isUnread}
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
        <p className="item-foot">
          <time dateTime={message.created_at} title={sayWhen(message.created_at)}>
            {sayAgo(message.created_at, now)}
          </time>
          {link && (
            <a
              href={link.href}
              data-testid="action"
              {...(link.isExternal && { target: "_blank", rel: "noreferrer noopener" })}
              onClick={() => isUnread && void inbox.markRead(message)}
            >
              {link.label}
            </a>
          )}
        </p>
      </div>
      <div className="item-actions">
        <button
          type="button"
          className="button icon-only"
          data-testid={isUnread ? "mark-read" : "mark-unread"}
          aria-label={isUnread ? `Mark as read: ${message.title}` : `Mark as unread: ${message.title}`}
          title={isUnread ? "Mark as read" : "Mark as unread"}
          onClick={() => void (isUnread ? inbox.markRead(message) : inbox.markUnread(message))}
        >
          {isUnread ? <CheckIcon /> : <UnreadIcon />}
        </button>
        <button
          type="button"
          className="button icon-only"
          data-testid="archive"
          aria-label={`Archive: ${message.title}`}
          title="Archive"
          onClick={() => onArchive(message)}
        >
          <ArchiveIcon />
        </button>
      </div>
    </article>
  );
});
