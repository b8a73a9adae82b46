/** Sends a notification to somebody: the API, as a form. */

import { type Accepted, ClarionError, type Client, newKey, type User } from "@clarion/client";
import { type FormEvent, type InputHTMLAttributes, useId, useRef, useState } from "react";
import { sayClock } from "./time.ts";

type Field = "to" | "title" | "body" | "link";

interface Outcome {
  readonly accepted: Accepted | null;
  /** What went wrong, in a sentence. */
  readonly trouble: string | null;
  readonly faults: Partial<Record<Field, string>>;
}

const NOTHING: Outcome = { accepted: null, trouble: null, faults: {} };

interface SendFormProps {
  client: Client;
  user: User;
  /** Told to screen readers. */
  announce: (text: string) => void;
}

export function SendForm({ client, user, announce }: SendFormProps) {
  const [outcome, setOutcome] = useState(NOTHING);
  const [isBusy, setBusy] = useState(false);
  // Kept until the server has accepted it: pressing the button again after a doubtful answer cannot send it twice.
  const key = useRef<string | null>(null);
  const form = useRef<HTMLFormElement>(null);

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (isBusy) return;
    const data = new FormData(event.currentTarget);
    const read = (name: Field) => String(data.get(name) ?? "").trim();
    const recipients = read("to")
      .split(/[\s,]+/)
      .filter(Boolean);
    key.current ??= newKey();
    setBusy(true);
    try {
      const accepted = await client.notify(
        {
          recipients,
          title: read("title"),
          ...(read("body") && { body: read("body") }),
          ...(read("link") && { action_url: read("link") }),
        },
        key.current,
      );
      key.current = null;
      setOutcome({ ...NOTHING, accepted });
      announce(saySent(accepted));
      clearText(form.current);
    } catch (thrown) {
      setOutcome(explain(thrown));
    } finally {
      setBusy(false);
    }
  }

  return (
    <form
      ref={form}
      className="card send"
      aria-labelledby="send-title"
      onSubmit={submit}
      onChange={() => {
        key.current = null;
      }}
    >
      <h2 id="send-title">Send a notification</h2>
      <p className="muted">
        It is in their inbox, on disk, before the answer comes; whoever is online sees it at once.
      </p>
      <TextField
        label="To"
        name="to"
        hint="User names, separated by commas"
        fault={outcome.faults.to}
        defaultValue={user.id}
        required
        autoCapitalize="none"
        spellCheck={false}
      />
      <TextField label="Title" name="title" fault={outcome.faults.title} required maxLength={200} />
      <TextField label="Text" name="body" isLong isOptional fault={outcome.faults.body} maxLength={8192} />
      <TextField
        label="Link"
        name="link"
        isOptional
        hint="https://…, mailto:… or a path on this site"
        fault={outcome.faults.link}
        maxLength={2048}
      />
      <div className="send-foot">
        <button type="submit" className="button primary" data-testid="send" aria-disabled={isBusy}>
          {isBusy ? "Sending…" : "Send"}
        </button>
        <div data-testid="send-result">
          {outcome.accepted && <p className="good-text">{saySent(outcome.accepted)}</p>}
          {outcome.trouble && (
            <p className="bad-text" role="alert">
              {outcome.trouble}
            </p>
          )}
        </div>
      </div>
    </form>
  );
}

function saySent({ recipients, created_at }: Accepted): string {
  const people = recipients === 1 ? "1 person" : `${recipients} people`;
  return `Sent to ${people} at ${sayClock(Date.parse(created_at))}`;
}

interface TextFieldProps extends InputHTMLAttributes<HTMLInputElement & HTMLTextAreaElement> {
  label: string;
  name: Field;
  hint?: string;
  fault: string | undefined;
  isLong?: boolean;
  isOptional?: boolean;
}

function TextField({ label, hint, fault, isLong, isOptional, ...input }: TextFieldProps) {
  const id = useId();
  const Control = isLong ? "textarea" : "input";
  return (
    <div className="field">
      <label htmlFor={id}>
        {label} {isOptional && <span className="muted">optional</span>}
      </label>
      <Control
        id={id}
        data-testid={input.name}
        autoComplete="off"
        aria-invalid={fault ? true : undefined}
        aria-describedby={hint || fault ? `${id}-note` : undefined}
        {...input}
      />
      {(hint || fault) && (
        <span id={`${id}-note`} className={fault ? "note bad-text" : "note muted"}>
          {fault ?? hint}
        </span>
      )}
    </div>
  );
}

/** Ready for the next one to the same people. */
function clearText(form: HTMLFormElement | null): void {
  for (const name of ["title", "body", "link"]) {
    const control = form?.elements.namedItem(name);
    if (control instanceof HTMLInputElement || control instanceof HTMLTextAreaElement) control.value = "";
  }
}

const FIELDS: Record<string, Field> = { recipients: "to", title: "title", body: "body", action_url: "link" };

function explain(thrown: unknown): Outcome {
  if (!(thrown instanceof ClarionError)) return { ...NOTHING, trouble: "Something went wrong. Please try again." };
  const faults: Partial<Record<Field, string>> = {};
  for (const { pointer, detail } of thrown.errors) {
    const field = FIELDS[pointer.split("/")[1] ?? ""];
    if (field) faults[field] = faults[field] ? `${faults[field]} · ${detail}` : detail;
  }
  const isInFields = Object.keys(faults).length > 0;
  const trouble = isInFields ? "Not sent. Please look at the marked fields." : `Not sent: ${thrown.detail}`;
  return { accepted: null, trouble, faults };
}
