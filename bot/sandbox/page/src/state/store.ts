import { useSyncExternalStore } from "react";
import type { Channel, Message, Prompt, Session, Snapshot, User, View } from "../types";

export type PageEvent = { n: number } & (
  | ({ type: "message" } & ({ message: Message } | Message))
  | { type: "message_deleted"; channel: string; ts: string }
  | { type: "modals"; user: string; stack: View[] }
  | { type: "home"; user: string; view: View | null }
  | { type: "status"; key: string; text: string }
  | { type: "prompts"; key: string; prompts: Prompt[] }
  | ({ type: "session"; key: string } & Session)
  | { type: "channel"; channel: Channel }
  | { type: "user"; user: User }
  | { type: "socket"; connected: number | { connected: number } }
);

/** The state of the connection; `gone` only after a reconnection has failed. */
export type Link = "starting" | "open" | "lost" | "gone";

export interface Toast {
  id: number;
  text: string;
}

export interface AppState {
  snap: Snapshot | undefined;
  link: Link;
  toasts: Toast[];
}

const order = (a: string, b: string): number => Number(a) - Number(b) || (a < b ? -1 : a > b ? 1 : 0);

function upsert(list: Message[], message: Message): Message[] {
  let at = list.length;
  while (at > 0 && order(list[at - 1]?.ts ?? "", message.ts) > 0) at -= 1;
  const same = list[at - 1]?.ts === message.ts;
  return list.toSpliced(same ? at - 1 : at, same ? 1 : 0, message);
}

function replaceById<T extends { id: string }>(list: T[], item: T): T[] {
  const at = list.findIndex((each) => each.id === item.id);
  return at < 0 ? [...list, item] : list.with(at, item);
}

/** The snapshot after an event; pure. Events that it already includes change nothing. */
export function apply(snap: Snapshot, event: PageEvent): Snapshot {
  if (event.n <= snap.cursor) return snap;
  const next = { ...snap, cursor: event.n };
  switch (event.type) {
    case "message": {
      const message = "message" in event ? event.message : event;
      const list = upsert(snap.messages[message.channel] ?? [], message);
      return { ...next, messages: { ...snap.messages, [message.channel]: list } };
    }
    case "message_deleted": {
      const list = (snap.messages[event.channel] ?? []).filter((message) => message.ts !== event.ts);
      return { ...next, messages: { ...snap.messages, [event.channel]: list } };
    }
    case "modals":
      return { ...next, modals: { ...snap.modals, [event.user]: event.stack } };
    case "home":
      return { ...next, homes: { ...snap.homes, [event.user]: event.view } };
    case "status":
      return { ...next, statuses: { ...snap.statuses, [event.key]: event.text } };
    case "prompts":
      return { ...next, suggested_prompts: { ...snap.suggested_prompts, [event.key]: event.prompts } };
    case "session": {
      const { key, status, title = "" } = event;
      return { ...next, sessions: { ...snap.sessions, [key]: { status, title } } };
    }
    case "channel":
      return { ...next, channels: replaceById(snap.channels, event.channel) };
    case "user":
      return { ...next, users: replaceById(snap.users, event.user) };
    case "socket":
      return {
        ...next,
        socket: typeof event.connected === "number" ? { connected: event.connected } : event.connected,
      };
    default:
      return next;
  }
}

let state: AppState = { snap: undefined, link: "starting", toasts: [] };
let toastId = 0;
const listeners = new Set<() => void>();

export function update(change: Partial<AppState>): void {
  state = { ...state, ...change };
  for (const listener of listeners) listener();
}

export const current = (): AppState => state;

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export const useApp = (): AppState => useSyncExternalStore(subscribe, current);

/** The snapshot; for components that are drawn only if there is one. */
export function useSnap(): Snapshot {
  const { snap } = useApp();
  if (!snap) throw new Error("drawn before the state was loaded");
  return snap;
}

export function dismissToast(id: number): void {
  update({ toasts: state.toasts.filter((toast) => toast.id !== id) });
}

/** A part of the snapshot; the component is drawn again only if this part changes. */
export function useSelected<T>(select: (snap: Snapshot) => T): T {
  return useSyncExternalStore(subscribe, () => {
    if (!state.snap) throw new Error("drawn before the state was loaded");
    return select(state.snap);
  });
}

/** Shows an error for seven seconds; identical errors are shown once. */
export function toast(text: string): void {
  const id = ++toastId;
  update({ toasts: [...state.toasts.filter((each) => each.text !== text), { id, text }].slice(-4) });
  setTimeout(() => dismissToast(id), 7_000);
}
