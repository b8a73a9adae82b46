/** Stores of the client, in React. */

import type { Readable } from "@clarion/client";
import { useEffect, useState, useSyncExternalStore } from "react";

/** The store's value; the component renders again when it changes. */
export function useStore<T>(store: Readable<T>): T {
  // Stores are objects with methods, some of them of classes: bound here, once a store.
  const [bound, setBound] = useState(() => bind(store));
  const current = bound.store === store ? bound : bind(store);
  if (current !== bound) setBound(current);
  return useSyncExternalStore(current.subscribe, current.getSnapshot);
}

function bind<T>(store: Readable<T>) {
  return {
    store,
    subscribe: (listener: () => void) => store.subscribe(listener),
    getSnapshot: () => store.getSnapshot(),
  };
}

/** The time (ms since 1970), renewed every `everyMs`: for what is shown relative to now. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}
