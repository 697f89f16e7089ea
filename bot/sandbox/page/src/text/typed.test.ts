import { describe, expect, it } from "vitest";
import { typedOf } from "./typed";

describe("stored text", () => {
  it("is edited as it was typed", () => {
    const users = [{ id: "U1", name: "ada" }];
    const stored = "<@U1> &amp; <@U2>: a &lt; b in <#C1|general>, <!here>, see <https://x.example/a>";
    expect(typedOf(stored, users)).toBe("@ada & <@U2>: a < b in #general, @here, see https://x.example/a");
  });
});
