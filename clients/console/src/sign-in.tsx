/** Signing in, or making an account. */

import { ClarionError, type Session } from "@clarion/client";
import { type FormEvent, useRef, useState } from "react";
import { Mark } from "./icons.tsx";

type Mode = "sign-in" | "register";

const WORDS = {
  "sign-in": { title: "Sign in", submit: "Sign in", other: "No account yet?", change: "Create one" },
  register: { title: "Create an account", submit: "Create account", other: "Have an account?", change: "Sign in" },
} as const;

export function SignIn({ session, hasEnded }: { session: Session; hasEnded: boolean }) {
  const [mode, setMode] = useState<Mode>("sign-in");
  const [error, setError] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const first = useRef<HTMLInputElement>(null);
  const words = WORDS[mode];

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    if (isBusy) return;
    const form = new FormData(event.currentTarget);
    const given = { username: text(form, "username").trim().toLowerCase(), password: text(form, "password") };
    setBusy(true);
    setError(null);
    try {
      await (mode === "sign-in" ? session.signIn(given) : session.register(given));
    } catch (thrown) {
      setError(explain(thrown, mode));
      setBusy(false);
      first.current?.focus();
    }
  }

  return (
    <main className="sign-in">
      <form className="card sign-in-card" onSubmit={submit} aria-labelledby="sign-in-title">
        <div className="brand">
          <Mark />
          <span>Clarion</span>
        </div>
        <h1 id="sign-in-title">{words.title}</h1>
        {hasEnded && !error && <p className="notice">Your session has ended. Please sign in again.</p>}
        <div role="alert">{error && <p className="notice bad">{error}</p>}</div>
        <label className="field">
          <span>User name</span>
          <input
            ref={first}
            name="username"
            data-testid="username"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            required
            maxLength={128}
          />
        </label>
        <label className="field">
          <span>Password</span>
          <input
            name="password"
            type="password"
            data-testid="password"
            autoComplete={mode === "sign-in" ? "current-password" : "new-password"}
            required
            maxLength={1024}
          />
        </label>
        <button type="submit" className="button primary wide" data-testid="submit" aria-disabled={isBusy}>
          {isBusy ? "One moment…" : words.submit}
        </button>
        <p className="muted center">
          {words.other}{" "}
          <button
            type="button"
            className="link"
            data-testid="mode"
            onClick={() => {
              setMode(mode === "sign-in" ? "register" : "sign-in");
              setError(null);
            }}
          >
            {words.change}
          </button>
        </p>
      </form>
    </main>
  );
}

function text(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === "string" ? value : "";
}

function explain(thrown: unknown, mode: Mode): string {
  if (!(thrown instanceof ClarionError)) return "Something went wrong. Please try again.";
  if (thrown.status === 401 && mode === "sign-in") return "User name or password is wrong.";
  if (thrown.status === 409 && mode === "register") return "This user name is taken.";
  return [thrown.detail, ...thrown.errors.map((fault) => fault.detail)].join(" · ");
}
