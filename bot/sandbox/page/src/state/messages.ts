/** Selects the messages of channels and threads; pure. */

import type { Channel, Message, Snapshot } from "../types";

export const isReply = (message: Message): boolean =>
  message.thread_ts !== undefined && message.thread_ts !== null && message.thread_ts !== message.ts;

export const keyOf = (message: Message): string => `${message.channel}:${message.ts}`;

function visible(snap: Snapshot, dismissed: string[], message: Message): boolean {
  if (message.deleted) return false;
  if (!message.ephemeral_to) return true;
  return message.ephemeral_to === snap.me && !dismissed.includes(keyOf(message));
}

/** The messages of the channel itself; of replies, only those that were also sent to the channel. */
export function inChannel(snap: Snapshot, channel: string, dismissed: string[]): Message[] {
  return (snap.messages[channel] ?? []).filter(
    (message) =>
      visible(snap, dismissed, message) && (!isReply(message) || message.subtype === "thread_broadcast"),
  );
}

/** The thread, its root first; empty if there is no such root. */
export function inThread(snap: Snapshot, channel: string, root: string, dismissed: string[]): Message[] {
  return (snap.messages[channel] ?? []).filter(
    (message) =>
      visible(snap, dismissed, message) &&
      (message.ts === root || (message.thread_ts === root && !message.deleted)),
  );
}

export const authorOf = (message: Message): string =>
  message.user ?? message.bot_id ?? message.username ?? "";

/** The channels and direct messages that a person sees. */
export function channelsOf(snap: Snapshot): Channel[] {
  return snap.channels.filter((each) => each.kind === "channel" || each.members.includes(snap.me));
}

/** The number of messages newer than the mark, and whether one of them is a mention or a direct message. */
export function unread(
  snap: Snapshot,
  channel: Channel,
  mark: string | undefined,
): { count: number; meant: boolean } {
  const fresh = (snap.messages[channel.id] ?? []).filter((message) => {
    if (!visible(snap, [], message) || Number(message.ts) <= Number(mark ?? Infinity)) return false;
    if (authorOf(message) === snap.me) return false;
    return channel.kind === "im" || !isReply(message) || message.text.includes(`<@${snap.me}>`);
  });
  const meant = channel.kind === "im" || fresh.some((message) => message.text.includes(`<@${snap.me}>`));
  return { count: fresh.length, meant };
}

/** The app's name in a sentence. */
export const appName = (snap: Pick<Snapshot, "app" | "users">): string =>
  snap.users.find((user) => user.id === snap.app.bot_user_id)?.real_name ?? snap.app.name;

/** The name of a conversation as this reader sees it. */
export function titleOf(snap: Snapshot, channel: Channel): string {
  if (channel.kind === "channel") return channel.name;
  const others = channel.members.filter((id) => id !== snap.me);
  const names = others.map((id) => snap.users.find((user) => user.id === id)?.real_name ?? id);
  return names.join(", ") || channel.name;
}
