/** The inbox: a non-modal dialog that the bell opens; a column of the page where there is room, a sheet where not. */

import type { Client, Inbox, InboxView, Message } from "@clarion/client";
import { unsnooze } from "@clarion/client/actions";
import { type KeyboardEvent, useCallback, useEffect, useRef, useState } from "react";
import { PANEL_ID } from "./bell.tsx";
import { BellIcon, ClockIcon, CloseIcon } from "./icons.tsx";
import { InboxItem } from "./inbox-item.tsx";
import type { Left } from "./item-tools.tsx";
import { Snoozed } from "./snoozed.tsx";
import { sayWhen } from "./time.ts";
import { useNow, useStore } from "./use-store.ts";

const UNDO_MS = 8_000;

interface InboxPanelProps {
  client: Client;
  inbox: Inbox;
  onClose: () => void;
  /** Tells something to those who listen. */
  announce: (text: string) => void;
}

export function InboxPanel({ client, inbox, onClose, announce }: InboxPanelProps) {
  const view = useStore(inbox);
  const heading = useRef<HTMLHeadingElement>(null);
  const [left, setLeft] = useState<Left | null>(null);
  const [isSnoozed, setSnoozed] = useState(false);
  useEffect(() => {
    // Opened by a person: that is where they want to go on. Open from the start, it takes the focus from nobody.
    if (document.activeElement?.matches("[aria-haspopup=dialog]")) heading.current?.focus();
  }, []);
  useEffect(() => {
    if (!left) return;
    const timer = setTimeout(() => setLeft(null), UNDO_MS);
    return () => clearTimeout(timer);
  }, [left]);

  function archive(message: Message) {
    setLeft({ message, until: null });
    void inbox.archive(message).then((error) => error && setLeft(null));
    // The focused button is gone with its item; the dialog must not lose the keyboard.
    heading.current?.focus();
  }

  const snoozed = useCallback(
    (away: Left) => {
      setLeft(away);
      announce(`Snoozed until ${sayUntil(away)}`);
      heading.current?.focus();
    },
    [announce],
  );

  function undo({ message, until }: Left) {
    setLeft(null);
    void (until ? unsnooze(client, message) : inbox.unarchive(message));
    heading.current?.focus();
  }

  return (
    <div
      id={PANEL_ID}
      className="panel"
      role="dialog"
      aria-labelledby="inbox-title"
      data-testid="inbox"
      onKeyDown={(event) => {
        if (event.key === "Escape") onClose();
      }}
    >
      <div className="panel-head">
        <h2 id="inbox-title" ref={heading} tabIndex={-1}>
          {isSnoozed ? "Snoozed" : "Notifications"}
        </h2>
        {view.unread > 0 && !isSnoozed && (
          <button
            type="button"
            className="button small"
            data-testid="mark-all-read"
            onClick={() => {
              void inbox.markAllRead();
              heading.current?.focus();
            }}
          >
            Mark all read
          </button>
        )}
        <button
          type="button"
          className="button icon-only"
          data-testid="show-snoozed"
          aria-label="Snoozed notifications"
          title={isSnoozed ? "Back to all" : "Snoozed"}
          aria-pressed={isSnoozed}
          onClick={() => setSnoozed(!isSnoozed)}
        >
          <ClockIcon />
        </button>
        <button type="button" className="button icon-only" aria-label="Close notifications" onClick={onClose}>
          <CloseIcon />
        </button>
      </div>
      {view.error && <Trouble inbox={inbox} view={view} />}
      {isSnoozed ? (
        <Snoozed client={client} inbox={inbox} onBack={() => heading.current?.focus()} />
      ) : (
        <Feed client={client} inbox={inbox} view={view} onArchive={archive} onSnoozed={snoozed} announce={announce} />
      )}
      {left && (
        <div className="undo">
          <span data-testid="left">{left.until ? `Snoozed until ${sayUntil(left)}` : "Archived"}</span>
          <button type="button" className="button small" data-testid="undo" onClick={() => undo(left)}>
            Undo
          </button>
        </div>
      )}
    </div>
  );
}

function sayUntil({ until }: Left): string {
  return until ? sayWhen(until.toISOString()) : "";
}

function Trouble({ inbox, view }: { inbox: Inbox; view: InboxView }) {
  return (
    <div className="notice bad panel-notice" role="alert">
      <span>{view.error?.detail}</span>
      <button type="button" className="button icon-only" aria-label="Dismiss" onClick={() => inbox.clearError()}>
        <CloseIcon />
      </button>
    </div>
  );
}

interface FeedProps {
  client: Client;
  inbox: Inbox;
  view: InboxView;
  onArchive: (message: Message) => void;
  onSnoozed: (left: Left) => void;
  announce: (text: string) => void;
}

function Feed({ client, inbox, view, onArchive, onSnoozed, announce }: FeedProps) {
  const now = useNow(30_000);
  const { items, hasMore, loading, loadingMore } = view;
  if (loading) return <Loading />;
  if (items.length === 0 && !hasMore) return <Empty hasError={view.error !== null} />;
  return (
    <div className="panel-scroll">
      {/* APG feed pattern: Page Down and Page Up go from article to article. */}
      <div
        role="feed"
        aria-labelledby="inbox-title"
        aria-busy={loadingMore}
        className="feed"
        onKeyDown={moveBetweenArticles}
      >
        {pinnedFirst(items).map((message, index) => (
          <InboxItem
            key={message.id}
            client={client}
            inbox={inbox}
            message={message}
            now={now}
            place={index + 1}
            size={hasMore ? -1 : items.length}
            onArchive={onArchive}
            onSnoozed={onSnoozed}
            announce={announce}
          />
        ))}
      </div>
      {hasMore && (
        <div className="more">
          <button
            type="button"
            className="button"
            data-testid="load-more"
            aria-disabled={loadingMore}
            onClick={() => void inbox.loadMore()}
          >
            {loadingMore ? "Loading…" : "Load older"}
          </button>
        </div>
      )}
    </div>
  );
}

/** What is pinned stands on top; the inbox itself is in the order of its log. */
function pinnedFirst(items: readonly Message[]): readonly Message[] {
  return [...items.filter((each) => each.pinned_at), ...items.filter((each) => !each.pinned_at)];
}

function Loading() {
  return (
    <div className="panel-scroll" aria-busy="true">
      <p className="visually-hidden">Loading notifications</p>
      <div className="ghost" />
      <div className="ghost" />
      <div className="ghost" />
    </div>
  );
}

function Empty({ hasError }: { hasError: boolean }) {
  return (
    <div className="empty" data-testid="empty">
      <BellIcon />
      <p className="empty-title">{hasError ? "Nothing to show" : "You are all caught up"}</p>
      <p className="muted">{hasError ? "The inbox could not be read." : "New notifications appear here at once."}</p>
    </div>
  );
}

function moveBetweenArticles(event: KeyboardEvent<HTMLElement>) {
  const step = event.key === "PageDown" ? 1 : event.key === "PageUp" ? -1 : 0;
  if (step === 0 || !(event.target instanceof Element)) return;
  const articles = [...event.currentTarget.querySelectorAll<HTMLElement>("article")];
  const here = articles.findIndex((article) => article.contains(event.target as Element));
  const next = articles[here + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}
