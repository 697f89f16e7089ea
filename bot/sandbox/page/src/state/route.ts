import { useSyncExternalStore } from "react";

/** The page's address: `#/C123`, `#/C123/t/TS`, `#/C123/m/TS` (a message of the channel), `#/D123/home`. */
export interface Route {
  channel: string;
  thread?: string;
  message?: string;
  home?: boolean;
}

export function readRoute(hash: string): Route {
  const [, channel = "", kind, ts] = hash.replace(/^#/, "").split("/");
  if (kind === "t" && ts) return { channel, thread: ts };
  if (kind === "m" && ts) return { channel, message: ts };
  return kind === "home" ? { channel, home: true } : { channel };
}

export function hashOf({ channel, thread, message, home }: Route): string {
  return `#/${channel}${thread ? `/t/${thread}` : message ? `/m/${message}` : home ? "/home" : ""}`;
}

const PERMALINK = /^https?:\/\/[\w.-]+\/archives\/([CDG]\w+)\/p(\d+)(\d{6})(?:\?thread_ts=([\d.]+))?/;

/** Where a link to a message of the workspace leads on this page; undefined for other links. */
export function permalink(url: string): Route | undefined {
  const [, channel, seconds, micros, thread] = PERMALINK.exec(url) ?? [];
  if (!channel) return undefined;
  return thread ? { channel, thread } : { channel, message: `${seconds}.${micros}` };
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
