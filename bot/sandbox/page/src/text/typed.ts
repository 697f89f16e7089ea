/** Stored text as its author typed it; pure. */

import type { User } from "../types";

const ESCAPED: Record<string, string> = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };

/** Mentions, channels and URLs become what they are made of when the text is sent again. */
export function typedOf(stored: string, users: Pick<User, "id" | "name">[]): string {
  return stored
    .replace(/<@(U\w+)(?:\|[^>]*)?>/g, (whole, id: string) => {
      const user = users.find((each) => each.id === id);
      return user ? `@${user.name}` : whole;
    })
    .replace(/<#C\w+\|([^>]*)>/g, "#$1")
    .replace(/<!(\w+)[^>]*>/g, "@$1")
    .replace(/<(https?:[^>|]+)(?:\|[^>]*)?>/g, "$1")
    .replace(/&(?:lt|gt|amp);/g, (whole) => ESCAPED[whole] ?? whole);
}
