import { memo, useMemo, useState } from "react";
import { Blocks } from "../blocks/Blocks";
import { useNewSurface } from "../blocks/surface";
import { appName, authorOf, keyOf } from "../state/messages";
import { dismiss } from "../state/remembered";
import { useSelected } from "../state/store";
import { clock, moment } from "../text/dates";
import { Markdown } from "../text/Markdown";
import { Mrkdwn } from "../text/Text";
import type { Message as MessageData, User } from "../types";
import { AttachmentView } from "./AttachmentView";
import { Avatar } from "./Avatar";
import { Files } from "./Files";
import { EditBox, MessageTools } from "./MessageTools";

function useAuthor(message: MessageData): { user: User | undefined; name: string } {
  const users = useSelected((snap) => snap.users);
  const app = useSelected((snap) => snap.app);
  const id = message.user ?? (message.bot_id ? app.bot_user_id : "");
  const user = users.find((each) => each.id === id);
  return { user, name: message.username ?? user?.real_name ?? (authorOf(message) || "Unknown") };
}

function MessageBlocks({
  message,
  blocks,
}: {
  message: MessageData;
  blocks: NonNullable<MessageData["blocks"]>;
}) {
  const { channel, ts } = message;
  const origin = useMemo(() => ({ container: "message" as const, channel, message_ts: ts }), [channel, ts]);
  return <Blocks blocks={blocks} surface={useNewSurface(origin, blocks)} />;
}

/** The app's blocks if there are any, else the text; a stream's text is Markdown. */
function Body({ message }: { message: MessageData }) {
  // A person's block is one plain section of rich text; only the text has its marks.
  const blocks = (message.bot_id && message.blocks) || [];
  const attachments = message.attachments ?? [];
  return (
    <div className={message.streaming ? "body streaming" : "body"} aria-busy={message.streaming}>
      {blocks.length > 0 ? (
        <MessageBlocks message={message} blocks={blocks} />
      ) : message.streaming ? (
        <Markdown text={message.text} />
      ) : (
        <Mrkdwn text={message.text} />
      )}
      {message.streaming && !message.text && blocks.length === 0 && <span className="caret" />}
      {message.edited && !message.bot_id && <span className="edited">(edited)</span>}
      {attachments.map((attachment, at) => (
        <AttachmentView
          key={at}
          attachment={attachment}
          draw={(inner) => <MessageBlocks message={message} blocks={inner} />}
        />
      ))}
      <Files files={message.files ?? []} />
    </div>
  );
}

function Replies({ message, status, onOpen }: { message: MessageData; status: string; onOpen(): void }) {
  const users = useSelected((snap) => snap.users);
  const app = useSelected((snap) => snap.app);
  const messages = useSelected((snap) => snap.messages[message.channel]);
  const count = message.reply_count ?? 0;
  const replies = (messages ?? []).filter(
    (each) => each.thread_ts === message.ts && each.ts !== message.ts && !each.deleted,
  );
  const last = replies.at(-1);
  const writing = last?.streaming ? `${appName({ app, users })} is answering…` : status;
  const faces = (message.reply_users ?? []).map((id) => (/^B/.test(id) ? app.bot_user_id : id));
  return (
    <button type="button" className="replies" data-testid="replies" onClick={onOpen}>
      {[...new Set(faces)].slice(0, 4).map((id) => {
        const user = users.find((each) => each.id === id);
        return <Avatar key={id} user={user} name={user?.real_name ?? id} small />;
      })}
      {count > 0 && (
        <span className="replies-count">
          {count} {count === 1 ? "reply" : "replies"}
        </span>
      )}
      {writing ? (
        <span className="replies-status">
          {writing}
          <span className="dots" aria-hidden="true" />
        </span>
      ) : (
        last && <span className="replies-last">Last at {clock(moment(last.ts))}</span>
      )}
    </button>
  );
}

function Name({ name, user, message }: { name: string; user: User | undefined; message: MessageData }) {
  const at = moment(message.ts);
  return (
    <div className="byline">
      <span className="author">{name}</span>
      {(user?.is_bot || message.bot_id) && <span className="app-badge">APP</span>}
      <time dateTime={at.toISOString()} title={at.toLocaleString()}>
        {clock(at)}
      </time>
    </div>
  );
}

interface Props {
  message: MessageData;
  /** Whether it closely follows a message of the same author, so that name and picture are left out. */
  continued: boolean;
  status?: string;
  /** Undefined in a thread, where there are no threads to open. */
  onThread?: ((ts: string) => void) | undefined;
}

export const Message = memo(function Message({ message, continued, status = "", onThread }: Props) {
  const { user, name } = useAuthor(message);
  const [editing, setEditing] = useState(false);
  const ephemeral = Boolean(message.ephemeral_to);
  const at = moment(message.ts);
  const threaded = onThread && !ephemeral && ((message.reply_count ?? 0) > 0 || status !== "");
  const classes = ["message", continued && "continued", ephemeral && "whisper"].filter(Boolean).join(" ");
  return (
    <article
      className={classes}
      aria-label={`${name} at ${clock(at)}`}
      data-testid="message"
      data-ts={message.ts}
      data-user={message.user ?? message.bot_id}
      data-streaming={message.streaming ?? false}
      {...(ephemeral ? { "data-ephemeral": true } : {})}
    >
      <div className="gutter">
        {continued ? (
          <time dateTime={at.toISOString()} aria-hidden="true">
            {clock(at)}
          </time>
        ) : (
          <Avatar user={user} name={name} />
        )}
      </div>
      <div className="content">
        {ephemeral && (
          <div className="only-you" data-testid="ephemeral">
            <EyeIcon /> Only visible to you
            <button type="button" data-testid="dismiss" onClick={() => dismiss(keyOf(message))}>
              Dismiss
            </button>
          </div>
        )}
        {!continued && <Name name={name} user={user} message={message} />}
        {editing ? (
          <EditBox message={message} onDone={() => setEditing(false)} />
        ) : (
          <Body message={message} />
        )}
        {threaded && <Replies message={message} status={status} onOpen={() => onThread(message.ts)} />}
      </div>
      {!ephemeral && !editing && (
        <MessageTools message={message} onThread={onThread} onEdit={() => setEditing(true)} />
      )}
    </article>
  );
});

const EyeIcon = () => (
  <svg viewBox="0 0 16 16" className="icon-16" aria-hidden="true">
    <path d="M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8Z" />
    <circle cx="8" cy="8" r="2" />
  </svg>
);
