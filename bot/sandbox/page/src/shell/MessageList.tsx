import { useLayoutEffect, useRef, useState, type MouseEvent, type ReactNode } from "react";
import { appName, authorOf } from "../state/messages";
import { useSnap } from "../state/store";
import { day, moment, sameDay } from "../text/dates";
import type { Message as MessageData } from "../types";
import { Message } from "./Message";

const CLOSE = 5 * 60;
const NEAR_END = 48;

function follows(message: MessageData, before: MessageData | undefined): boolean {
  if (!before || authorOf(before) !== authorOf(message)) return false;
  if (Boolean(before.ephemeral_to) || Boolean(message.ephemeral_to) || message.username !== before.username) {
    return false;
  }
  // A card always has name and picture.
  if ([before, message].some((each) => each.blocks?.[0]?.type === "header")) return false;
  return Number(message.ts) - Number(before.ts) < CLOSE && sameDay(moment(message.ts), moment(before.ts));
}

/** Keeps the end visible if it is visible, and does not scroll a reader who is further up.
 *
 * `fresh`: number of messages of others so far. `below`: how many of them the reader has not scrolled to yet.
 */
function useStickToEnd(key: string, fresh: number, sent: number, linked: string | undefined) {
  const scroller = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const stuck = useRef(true);
  const size = useRef({ content: 0, frame: 0 });
  const acted = useRef<Element | null>(null);
  const latest = useRef(fresh);
  latest.current = fresh;
  const [seen, setSeen] = useState(fresh);

  /** Counts all messages as seen if the end is visible. */
  const look = () => {
    const box = scroller.current;
    if (box && box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END) setSeen(latest.current);
  };

  const toEnd = () => {
    const box = scroller.current;
    if (box) box.scrollTop = box.scrollHeight;
    stuck.current = true;
    acted.current = null;
    look();
  };

  /** Whether a size has changed since the last call. */
  const measure = (): boolean => {
    const { scrollHeight = 0, clientHeight = 0 } = scroller.current ?? {};
    const { content: height, frame } = size.current;
    size.current = { content: scrollHeight, frame: clientHeight };
    return scrollHeight !== height || clientHeight !== frame;
  };

  useLayoutEffect(() => {
    toEnd();
    const observer = new ResizeObserver(() => {
      if (stuck.current) toEnd();
      else acted.current?.scrollIntoView({ block: "nearest" });
      measure();
      look();
    });
    for (const each of [scroller.current, content.current]) if (each) observer.observe(each);
    return () => observer.disconnect();
  }, [key]);

  // After sending, scroll to the message and its answer.
  useLayoutEffect(() => {
    if (sent > 0) toEnd();
  }, [sent]);

  useLayoutEffect(() => {
    if (stuck.current) toEnd();
    else look();
  }, [fresh]);

  useLayoutEffect(() => {
    const box = linked && content.current?.querySelector(`[data-ts="${CSS.escape(linked)}"]`);
    if (!box) return;
    stuck.current = false;
    acted.current = box;
    box.scrollIntoView({ block: "start" });
  }, [linked]);

  const onScroll = () => {
    const box = scroller.current;
    if (!box) return;
    // A scroll that a change of size causes is the browser's, not the reader's.
    const resized = measure();
    if (resized && (stuck.current || acted.current)) return;
    if (!resized) acted.current = null;
    stuck.current = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END;
    look();
  };

  // A pressed element stays visible if it or the list changes its size, until the reader scrolls.
  const onClickCapture = (event: MouseEvent) => {
    acted.current = (event.target as Element).closest("[data-testid=message]");
    if (acted.current) stuck.current = false;
  };

  // Dismissed and deleted messages make the number smaller.
  return { scroller, content, below: Math.max(0, fresh - seen), toEnd, onScroll, onClickCapture };
}

interface Props {
  id: string;
  label: string;
  testid: string;
  messages: MessageData[];
  /** The first message that was unread when this conversation was opened. */
  firstNew?: string | undefined;
  /** The message to which a link led. */
  linked?: string | undefined;
  /** Number of messages that the reader has sent here. */
  sent: number;
  /** Shown after the first message; used in a thread, whose first message is its root. */
  afterFirst?: string;
  top?: ReactNode;
  onThread?: (ts: string) => void;
}

export function MessageList({
  id,
  label,
  testid,
  messages,
  firstNew,
  linked,
  sent,
  afterFirst,
  top,
  onThread,
}: Props) {
  const snap = useSnap();
  const { scroller, content, below, toEnd, onScroll, onClickCapture } = useStickToEnd(
    id,
    messages.filter((each) => authorOf(each) !== snap.me).length,
    sent,
    linked,
  );
  const now = new Date();
  const statusOf = (message: MessageData) => {
    const status = onThread && snap.statuses[`${message.channel}:${message.ts}`];
    return status ? `${appName(snap)} ${status}` : "";
  };
  return (
    <div className="list-frame">
      <div
        className="list"
        ref={scroller}
        onScroll={onScroll}
        onClickCapture={onClickCapture}
        role="log"
        aria-live="polite"
        aria-relevant="additions"
        aria-label={label}
        data-testid={testid}
        tabIndex={0}
      >
        <div className="list-content" ref={content}>
          {top}
          {messages.map((message, at) => {
            const before = messages[at - 1];
            const newDay = !before || !sameDay(moment(before.ts), moment(message.ts));
            const isNew = message.ts === firstNew;
            const isSecond = at === 1 && afterFirst !== undefined;
            return (
              <div key={message.ts} className={message.ts === linked ? "linked" : undefined}>
                {newDay && (before || onThread) && (
                  <div className="rule" role="separator">
                    <span>{day(moment(message.ts), now)}</span>
                  </div>
                )}
                {isSecond && (
                  <div className="rule" role="separator">
                    <span>{afterFirst}</span>
                  </div>
                )}
                {isNew && (
                  <div className="rule new" role="separator" data-testid="new-mark">
                    <span>New</span>
                  </div>
                )}
                <Message
                  message={message}
                  continued={!newDay && !isNew && !isSecond && follows(message, before)}
                  status={statusOf(message)}
                  onThread={onThread}
                />
              </div>
            );
          })}
        </div>
      </div>
      {below > 0 && (
        <button type="button" className="below" data-testid="jump-to-end" onClick={toEnd}>
          {below === 1 ? "1 new message" : `${below} new messages`} ↓
        </button>
      )}
    </div>
  );
}
