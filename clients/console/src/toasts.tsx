/** New notifications, for a moment, in the corner. They are told to screen readers by the announcer, not from here. */

import type { Inbox, Message } from "@clarion/client";
import { useCallback, useEffect, useState } from "react";
import { CloseIcon } from "./icons.tsx";
import { safeLink } from "./links.ts";
import { useStore } from "./use-store.ts";

const SHOWN_MS = 6_000;
const AT_MOST = 3;

interface Shown {
  /** At most AT_MOST, oldest first. */
  readonly messages: readonly Message[];
  /** How many made way for those. */
  readonly more: number;
}

const NONE: Shown = { messages: [], more: 0 };

export function Toasts({ inbox, onOpen }: { inbox: Inbox; onOpen: () => void }) {
  const [{ messages, more }, setShown] = useState(NONE);
  const { items } = useStore(inbox);
  // What was read elsewhere, put away or replaced meanwhile is no news.
  const isNews = (message: Message) => items.some(({ id, read_at }) => id === message.id && read_at === null);
  const news = messages.filter(isNews);
  // Time stands still while somebody reads or is about to press a button.
  const [isHeld, setHeld] = useState(false);
  useEffect(() => inbox.added.listen((added) => setShown((before) => withAdded(before, added))), [inbox]);
  const dismiss = useCallback((message: Message) => {
    setShown((before) => without(before, message));
    setHeld(false);
  }, []);
  return (
    <section
      className="toasts"
      aria-label="New notifications"
      onMouseEnter={() => setHeld(true)}
      onMouseLeave={() => setHeld(false)}
      onFocus={() => setHeld(true)}
      onBlur={() => setHeld(false)}
      hidden={news.length === 0}
    >
      {more > 0 && (
        <button
          type="button"
          className="button small toast-more"
          onClick={() => {
            setShown(NONE);
            onOpen();
          }}
        >
          {more} more
        </button>
      )}
      {news.map((message) => (
        <Toast key={message.id} message={message} isHeld={isHeld} onGone={dismiss} />
      ))}
    </section>
  );
}

function withAdded({ messages, more }: Shown, added: readonly Message[]): Shown {
  const all = [...messages, ...added];
  return { messages: all.slice(-AT_MOST), more: more + Math.max(0, all.length - AT_MOST) };
}

function without({ messages, more }: Shown, message: Message): Shown {
  const left = messages.filter((other) => other.id !== message.id);
  return left.length > 0 ? { messages: left, more } : NONE;
}

interface ToastProps {
  message: Message;
  isHeld: boolean;
  onGone: (message: Message) => void;
}

function Toast({ message, isHeld, onGone }: ToastProps) {
  const link = safeLink(message.action_url);
  // One that asks for something stays until it is answered.
  const stays = isHeld || link !== null;
  useEffect(() => {
    if (stays) return;
    const timer = setTimeout(() => onGone(message), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [stays, message, onGone]);
  return (
    <div className="toast" data-testid="toast" data-id={message.id}>
      <span className="item-mark" aria-hidden="true" />
      <div className="item-text">
        <p className="item-title">{message.title}</p>
        {message.body && <p className="item-body">{message.body}</p>}
        {link && (
          <p className="item-foot">
            <a
              href={link.href}
              {...(link.isExternal && { target: "_blank", rel: "noreferrer noopener" })}
              onClick={() => onGone(message)}
            >
              {link.label}
            </a>
          </p>
        )}
      </div>
      <button
        type="button"
        className="button icon-only"
        aria-label={`Dismiss: ${message.title}`}
        onClick={() => onGone(message)}
      >
        <CloseIcon />
      </button>
    </div>
  );
}
