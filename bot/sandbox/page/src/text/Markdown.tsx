/** Markdown blocks and streamed answers: the lexer's tokens become elements; HTML is shown as text. */

import { lexer, type Token, type Tokens } from "marked";
import { memo, type ReactNode } from "react";
import { CodeBlock } from "./CodeBlock";
import { parseInline, safeUrl, unescape } from "./mrkdwn";
import { Link, nodes } from "./Text";

/** Text between marks: people, channels, emoji and Slack's three escapes. */
function leaf(text: string): ReactNode {
  return nodes(parseInline(text.replace(/&(?:quot|#39|nbsp);/g, entity), { marks: false, autolink: false }));
}

const entity = (name: string): string => (name === "&quot;" ? '"' : name === "&#39;" ? "'" : "\u00a0");

const inner = (token: { tokens?: Token[]; text?: string }): ReactNode =>
  token.tokens ? token.tokens.map(inline) : leaf(token.text ?? "");

function inline(raw: Token, at: number): ReactNode {
  const token = raw as Tokens.Generic;
  switch (token.type) {
    case "strong":
      return <strong key={at}>{inner(token)}</strong>;
    case "em":
      return <em key={at}>{inner(token)}</em>;
    case "del":
      return <s key={at}>{inner(token)}</s>;
    case "codespan":
      return <code key={at}>{token["text"] as string}</code>;
    case "br":
      return <br key={at} />;
    case "link": {
      const href = unescape(token["href"] as string);
      return safeUrl(href) ? (
        <Link key={at} url={href}>
          {inner(token)}
        </Link>
      ) : (
        <span key={at}>{leaf(token.raw)}</span>
      );
    }
    case "image":
      // A picture in a model's answer would be loaded from another server: its URL is shown instead.
      return (
        <Link key={at} url={token["href"] as string}>
          {(token["text"] as string) || (token["href"] as string)}
        </Link>
      );
    case "checkbox":
      return <input key={at} type="checkbox" checked={Boolean(token["checked"])} disabled readOnly />;
    case "html":
      return /^<br\s*\/?>$/i.test(token.raw) ? <br key={at} /> : <span key={at}>{leaf(token.raw)}</span>;
    case "text":
      return <span key={at}>{inner(token)}</span>;
    default:
      return (
        <span key={at}>{leaf(token["text"] === undefined ? token.raw : (token["text"] as string))}</span>
      );
  }
}

function Grid({ token }: { token: Tokens.Table }) {
  const cell = (each: Tokens.TableCell, at: number, Tag: "th" | "td") => (
    <Tag key={at} style={{ textAlign: each.align ?? "start" }}>
      {inner(each)}
    </Tag>
  );
  return (
    <div className="table-scroll" tabIndex={0}>
      <table>
        <thead>
          <tr>{token.header.map((each, at) => cell(each, at, "th"))}</tr>
        </thead>
        <tbody>
          {token.rows.map((row, at) => (
            <tr key={at}>{row.map((each, column) => cell(each, column, "td"))}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function list(token: Tokens.List, key: number): ReactNode {
  const items = token.items.map((item, at) => <li key={at}>{item.tokens.map(block)}</li>);
  return token.ordered ? (
    <ol key={key} start={Number(token.start) || 1}>
      {items}
    </ol>
  ) : (
    <ul key={key}>{items}</ul>
  );
}

function block(raw: Token, at: number): ReactNode {
  const token = raw as Tokens.Generic;
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading": {
      const Tag = (["h3", "h4", "h5"] as const)[Math.min(token["depth"] as number, 3) - 1] ?? "h5";
      return <Tag key={at}>{inner(token)}</Tag>;
    }
    case "paragraph":
      return <p key={at}>{inner(token)}</p>;
    case "code":
      return (
        <CodeBlock
          key={at}
          text={token["text"] as string}
          language={(token["lang"] as string | undefined) || undefined}
        />
      );
    case "blockquote":
      return <blockquote key={at}>{token.tokens?.map(block)}</blockquote>;
    case "list":
      return list(token as Tokens.List, at);
    case "table":
      return <Grid key={at} token={token as Tokens.Table} />;
    case "hr":
      return <hr key={at} />;
    case "html":
      return (
        <p key={at} className="literal">
          {leaf(token.raw.trimEnd())}
        </p>
      );
    case "text":
      return <span key={at}>{inner(token)}</span>;
    default:
      return inline(token, at);
  }
}

export const Markdown = memo(function Markdown({ text }: { text: string }) {
  return <div className="prose markdown">{lexer(text, { gfm: true, breaks: true }).map(block)}</div>;
});
