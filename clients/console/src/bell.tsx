/** The button that says how much is unread, and opens the inbox. */

import type { Inbox } from "@clarion/client";
import type { Ref } from "react";
import { BellIcon } from "./icons.tsx";
import { useStore } from "./use-store.ts";

export const PANEL_ID = "inbox-panel";

interface BellProps {
  inbox: Inbox;
  isOpen: boolean;
  ref: Ref<HTMLButtonElement>;
  onToggle: () => void;
}

export function Bell({ inbox, isOpen, ref, onToggle }: BellProps) {
  const { unread } = useStore(inbox);
  return (
    <button
      ref={ref}
      type="button"
      className="button bell"
      data-testid="bell"
      aria-haspopup="dialog"
      aria-expanded={isOpen}
      aria-controls={isOpen ? PANEL_ID : undefined}
      aria-label={unread > 0 ? `Notifications, ${unread} unread` : "Notifications, none unread"}
      onClick={onToggle}
    >
      <BellIcon />
      {unread > 0 && (
        <span className="badge" data-testid="unread-count" aria-hidden="true">
          {unread > 99 ? "99+" : unread}
        </span>
      )}
    </button>
  );
}
