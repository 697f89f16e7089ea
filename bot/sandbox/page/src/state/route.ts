import { useSyncExternalStore } from "react";

/** The page's address: `#/C123`, `#/C123/t/TS`, `#/D123/home`. */
export interface Route {
  channel: string;
  thread?: string;
  home?: boolean;
}

export function readRoute(hash: string): Route {
  const [, channel = "", kind, ts] = hash.replace(/^#/, "").split("/");
  if (kind === "t" && ts) return { channel, thread: ts };
  return kind === "home" ? { channel, home: true } : { channel };
}

export function hashOf({ channel, thread, home }: Route): string {
  return `#/${channel}${thread ? `/t/${thread}` : home ? "/home" : ""}`;
}

export function go(route: Route, replace = false): void {
  const hash = hashOf(route);
  if (hash === location.hash) return;
  if (replace) location.replace(hash);
  else location.hash = hash;
}

const subscribe = (listener: () => void) => {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
};

export const useHash = (): string => useSyncExternalStore(subscribe, () => location.hash);

export const currentRoute = (): Route => readRoute(location.hash);
