/** The page: signed out, or signed in. */

import type { Session } from "@clarion/client";
import { Home } from "./home.tsx";
import { SignIn } from "./sign-in.tsx";
import { useStore } from "./use-store.ts";

export function App({ session }: { session: Session }) {
  const { status, user, hasEnded } = useStore(session);
  if (status === "restoring") return <main className="sign-in" aria-busy="true" />;
  if (!user) return <SignIn session={session} hasEnded={hasEnded} />;
  // Another person is another page: nothing of the former one's may stay.
  return <Home key={user.id} session={session} user={user} />;
}
