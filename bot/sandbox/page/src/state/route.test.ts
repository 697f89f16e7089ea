import { describe, expect, it } from "vitest";
import { hashOf, permalink, readRoute } from "./route";

describe("addresses", () => {
  it("are read as they are written", () => {
    for (const hash of ["#/C1", "#/C1/t/1.000001", "#/C1/m/1.000001", "#/D1/home"]) {
      expect(hashOf(readRoute(hash))).toBe(hash);
    }
  });

  it("of messages stay on the page", () => {
    const url = "https://sandbox.slack.com/archives/C1/p1796001964962902";
    expect(permalink(url)).toEqual({ channel: "C1", message: "1796001964.962902" });
    expect(permalink(`${url}?thread_ts=1796.000001&cid=C1`)).toEqual({
      channel: "C1",
      thread: "1796.000001",
    });
    expect(permalink("https://sandbox.slack.com/files/1")).toBeUndefined();
  });
});
