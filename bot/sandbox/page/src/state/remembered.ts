/** What only this browser stores: read marks, dismissed messages, typed commands. */

import { useSyncExternalStore } from "react";

interface Remembered {
  read: Record<string, string>;
  dismissed: string[];
  typed: string[];
}

const KEY = "mixtral-bot-page";
const KEPT = 200;
const listeners = new Set<() => void>();

function load(): Remembered {
  const empty: Remembered = { read: {}, dismissed: [], typed: [] };
  try {
    return { ...empty, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Remembered>) };
  } catch {
    return empty;
  }
}

let remembered = load();

function change(part: Partial<Remembered>): void {
  remembered = { ...remembered, ...part };
  try {
    localStorage.setItem(KEY, JSON.stringify(remembered));
  } catch {
    // If the storage is full or forbidden, only the marks are lost, on a reload.
  }
  for (const listener of listeners) listener();
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export const useRemembered = (): Remembered => useSyncExternalStore(subscribe, () => remembered);

export const readMark = (me: string, channel: string): string | undefined =>
  remembered.read[`${me} ${channel}`];

export function markRead(me: string, channel: string, ts: string): void {
  if (readMark(me, channel) !== ts) change({ read: { ...remembered.read, [`${me} ${channel}`]: ts } });
}

export function dismiss(key: string): void {
  change({ dismissed: [...remembered.dismissed, key].slice(-KEPT) });
}

export function recall(): string[] {
  return remembered.typed;
}

export function typed(text: string): void {
  change({ typed: [...remembered.typed.filter((each) => each !== text), text].slice(-50) });
}
