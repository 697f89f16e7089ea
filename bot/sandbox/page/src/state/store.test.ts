import { describe, expect, it } from "vitest";
import type { Message, Snapshot } from "../types";
import { apply, type PageEvent } from "./store";

const message = (ts: string, text = ""): Message => ({ channel: "C1", ts, text });

const empty: Snapshot = {
  cursor: 10,
  team: { id: "T1", name: "" },
  me: "U1",
  app: { id: "A1", bot_user_id: "U9", name: "" },
  notice: "",
  users: [],
  channels: [],
  commands: [],
  messages: {},
  homes: {},
  modals: {},
  statuses: {},
  suggested_prompts: {},
  sessions: {},
  socket: { connected: 0 },
};

const after = (...events: PageEvent[]): Snapshot => events.reduce(apply, empty);
const texts = (snap: Snapshot) => snap.messages["C1"]?.map((each) => each.text);

describe("events", () => {
  it("puts messages in order, and a changed one in the place of the old", () => {
    const snap = after(
      { n: 11, type: "message", message: message("2.0", "b") },
      { n: 12, type: "message", message: message("1.0", "a") },
      { n: 13, type: "message", message: message("10.0", "c") },
      { n: 14, type: "message", message: message("2.0", "B") },
    );
    expect(texts(snap)).toEqual(["a", "B", "c"]);
    expect(snap.cursor).toBe(14);
  });

  it("takes deleted messages away", () => {
    const snap = after(
      { n: 11, type: "message", message: message("1.0", "a") },
      { n: 12, type: "message_deleted", channel: "C1", ts: "1.0" },
    );
    expect(texts(snap)).toEqual([]);
  });

  it("passes over what the snapshot holds already, and what it does not know", () => {
    expect(after({ n: 10, type: "message", message: message("1.0") })).toBe(empty);
    expect(after({ n: 11, type: "newer" } as unknown as PageEvent).cursor).toBe(11);
  });
});
