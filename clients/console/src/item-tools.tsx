/** What can be done with a message by its reader: four small buttons, and the choice of when to hear of it again. */

import type { Client, Inbox, Message } from "@clarion/client";
import { pin, snooze } from "@clarion/client/actions";
import { type ReactNode, type Ref, useEffect, useRef, useState } from "react";
import { ArchiveIcon, CheckIcon, ClockIcon, PinIcon, UnreadIcon } from "./icons.tsx";
import { laterTimes, sayWhen } from "./time.ts";

/** How a message left the list; `until` is when it comes back. */
export interface Left {
  readonly message: Message;
  readonly until: Date | null;
}

interface ItemToolsProps {
  client: Client;
  inbox: Inbox;
  message: Message;
  onArchive: (message: Message) => void;
  onSnoozed: (left: Left) => void;
  onTrouble: (trouble: string | null) => void;
}

export function ItemTools({ client, inbox, message, onArchive, onSnoozed, onTrouble }: ItemToolsProps) {
  const [isChoosing, setChoosing] = useState(false);
  const clock = useRef<HTMLButtonElement>(null);
  const isUnread = message.read_at === null;
  const isPinned = message.pinned_at !== undefined;
  const choices = `later-${message.id}`;

  async function putOff(until: Date) {
    onTrouble(null);
    const error = await snooze(client, message, until);
    if (error) onTrouble(`Not snoozed: ${error.detail}`);
    else onSnoozed({ message, until });
  }

  async function togglePin() {
    onTrouble(null);
    const error = await pin(client, message, !isPinned);
    if (error) onTrouble(`${isPinned ? "Not unpinned" : "Not pinned"}: ${error.detail}`);
  }

  function close() {
    setChoosing(false);
    clock.current?.focus();
  }

  return (
    <>
      <div className="item-actions">
        <Tool
          id={isUnread ? "mark-read" : "mark-unread"}
          name={isUnread ? "Mark as read" : "Mark as unread"}
          of={message}
          onClick={() => void (isUnread ? inbox.markRead(message) : inbox.markUnread(message))}
        >
          {isUnread ? <CheckIcon /> : <UnreadIcon />}
        </Tool>
        <Tool id="pin" name={isPinned ? "Unpin" : "Pin"} of={message} onClick={() => void togglePin()}>
          <PinIcon />
        </Tool>
        <Tool
          id="snooze"
          name="Snooze"
          of={message}
          ref={clock}
          controls={choices}
          isExpanded={isChoosing}
          onClick={() => setChoosing(!isChoosing)}
        >
          <ClockIcon />
        </Tool>
        <Tool id="archive" name="Archive" of={message} onClick={() => onArchive(message)}>
          <ArchiveIcon />
        </Tool>
      </div>
      {isChoosing && <Choices id={choices} onChoose={putOff} onClose={close} />}
    </>
  );
}

interface ToolProps {
  id: string;
  name: string;
  of: Message;
  children: ReactNode;
  onClick: () => void;
  ref?: Ref<HTMLButtonElement>;
  controls?: string;
  isExpanded?: boolean;
}

function Tool({ id, name, of, children, onClick, ref, controls, isExpanded }: ToolProps) {
  return (
    <button
      type="button"
      className="button icon-only"
      data-testid={id}
      ref={ref}
      aria-label={`${name}: ${of.title}`}
      aria-expanded={isExpanded}
      aria-controls={isExpanded ? controls : undefined}
      title={name}
      onClick={onClick}
    >
      {children}
    </button>
  );
}

interface ChoicesProps {
  id: string;
  onChoose: (until: Date) => Promise<void>;
  onClose: () => void;
}

/** When it is to come back. The first choice has the focus; Escape takes it back to where it was. */
function Choices({ id, onChoose, onClose }: ChoicesProps) {
  const first = useRef<HTMLButtonElement>(null);
  const [times] = useState(() => laterTimes(new Date()));
  const [isWaiting, setWaiting] = useState(false);
  useEffect(() => first.current?.focus(), []);
  async function choose(until: Date) {
    if (isWaiting) return;
    setWaiting(true);
    await onChoose(until);
    setWaiting(false);
  }
  return (
    // biome-ignore lint/a11y/useSemanticElements: these are no fields of a form.
    <div
      id={id}
      className="item-later"
      role="group"
      aria-labelledby={`${id}-name`}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation(); // the panel stays
        onClose();
      }}
    >
      <span id={`${id}-name`} className="muted note">
        Remind me
      </span>
      {times.map(({ label, at }, index) => (
        <button
          key={label}
          type="button"
          className="button small"
          data-testid="later"
          ref={index === 0 ? first : undefined}
          title={sayWhen(at.toISOString())}
          aria-disabled={isWaiting}
          onClick={() => void choose(at)}
        >
          {label}
        </button>
      ))}
    </div>
  );
}
