import { describe, expect, it } from "vitest";
import type { Snapshot } from "../types";
import { hints } from "./hints";

const person = (id: string, name: string, is_bot = false) => ({
  id,
  name,
  real_name: name,
  is_bot,
  color: "",
});

const snap: Snapshot = {
  cursor: 0,
  team: { id: "T1", name: "Sandbox" },
  me: "U1",
  app: { id: "A1", bot_user_id: "U9", name: "mixtral" },
  notice: "",
  users: [person("U1", "robin"), person("U2", "ada"), person("U9", "mixtral", true)],
  channels: [],
  commands: [
    {
      command: "/mixtral",
      description: "Launch, ask and end",
      subcommands: [
        { usage: "launch [RECIPE]", description: "start" },
        { usage: "/mixtral logs NAME", description: "read" },
        { usage: "recipes", description: "list" },
      ],
    },
  ],
  messages: {},
  homes: {},
  modals: {},
  statuses: {},
  suggested_prompts: {},
  sessions: {},
  socket: { connected: 1 },
};

const at = (text: string, threaded = false) => hints(snap, ["U1", "U2", "U9"], threaded, text, text.length);
const names = (text: string, threaded = false) => at(text, threaded).items.map((hint) => hint.key);

describe("slash commands", () => {
  it("offers the command, then its words, and filters them", () => {
    expect(names("/")).toEqual(["/mixtral"]);
    expect(names("/mixtral ")).toEqual(["launch", "logs", "recipes"]);
    expect(names("/mixtral l")).toEqual(["launch", "logs"]);
    expect(at("/mixtral la").items[0]?.text).toBe("/mixtral launch ");
  });

  it("leaves Enter to send what is whole already", () => {
    expect(at("/mixtral").active).toBe(-1);
    expect(at("/mixtral ").active).toBe(-1);
    expect(at("/mixtral recipes").active).toBe(-1);
    expect(at("/mixtral rec").active).toBe(0);
  });

  it("shows how a command is used while its words are typed", () => {
    expect(at("/mixtral launch smol").usage).toBe("/mixtral launch [RECIPE]");
    expect(at("/mixtral logs x").usage).toBe("/mixtral logs NAME");
    expect(at("/mixtral nonsense x")).toMatchObject({ items: [], usage: "" });
  });

  it("offers none in a thread, where Slack takes none", () => {
    expect(names("/", true)).toEqual([]);
  });
});

describe("mentions", () => {
  it("offers the app first, at the beginning of a word only", () => {
    expect(names("@")).toEqual(["U9", "U1", "U2"]);
    expect(names("hello @a")).toEqual(["U2"]);
    expect(names("a@a")).toEqual([]);
  });

  it("puts the name where it was typed", () => {
    const [hint] = hints(snap, ["U1"], true, "hi @mi there", 6).items;
    expect(hint).toMatchObject({ text: "hi @mixtral there", cursor: 12 });
  });
});
