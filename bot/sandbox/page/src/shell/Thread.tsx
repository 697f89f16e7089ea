import { useState } from "react";
import { appName, inThread, titleOf } from "../state/messages";
import { useRemembered } from "../state/remembered";
import { go } from "../state/route";
import { useSnap } from "../state/store";
import type { Channel } from "../types";
import { Composer } from "./Composer";
import { Prompts } from "./Conversation";
import { MessageList } from "./MessageList";

const replyCount = (count: number): string => (count === 1 ? "1 reply" : `${count} replies`);

export function Thread({ channel, root }: { channel: Channel; root: string }) {
  const snap = useSnap();
  const { dismissed } = useRemembered();
  const messages = inThread(snap, channel.id, root, dismissed);
  const status = snap.statuses[`${channel.id}:${root}`];
  const title = titleOf(snap, channel);
  const [sent, setSent] = useState(0);
  const close = () => go({ channel: channel.id });
  const replies = messages.filter((each) => each.ts !== root && !each.ephemeral_to);

  return (
    <aside className="thread" aria-label="Thread" data-testid="thread-panel" data-ts={root}>
      <header className="head">
        <h1>Thread</h1>
        <span className="topic">{channel.kind === "channel" ? `#${title}` : title}</span>
        <button
          type="button"
          className="close"
          aria-label="Close the thread"
          data-testid="close-thread"
          onClick={close}
        >
          ✕
        </button>
      </header>
      {messages.length === 0 ? (
        <p className="empty">There is no such message here any more.</p>
      ) : (
        <MessageList
          id={`${channel.id}/${root}`}
          label="Messages in the thread"
          testid="thread-list"
          messages={messages}
          sent={sent}
          afterFirst={replyCount(replies.length)}
        />
      )}
      <div className="status-line" role="status" data-testid="status">
        {status && (
          <>
            {appName(snap)} {status}
            <span className="dots" aria-hidden="true" />
          </>
        )}
      </div>
      <Prompts prompts={snap.suggested_prompts[`${channel.id}:${root}`]} composer={`${channel.id}/${root}`} />
      <Composer
        key={`${channel.id}/${root}`}
        channel={channel}
        thread={root}
        label="Reply in the thread"
        onSent={() => setSent(sent + 1)}
        onEscape={close}
      />
    </aside>
  );
}
