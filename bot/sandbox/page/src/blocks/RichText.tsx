import type { ReactNode } from "react";
import { CodeBlock } from "../text/CodeBlock";
import { emoji } from "../text/emoji";
import { Emoji, Link, Person, Room, When } from "../text/Text";
import type { RichLeaf, RichPart, RichStyle } from "../types";

function styled(content: ReactNode, style: RichStyle | string | undefined): ReactNode {
  if (style === undefined || typeof style === "string") return content;
  let node = content;
  if (style.code) node = <code>{node}</code>;
  if (style.strike) node = <s>{node}</s>;
  if (style.italic) node = <em>{node}</em>;
  if (style.bold) node = <strong>{node}</strong>;
  return node;
}

function leaf(part: RichLeaf): ReactNode {
  switch (part.type) {
    case "text":
      return part.text;
    case "link":
      return <Link url={part.url ?? ""}>{part.text || part.url}</Link>;
    case "emoji":
      return <Emoji name={part.name ?? ""} text={emoji(part.name ?? "") ?? `:${part.name}:`} />;
    case "user":
      return <Person id={part.user_id ?? ""} />;
    case "channel":
      return <Room id={part.channel_id ?? ""} />;
    case "broadcast":
      return <span className="mention mention-me">@{part.range}</span>;
    case "date":
      return (
        <When
          at={part.timestamp ?? Number.NaN}
          format={part.format ?? "{date}"}
          url={part.url ?? ""}
          fallback={part.fallback ?? ""}
        />
      );
    case "color":
      return <code>{part.value}</code>;
    default:
      return part.text ?? "";
  }
}

const leaves = (parts: RichLeaf[] | undefined): ReactNode =>
  parts?.map((part, at) => <span key={at}>{styled(leaf(part), part.style)}</span>);

function list(part: RichPart, key: number): ReactNode {
  const items = part.elements?.map((item, at) => <li key={at}>{leaves(item.elements)}</li>);
  const style = { marginInlineStart: `${(part.indent ?? 0) * 1.5}em` };
  return part.style === "ordered" ? (
    <ol key={key} style={style} start={(part.offset ?? 0) + 1}>
      {items}
    </ol>
  ) : (
    <ul key={key} style={style}>
      {items}
    </ul>
  );
}

const words = (parts: RichLeaf[] | undefined): string =>
  (parts ?? []).map((part) => part.text ?? part.url ?? "").join("");

export function RichText({ parts }: { parts: RichPart[] }) {
  return (
    <div className="prose">
      {parts.map((part, at) => {
        switch (part.type) {
          case "rich_text_list":
            return list(part, at);
          case "rich_text_quote":
            return <blockquote key={at}>{leaves(part.elements)}</blockquote>;
          case "rich_text_preformatted":
            return <CodeBlock key={at} text={words(part.elements)} />;
          default:
            return (
              <p key={at} className="literal">
                {leaves(part.elements)}
              </p>
            );
        }
      })}
    </div>
  );
}
