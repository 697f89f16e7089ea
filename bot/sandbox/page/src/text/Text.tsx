import { memo, type ReactNode } from "react";
import { hashOf, permalink } from "../state/route";
import { useSelected } from "../state/store";
import type { TextObject } from "../types";
import { CodeBlock } from "./CodeBlock";
import { clock, formatDate } from "./dates";
import { parse, parseInline, safeUrl, type Chunk, type Inline, type Options } from "./mrkdwn";

export function Link({ url, children }: { url: string; children: ReactNode }) {
  const channels = useSelected((snap) => snap.channels);
  const safe = safeUrl(url);
  if (!safe) return <span>{children}</span>;
  const route = permalink(safe);
  if (route && channels.some((each) => each.id === route.channel))
    return <a href={hashOf(route)}>{children}</a>;
  return (
    <a href={safe} target="_blank" rel="noopener noreferrer" title={safe}>
      {children}
    </a>
  );
}

export function Person({ id, label }: { id: string; label?: string | undefined }) {
  const users = useSelected((snap) => snap.users);
  const me = useSelected((snap) => snap.me);
  const user = users.find((each) => each.id === id);
  return (
    <span className={id === me ? "mention mention-me" : "mention"}>@{user?.real_name ?? (label || id)}</span>
  );
}

export function Room({ id, label }: { id: string; label?: string | undefined }) {
  const channels = useSelected((snap) => snap.channels);
  const channel = channels.find((each) => each.id === id);
  if (!channel) return <span className="mention">#{label || id}</span>;
  return (
    <a className="mention" href={`#/${id}`}>
      #{channel.name}
    </a>
  );
}

export function Emoji({ name, text }: { name: string; text: string }) {
  return (
    <span className="emoji" role="img" aria-label={name.replaceAll("_", " ")} title={`:${name}:`}>
      {text}
    </span>
  );
}

export function When({
  at,
  format,
  url,
  fallback,
}: {
  at: number;
  format: string;
  url?: string;
  fallback: string;
}) {
  const date = new Date(at * 1000);
  if (Number.isNaN(date.getTime())) return <>{fallback}</>;
  const shown = (
    <time dateTime={date.toISOString()} title={`${date.toLocaleDateString()} ${clock(date, true)}`}>
      {formatDate(date, format, new Date())}
    </time>
  );
  return url ? <Link url={url}>{shown}</Link> : shown;
}

function one(node: Inline): ReactNode {
  switch (node.kind) {
    case "text":
      return node.text;
    case "break":
      return <br />;
    case "bold":
      return <strong>{nodes(node.children)}</strong>;
    case "italic":
      return <em>{nodes(node.children)}</em>;
    case "strike":
      return <s>{nodes(node.children)}</s>;
    case "code":
      return <code>{node.text}</code>;
    case "link":
      return <Link url={node.url}>{node.label}</Link>;
    case "user":
      return <Person id={node.id} label={node.label} />;
    case "channel":
      return <Room id={node.id} label={node.label} />;
    case "group":
      return <span className="mention">{node.label || `@${node.id}`}</span>;
    case "broadcast":
      return <span className="mention mention-me">@{node.range}</span>;
    case "date":
      return <When {...node} />;
    case "emoji":
      return <Emoji name={node.name} text={node.text} />;
  }
}

export const nodes = (list: Inline[]): ReactNode =>
  list.map((node, at) => (node.kind === "text" ? node.text : <Fragmented key={at}>{one(node)}</Fragmented>));

const Fragmented = ({ children }: { children: ReactNode }) => <>{children}</>;

function chunk(node: Chunk, at: number): ReactNode {
  switch (node.kind) {
    case "paragraph":
      return <p key={at}>{nodes(node.children)}</p>;
    case "quote":
      return <blockquote key={at}>{nodes(node.children)}</blockquote>;
    case "pre":
      return <CodeBlock key={at} text={node.text} />;
    case "item":
      return (
        <p key={at} className="item" style={{ paddingInlineStart: `${1.8 + node.depth * 1.25}em` }}>
          <span className="item-marker">{node.marker}</span>
          {nodes(node.children)}
        </p>
      );
  }
}

/** Slack's mrkdwn, with paragraphs. */
export const Mrkdwn = memo(function Mrkdwn({ text, verbatim = false }: { text: string; verbatim?: boolean }) {
  return <div className="prose">{parse(text, { autolink: !verbatim }).map(chunk)}</div>;
});

/** A line of mrkdwn, or of plain text in which only :shortcodes: are replaced. */
export const Line = memo(function Line({ text, plain = false }: { text: string; plain?: boolean }) {
  const options: Options = plain ? { marks: false, autolink: false, angles: false } : {};
  return <>{nodes(parseInline(text, options))}</>;
});

/** A text object (or a bare string, which counts as plain text), as a block of text. */
export function Text({ value }: { value: TextObject | string | undefined }) {
  if (value === undefined) return null;
  if (typeof value === "string") return <Line text={value} plain />;
  if (value.type === "mrkdwn") return <Mrkdwn text={value.text} verbatim={value.verbatim ?? false} />;
  return (
    <div className="prose">
      <p>
        <Line text={value.text} plain />
      </p>
    </div>
  );
}

/** A text object on one line: labels, buttons, titles. */
export function Short({ value }: { value: TextObject | string | undefined }) {
  if (value === undefined) return null;
  return typeof value === "string" ? (
    <Line text={value} plain />
  ) : (
    <Line text={value.text} plain={value.type !== "mrkdwn"} />
  );
}
