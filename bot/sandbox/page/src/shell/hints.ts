/** The composer's suggestions while a person types; pure. */

import type { Command, Snapshot } from "../types";

export interface Hint {
  key: string;
  /** The text shown, and the fainter text after it. */
  name: string;
  rest: string;
  description: string;
  /** The complete text after the choice, and the cursor's position in it. */
  text: string;
  cursor: number;
}

export interface Hints {
  items: Hint[];
  /** Index of the preselected suggestion; with -1, Enter sends. */
  active: number;
  /** Usage of the typed command, if there is nothing left to choose. */
  usage: string;
}

const NONE: Hints = { items: [], active: -1, usage: "" };

const usageOf = (command: Command, usage: string): string =>
  usage.startsWith(`${command.command} `) ? usage.slice(command.command.length + 1) : usage;

function commands(all: Command[], text: string): Hints {
  const [word = ""] = text.split(/\s/, 1);
  const command = all.find((each) => each.command === word);
  if (!command || text === word) {
    const items = all
      .filter((each) => each.command.startsWith(word))
      .map((each) => ({
        key: each.command,
        name: each.command,
        rest: each.usage_hint ?? "",
        description: each.description,
        text: `${each.command} `,
        cursor: each.command.length + 1,
      }));
    return /\s/.test(text) ? NONE : { items, active: text === command?.command ? -1 : 0, usage: "" };
  }
  return subcommands(command, text.slice(word.length).trimStart());
}

function subcommands(command: Command, typed: string): Hints {
  const [first = ""] = typed.split(/\s/, 1);
  const known = command.subcommands.map((each) => {
    const usage = usageOf(command, each.usage);
    const [name = ""] = usage.split(" ", 1);
    return { name, rest: usage.slice(name.length + 1), description: each.description };
  });
  const exact = known.find((each) => each.name === first);
  if (typed !== first) {
    return exact ? { ...NONE, usage: `${command.command} ${exact.name} ${exact.rest}`.trimEnd() } : NONE;
  }
  const items = known
    .filter((each) => each.name.startsWith(first.toLowerCase()))
    .map((each) => {
      const text = `${command.command} ${each.name}${each.rest ? " " : ""}`;
      return { ...each, key: each.name, name: `${command.command} ${each.name}`, text, cursor: text.length };
    });
  return { items, active: first && !exact ? 0 : -1, usage: "" };
}

function people(snap: Snapshot, members: string[], text: string, cursor: number): Hints {
  const found = /(?:^|[\s(])@([\p{L}\p{N}._-]*)$/u.exec(text.slice(0, cursor));
  if (!found) return NONE;
  const typed = (found[1] ?? "").toLowerCase();
  const start = cursor - typed.length;
  const items = snap.users
    .filter((user) => members.includes(user.id) || user.is_bot)
    .filter((user) => [user.name, user.real_name].some((name) => name.toLowerCase().startsWith(typed)))
    .sort((a, b) => Number(b.is_bot) - Number(a.is_bot))
    .map((user) => {
      const after = text.slice(cursor);
      const gap = /^\s/.test(after) ? "" : " ";
      return {
        key: user.id,
        name: `@${user.name}`,
        rest: "",
        description: user.real_name + (user.is_bot ? " (app)" : ""),
        text: text.slice(0, start) + user.name + gap + after,
        cursor: start + user.name.length + 1,
      };
    });
  return { items, active: 0, usage: "" };
}

export function hints(
  snap: Snapshot,
  members: string[],
  threaded: boolean,
  text: string,
  cursor: number,
): Hints {
  if (text.startsWith("/") && !threaded) {
    const typed = text.slice(0, cursor);
    const found = typed.includes("\n") ? NONE : commands(snap.commands, typed);
    if (found.items.length > 0 || cursor === 0) return found;
    const named = people(snap, members, text, cursor);
    return named.items.length > 0 ? named : found;
  }
  return people(snap, members, text, cursor);
}
