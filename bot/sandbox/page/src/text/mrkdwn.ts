/** Parses Slack's mrkdwn to a tree; pure, without HTML. */

import { emoji } from "./emoji";

export type Inline =
  | { kind: "text"; text: string }
  | { kind: "bold" | "italic" | "strike"; children: Inline[] }
  | { kind: "code"; text: string }
  | { kind: "link"; url: string; label: string }
  | { kind: "user" | "channel" | "group"; id: string; label: string }
  | { kind: "broadcast"; range: string }
  | { kind: "date"; at: number; format: string; url: string; fallback: string }
  | { kind: "emoji"; name: string; text: string }
  | { kind: "break" };

export type Chunk =
  | { kind: "paragraph"; children: Inline[] }
  | { kind: "quote"; children: Inline[] }
  | { kind: "item"; marker: string; depth: number; children: Inline[] }
  | { kind: "pre"; text: string };

export interface Options {
  /** Whether to parse bold, italic, strike and code; off for rich text, which has its own styles. */
  marks?: boolean;
  /** Whether bare URLs become links. */
  autolink?: boolean;
  /** Whether to parse angle brackets: links, people, channels, dates. */
  angles?: boolean;
}

const STYLES = { "*": "bold", _: "italic", "~": "strike" } as const;
const WORD = /[\p{L}\p{N}]/u;
// Each level parses its text again, so deep nesting would be slow.
const DEPTH = 8;

/** Undoes the three escapes that Slack uses. */
export function unescape(text: string): string {
  return text.replace(/&(lt|gt|amp);/g, (_, name: string) =>
    name === "lt" ? "<" : name === "gt" ? ">" : "&",
  );
}

/** The address if a page may open it, else undefined. */
export function safeUrl(url: string): string | undefined {
  return /^(https?:\/\/|mailto:)/i.test(url) ? url : undefined;
}

function angle(body: string): Inline | undefined {
  const bar = body.indexOf("|");
  const target = bar < 0 ? body : body.slice(0, bar);
  const label = bar < 0 ? "" : unescape(body.slice(bar + 1));
  if (/^@[UW][A-Z0-9]+$/.test(target)) return { kind: "user", id: target.slice(1), label };
  if (/^#C[A-Z0-9]+$/.test(target)) return { kind: "channel", id: target.slice(1), label };
  const group = /^!subteam\^(\w+)$/.exec(target);
  if (group) return { kind: "group", id: group[1] ?? "", label };
  if (/^!(here|channel|everyone)$/.test(target)) return { kind: "broadcast", range: target.slice(1) };
  const date = /^!date\^(\d+)\^([^^]*)(?:\^(.*))?$/.exec(target);
  if (date) {
    const [, at, format = "", url = ""] = date;
    return { kind: "date", at: Number(at), format: unescape(format), url: unescape(url), fallback: label };
  }
  const url = unescape(target);
  return safeUrl(url) ? { kind: "link", url, label: label || url } : undefined;
}

/** Where the style opened at `from` ends, or -1: the closing mark is on the same line, after and before no space. */
function closing(text: string, from: number, mark: string): number {
  for (let i = from + 2; i < text.length; i++) {
    const char = text[i];
    if (char === "\n") return -1;
    if (char === "`") {
      const end = text.indexOf("`", i + 1);
      const line = text.indexOf("\n", i);
      if (end > 0 && (line < 0 || end < line)) i = end;
    } else if (char === "<") {
      const tag = /^<[^<>\n]+>/.exec(text.slice(i, i + 4000));
      if (tag) i += tag[0].length - 1;
    } else if (char === mark && !/\s/.test(text[i - 1] ?? " ") && !WORD.test(text[i + 1] ?? "")) {
      return i;
    }
  }
  return -1;
}

class Reader {
  private readonly out: Inline[] = [];
  private plain = "";
  /** For each mark, the position before which there is no closing one. */
  private readonly hopeless = new Map<string, number>();

  constructor(
    private readonly text: string,
    private readonly options: Required<Options>,
    private readonly depth: number,
  ) {}

  read(): Inline[] {
    let at = 0;
    while (at < this.text.length) at += this.special(at) || this.letter(at);
    this.flush();
    return this.out;
  }

  private flush(): void {
    if (this.plain) this.out.push({ kind: "text", text: unescape(this.plain) });
    this.plain = "";
  }

  private push(node: Inline): void {
    this.flush();
    this.out.push(node);
  }

  private letter(at: number): number {
    this.plain += this.text[at];
    return 1;
  }

  /** Parses the token that starts at `at` and returns its length, or 0 for an ordinary character. */
  private special(at: number): number {
    switch (this.text[at]) {
      case "\n":
        this.push({ kind: "break" });
        return 1;
      case "<":
        return this.options.angles ? this.angle(at) : 0;
      case "`":
        return this.options.marks ? this.code(at) : 0;
      case "*":
      case "_":
      case "~":
        return this.options.marks && this.depth < DEPTH ? this.style(at) : 0;
      case ":":
        return this.emoji(at);
      case "h":
      case "H":
        return this.options.autolink ? this.address(at) : 0;
      default:
        return 0;
    }
  }

  private angle(at: number): number {
    const end = this.text.indexOf(">", at);
    const body = end < 0 ? "" : this.text.slice(at + 1, end);
    const node = /[<\n]/.test(body) ? undefined : angle(body);
    if (!node) return 0;
    this.push(node);
    return body.length + 2;
  }

  private code(at: number): number {
    const found = /^`([^`\n]+)`/.exec(this.text.slice(at, at + 4000));
    if (!found) return 0;
    this.push({ kind: "code", text: unescape(found[1] ?? "") });
    return found[0].length;
  }

  private style(at: number): number {
    const mark = this.text[at] as keyof typeof STYLES;
    const next = this.text[at + 1] ?? " ";
    if (WORD.test(this.text[at - 1] ?? "") || /\s/.test(next) || next === mark) return 0;
    if (at < (this.hopeless.get(mark) ?? 0)) return 0;
    const end = closing(this.text, at, mark);
    if (end < 0) {
      const line = this.text.indexOf("\n", at);
      this.hopeless.set(mark, line < 0 ? this.text.length : line);
      return 0;
    }
    const inner = this.text.slice(at + 1, end);
    this.push({ kind: STYLES[mark], children: new Reader(inner, this.options, this.depth + 1).read() });
    return end - at + 1;
  }

  private emoji(at: number): number {
    const found = /^:([a-z0-9_+'-]+):(?::?skin-tone-\d:)?/.exec(this.text.slice(at, at + 80));
    const text = found && emoji(found[1] ?? "");
    if (!found || !text) return 0;
    this.push({ kind: "emoji", name: found[1] ?? "", text });
    return found[0].length;
  }

  private address(at: number): number {
    if (WORD.test(this.text[at - 1] ?? "")) return 0;
    const found = /^https?:\/\/[^\s<>|`]+/i.exec(this.text.slice(at, at + 2000));
    if (!found) return 0;
    const url = found[0].replace(/(?:[.,;:!?'"*_~)\]}]|&gt;)+$/, "");
    if (!/^https?:\/\/./i.test(url)) return 0;
    this.push({ kind: "link", url: unescape(url), label: unescape(url) });
    return url.length;
  }
}

export function parseInline(text: string, options: Options = {}): Inline[] {
  return new Reader(text, { marks: true, autolink: true, angles: true, ...options }, 0).read();
}

const QUOTE = /^(?:>|&gt;) ?/;
const ITEM = /^( *)([•◦▪‣]|\d{1,3}[.)]) +(?=\S)/;

function lines(text: string, options: Options): Chunk[] {
  const chunks: Chunk[] = [];
  let open: { kind: "paragraph" | "quote"; lines: string[] } | undefined;
  const close = () => {
    if (open) chunks.push({ kind: open.kind, children: parseInline(open.lines.join("\n"), options) });
    open = undefined;
  };
  const add = (kind: "paragraph" | "quote", line: string) => {
    if (open?.kind !== kind) close();
    open ??= { kind, lines: [] };
    open.lines.push(line);
  };
  const all = text.split("\n");
  for (const [at, line] of all.entries()) {
    if (/^(?:>>>|&gt;&gt;&gt;)/.test(line)) {
      const rest = [line.replace(/^(?:>>>|&gt;&gt;&gt;) ?/, ""), ...all.slice(at + 1)];
      for (const quoted of rest) add("quote", quoted);
      break;
    }
    const item = ITEM.exec(line);
    if (QUOTE.test(line)) add("quote", line.replace(QUOTE, ""));
    else if (item) {
      close();
      const children = parseInline(line.slice(item[0].length), options);
      chunks.push({ kind: "item", marker: item[2] ?? "", depth: (item[1] ?? "").length >> 1, children });
    } else add("paragraph", line);
  }
  close();
  return chunks;
}

/** The whole text as paragraphs, quotes, list items and code; a fence that is never closed is text. */
export function parse(text: string, options: Options = {}): Chunk[] {
  const chunks: Chunk[] = [];
  let at = 0;
  for (const fence of text.matchAll(/```([\s\S]+?)```/g)) {
    const code = fence[1] ?? "";
    if (!code.trim()) continue;
    const before = text.slice(at, fence.index).replace(/\n$/, "");
    if (before) chunks.push(...lines(before, options));
    chunks.push({ kind: "pre", text: unescape(code.replace(/^\n/, "").replace(/\n$/, "")) });
    at = fence.index + fence[0].length;
    if (text[at] === "\n") at += 1;
  }
  if (at < text.length) chunks.push(...lines(text.slice(at), options));
  return chunks;
}
