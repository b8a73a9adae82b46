/** The buttons of a message: one of them is pressed, once, in whatever tab; then it says which. */

import type { Button, Client, Message } from "@clarion/client";
import { press } from "@clarion/client/actions";
import { type MouseEvent, useEffect, useRef, useState } from "react";
import { CheckIcon } from "./icons.tsx";
import { type Link, safeLink } from "./links.ts";

interface MessageButtonsProps {
  client: Client;
  message: Message;
  onTrouble: (trouble: string | null) => void;
  /** Tells it to those who listen. */
  announce: (text: string) => void;
}

export function MessageButtons({ client, message, onTrouble, announce }: MessageButtonsProps) {
  const { actions = [] } = message;
  const [pressing, setPressing] = useState<string | null>(null);
  // The answer may be here before the inbox has told of it, or while it cannot.
  const [answered, setAnswered] = useState<string | null>(null);
  const done = message.done?.action ?? answered;
  const place = useRef<HTMLDivElement>(null);
  const hadFocus = useRef(false);
  useEffect(() => {
    // The focused button is gone; the keyboard stays at the message.
    if (done !== null && hadFocus.current) place.current?.closest("article")?.focus();
    hadFocus.current = false;
  }, [done]);

  async function choose(button: Button) {
    if (pressing !== null) return;
    setPressing(button.id);
    onTrouble(null);
    hadFocus.current = true;
    const error = await press(client, message, button.id);
    setPressing(null);
    if (error) {
      hadFocus.current = false;
      const isTaken = error.code === "conflict";
      onTrouble(isTaken ? "This was answered already, in another tab or device." : `Not sent: ${error.detail}`);
      return;
    }
    setAnswered(button.id);
    announce(`${button.label}: done`);
    const link = safeLink(button.url ?? null);
    if (link && !link.isExternal && link.href.startsWith("http")) location.assign(link.href);
  }

  if (done !== null) return <Done ref={place} button={actions.find(({ id }) => id === done)} id={done} />;
  return (
    // biome-ignore lint/a11y/useSemanticElements: these are no fields of a form.
    <div ref={place} className="item-buttons" role="group" aria-label={`Answers to: ${message.title}`}>
      {actions.map((button) => (
        <Press
          key={button.id}
          button={button}
          isPressing={pressing === button.id}
          isWaiting={pressing !== null}
          onPress={() => void choose(button)}
        />
      ))}
    </div>
  );
}

interface PressProps {
  button: Button;
  isPressing: boolean;
  isWaiting: boolean;
  onPress: () => void;
}

function Press({ button, isPressing, isWaiting, onPress }: PressProps) {
  const style = button.style && button.style !== "default" ? ` ${button.style}` : "";
  const shared = {
    className: `button small${style}`,
    "data-testid": `press-${button.id}`,
    "aria-disabled": isWaiting,
    "aria-busy": isPressing,
  };
  const label = isPressing ? `${button.label} …` : button.label;
  const link = safeLink(button.url ?? null);
  if (!link) {
    return (
      <button type="button" {...shared} onClick={onPress}>
        {label}
      </button>
    );
  }
  const follow = (event: MouseEvent) => {
    // The same site is left only after the server has heard of it; other places open beside this page.
    if (isWaiting || leavesPage(link, event)) event.preventDefault();
    onPress();
  };
  return (
    <a {...shared} href={link.href} {...beside(link)} onClick={follow}>
      {label}
    </a>
  );
}

function leavesPage(link: Link, event: MouseEvent): boolean {
  const isOwnTab = !event.ctrlKey && !event.metaKey && !event.shiftKey;
  return isOwnTab && !link.isExternal && link.href.startsWith("http");
}

function beside(link: Link) {
  return link.isExternal ? { target: "_blank", rel: "noreferrer noopener" } : {};
}

/** What was answered, and where that led. */
function Done({ button, id, ref }: { button: Button | undefined; id: string; ref: React.Ref<HTMLDivElement> }) {
  const link = safeLink(button?.url ?? null);
  const label = button?.label ?? id;
  return (
    <div ref={ref} className="item-done" data-testid="done">
      <CheckIcon />
      <span>
        <span className="visually-hidden">Answered: </span>
        {link ? (
          <a href={link.href} {...beside(link)}>
            {label}
          </a>
        ) : (
          label
        )}
      </span>
    </div>
  );
}
