import { describe, expect, it } from "vitest";
import { parse, parseInline, safeUrl, type Inline } from "./mrkdwn";

const text = (value: string): Inline => ({ kind: "text", text: value });

describe("inline styles", () => {
  it.each([
    ["*bold*", "bold"],
    ["_italic_", "italic"],
    ["~strike~", "strike"],
  ])("%s is %s", (source, kind) => {
    expect(parseInline(source)).toMatchObject([{ kind }]);
  });

  it("nests", () => {
    expect(parseInline("*_both_*")).toEqual([
      { kind: "bold", children: [{ kind: "italic", children: [text("both")] }] },
    ]);
  });

  it.each(["snake_case_name", "2*3*4", "a * b * c", "**", "*", "* a*", "*a *", "*a\nb*", "~", "~/x ~/y"])(
    "%j is plain",
    (source) => {
      const kinds = parseInline(source).map((node) => node.kind);
      expect(kinds.filter((kind) => kind !== "text" && kind !== "break")).toEqual([]);
    },
  );

  it("keeps marks inside code", () => {
    expect(parseInline("`*a* <b>`")).toEqual([{ kind: "code", text: "*a* <b>" }]);
    expect(parseInline("*x `*` y*")).toEqual([
      { kind: "bold", children: [text("x "), { kind: "code", text: "*" }, text(" y")] },
    ]);
  });

  it("undoes Slack's three escapes once, and no other", () => {
    expect(parseInline("&lt;b&gt; &amp;lt; &quot;")).toEqual([text("<b> &lt; &quot;")]);
  });

  it("is quick on hostile text", () => {
    const started = performance.now();
    parse("*a ".repeat(14_000));
    parse("*_~".repeat(14_000));
    parse("<".repeat(40_000));
    parse("`".repeat(40_000));
    parse("[](".repeat(14_000));
    expect(performance.now() - started).toBeLessThan(1500);
  });
});

describe("angle brackets", () => {
  it("reads links, with and without a label", () => {
    expect(parseInline("<https://a.example/?x=1&amp;y=2|the page>")).toEqual([
      { kind: "link", url: "https://a.example/?x=1&y=2", label: "the page" },
    ]);
    expect(parseInline("<mailto:a@b.example|a>")).toMatchObject([
      { kind: "link", url: "mailto:a@b.example" },
    ]);
  });

  it.each(["<javascript:alert(1)|x>", "<data:text/html,x>", "<file:///etc/passwd>", "<b>", "<script>", "<>"])(
    "%s is no link",
    (source) => {
      expect(parseInline(source).every((node) => node.kind === "text")).toBe(true);
    },
  );

  it("reads people, channels, broadcasts and dates", () => {
    expect(parseInline("<@U1> <#C2|general> <!here> <!date^1700000000^{date}|then>")).toMatchObject([
      { kind: "user", id: "U1" },
      text(" "),
      { kind: "channel", id: "C2", label: "general" },
      text(" "),
      { kind: "broadcast", range: "here" },
      text(" "),
      { kind: "date", at: 1_700_000_000, format: "{date}", fallback: "then" },
    ]);
  });

  it("leaves escaped ones alone", () => {
    expect(parseInline("&lt;!channel&gt; &lt;@U1&gt;")).toEqual([text("<!channel> <@U1>")]);
  });
});

describe("addresses and emoji", () => {
  it("links a bare address without the stop after it", () => {
    expect(parseInline("see http://127.0.0.1:8000/v1.")).toEqual([
      text("see "),
      { kind: "link", url: "http://127.0.0.1:8000/v1", label: "http://127.0.0.1:8000/v1" },
      text("."),
    ]);
  });

  it("knows Slack's shortcodes, and leaves times alone", () => {
    expect(parseInline(":white_check_mark:")).toMatchObject([{ kind: "emoji", text: "✅" }]);
    expect(parseInline("at 12:30:45 :no_such_thing:")).toEqual([text("at 12:30:45 :no_such_thing:")]);
  });

  it("opens only http, https and mailto", () => {
    expect(safeUrl("HTTPS://a.example")).toBeDefined();
    expect(safeUrl(" javascript:alert(1)")).toBeUndefined();
    expect(safeUrl("java\nscript:alert(1)")).toBeUndefined();
  });
});

describe("chunks", () => {
  it("cuts fences out of the text", () => {
    expect(parse("before\n```\ncurl *x* &lt;y&gt;\n  z\n```\nafter")).toEqual([
      { kind: "paragraph", children: [text("before")] },
      { kind: "pre", text: "curl *x* <y>\n  z" },
      { kind: "paragraph", children: [text("after")] },
    ]);
  });

  it("takes a fence that is never closed as text", () => {
    expect(parse("a ```b")).toEqual([{ kind: "paragraph", children: [text("a ```b")] }]);
  });

  it("joins the lines of a quote, and >>> quotes the rest", () => {
    expect(parse("&gt; a\n> b\nc")).toEqual([
      { kind: "quote", children: [text("a"), { kind: "break" }, text("b")] },
      { kind: "paragraph", children: [text("c")] },
    ]);
    expect(parse(">>> a\nb")).toHaveLength(1);
  });

  it("sets list items apart, and leaves a dash a dash as Slack does", () => {
    expect(parse("- one")).toMatchObject([{ kind: "paragraph", children: [text("- one")] }]);
    expect(parse("• one\n  1. two\nrest")).toMatchObject([
      { kind: "item", marker: "•", depth: 0 },
      { kind: "item", marker: "1.", depth: 1 },
      { kind: "paragraph" },
    ]);
  });
});
