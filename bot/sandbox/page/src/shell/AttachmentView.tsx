import type { ReactNode } from "react";
import { clock, moment } from "../text/dates";
import { Link, Mrkdwn } from "../text/Text";
import type { Attachment } from "../types";
import { Files } from "./Files";

/** An attachment, or a message that was forwarded; `draw` draws its blocks. */
export function AttachmentView({
  attachment,
  draw,
}: {
  attachment: Attachment;
  draw(blocks: NonNullable<Attachment["blocks"]>): ReactNode;
}) {
  const { color, pretext, title, title_link: url, text, fields, footer, blocks, author_name } = attachment;
  const at = attachment.ts ? moment(attachment.ts) : undefined;
  return (
    <div className="attachment" data-testid="attachment">
      {pretext && <Mrkdwn text={pretext} />}
      <div
        className="attachment-body"
        style={color ? { borderColor: `#${color.replace(/^#/, "")}` } : undefined}
      >
        {author_name && <strong>{author_name}</strong>}
        {title && <strong>{url ? <Link url={url}>{title}</Link> : title}</strong>}
        {text && <Mrkdwn text={text} />}
        {fields && (
          <div className="fields">
            {fields.map((field, each) => (
              <div key={each}>
                <strong>{field.title}</strong>
                <Mrkdwn text={field.value ?? ""} />
              </div>
            ))}
          </div>
        )}
        {blocks && draw(blocks)}
        <Files files={attachment.files ?? []} />
        {(footer || at) && (
          <div className="context">
            {footer} {at && <time dateTime={at.toISOString()}>{clock(at)}</time>}
          </div>
        )}
      </div>
    </div>
  );
}
