/** The requests to the server, and the stream of events from it. */

import type { ElementState, Message, NewFile, Snapshot, Values } from "../types";
import { apply, current, toast, update, type PageEvent } from "./store";

export interface Answer {
  ok: boolean;
  error?: string;
  errors?: Record<string, string>;
}

const UNREACHABLE = "the sandbox does not answer. Is “make demo” still running?";

async function post(path: string, body: object): Promise<Answer> {
  try {
    const response = await fetch(`/page/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const answer = (await response.json().catch(() => undefined)) as Partial<Answer> | undefined;
    if (!response.ok) {
      return { ok: false, error: answer?.error ?? `The sandbox answered with status ${response.status}.` };
    }
    return { ok: true, ...answer };
  } catch {
    return { ok: false, error: UNREACHABLE };
  }
}

/** Sentences for Slack's error codes. */
const WORDS: Record<string, string> = {
  message_not_found: "that message is no longer there.",
  thread_not_found: "that thread is no longer there.",
  action_not_found: "the message has changed meanwhile; try again.",
  not_found: "it is no longer there.",
  no_text: "there is nothing to send.",
  not_processing: "the answer is complete already.",
};

async function said(doing: string, answer: Promise<Answer>): Promise<Answer> {
  const got = await answer;
  if (!got.ok && !got.errors) {
    const why = got.error ?? "the sandbox gave no reason.";
    toast(`${doing}: ${WORDS[why] ?? why}`);
  }
  return got;
}

export interface ActionOrigin {
  container: "message" | "view" | "home";
  channel?: string;
  message_ts?: string;
  view_id?: string;
}

export interface ActionDone extends ElementState {
  text?: unknown;
}

const me = (): string => current().snap?.me ?? "";

export const send = (channel: string, text: string, thread_ts?: string): Promise<Answer> =>
  said("Not sent", post("send", { user: me(), channel, text, ...(thread_ts ? { thread_ts } : {}) }));

/** Uploads files, possibly with a text. */
export const sendFiles = (
  channel: string,
  text: string,
  files: NewFile[],
  thread_ts?: string,
): Promise<Answer> =>
  said("Not sent", post("files", { user: me(), channel, text, files, ...(thread_ts ? { thread_ts } : {}) }));

/** Sends a message on to another conversation, possibly with a comment. */
export const forward = ({ channel, ts }: Message, to: string, text: string): Promise<Answer> =>
  said("Not forwarded", post("forward", { user: me(), channel: to, text, shared: { channel, ts } }));

export const edit = (channel: string, ts: string, text: string): Promise<Answer> =>
  said("Not changed", post("edit", { user: me(), channel, ts, text }));

export const remove = (channel: string, ts: string): Promise<Answer> =>
  said("Not deleted", post("delete", { user: me(), channel, ts }));

/** Chooses an action of the app in the menu of a message. */
export const shortcut = (channel: string, message_ts: string, callback_id: string): Promise<Answer> =>
  said("That did not get through", post("shortcuts", { user: me(), channel, message_ts, callback_id }));

export const act = (
  origin: ActionOrigin,
  block_id: string,
  action_id: string,
  action: ActionDone,
  values: Values,
): Promise<Answer> =>
  said(
    "That did not get through",
    post("action", { user: me(), ...origin, block_id, action_id, action, state: { values } }),
  );

/** A failure is shown in the modal. */
export const submitView = (view_id: string, values: Values): Promise<Answer> =>
  post("view", { user: me(), view_id, kind: "submit", values });

/** Closes a modal and those above it; `all`: those below it, too. */
export const closeView = (view_id: string, values: Values, all = false): Promise<Answer> =>
  said("Not closed", post("view", { user: me(), view_id, kind: all ? "clear" : "close", values }));

/** Presses Stop in a thread where the app works. */
export const stop = (channel: string, thread_ts: string): Promise<Answer> =>
  said("Not stopped", post("stop", { user: me(), channel, thread_ts }));

export const openHome = (): Promise<Answer> => post("home", { user: me() });

export const openDm = (): Promise<Answer> => post("dm", { user: me() });

export async function switchUser(user: string): Promise<void> {
  const answer = await said("Not switched", post("switch", { user }));
  if (answer.ok) await load();
}

/** The events that arrive while a snapshot is fetched: it may be older than they are. */
const arrived = new Set<PageEvent[]>();

async function load(): Promise<Snapshot> {
  const events: PageEvent[] = [];
  arrived.add(events);
  try {
    const response = await fetch("/page/state", { cache: "no-store" });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const snap = (await response.json()) as Snapshot;
    update({ snap: events.reduce(apply, snap) });
    return snap;
  } finally {
    arrived.delete(events);
  }
}

const pause = (milliseconds: number) => new Promise<void>((done) => setTimeout(done, milliseconds));

let queue: PageEvent[] = [];

// Events arrive faster than a screen draws: those within one frame are drawn together.
function enqueue(event: PageEvent): void {
  for (const events of arrived) events.push(event);
  if (queue.push(event) > 1) return;
  setTimeout(() => {
    const events = queue;
    queue = [];
    const { snap } = current();
    if (snap) update({ snap: events.reduce(apply, snap) });
  }, 16);
}

/** Applies events until the connection breaks or the server sends a reset. */
function follow(cursor: number): Promise<void> {
  return new Promise((done) => {
    const source = new EventSource(`/page/events?after=${cursor}`);
    const end = () => {
      source.close();
      done();
    };
    source.onopen = () => update({ link: "open" });
    source.onerror = end;
    source.addEventListener("reset", end);
    source.onmessage = ({ data }: MessageEvent<string>) => {
      const event = JSON.parse(data) as PageEvent | { type: "reset" };
      if (event.type === "reset") end();
      else enqueue(event);
    };
  });
}

/** Keeps the state up to date while the page is open; fetches it again after every disconnection. */
export async function run(): Promise<never> {
  for (;;) {
    try {
      const snap = await load();
      await follow(snap.cursor);
      update({ link: "lost" });
      await pause(300);
    } catch {
      update({ link: "gone" });
      await pause(1000);
    }
  }
}
