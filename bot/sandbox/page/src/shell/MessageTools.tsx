import { useEffect, useRef, useState } from "react";
import { edit, remove, shortcut } from "../state/server";
import { useSelected } from "../state/store";
import { typedOf } from "../text/typed";
import type { Message } from "../types";
import { ask } from "./confirm";
import { Forward } from "./Forward";
import { Menu } from "./Menu";

const EDIT = " edit";
const DELETE = " delete";
const FORWARD = " forward";

interface Props {
  message: Message;
  /** Undefined in a thread, where there are no threads to open. */
  onThread?: ((ts: string) => void) | undefined;
  onEdit(): void;
}

/** What appears over a message under the pointer: Reply, and a menu with the app's shortcuts. */
export function MessageTools({ message, onThread, onEdit }: Props) {
  const me = useSelected((snap) => snap.me);
  const shortcuts = useSelected((snap) => snap.shortcuts);
  const offered = (shortcuts ?? []).filter((each) => each.type === "message");
  const items = offered.map((each) => ({ key: each.callback_id, text: each.name }));
  if (message.user === me && message.subtype !== "tombstone") {
    items.push({ key: EDIT, text: "Edit message" }, { key: DELETE, text: "Delete message…" });
  }
  items.push({ key: FORWARD, text: "Forward message…" });
  const [forwarding, setForwarding] = useState(false);
  const { channel, ts } = message;
  const pick = async (key: string) => {
    if (key === EDIT) onEdit();
    else if (key === FORWARD) setForwarding(true);
    else if (key === DELETE) {
      const question = {
        title: plain("Delete message"),
        text: plain("Delete this message? This cannot be undone."),
      };
      if (await ask({ ...question, confirm: plain("Delete"), style: "danger" })) await remove(channel, ts);
    } else await shortcut(channel, ts, key);
  };
  return (
    <div className="message-tools">
      {onThread && (
        <button
          type="button"
          data-testid="reply-in-thread"
          aria-label="Reply in a thread"
          onClick={() => onThread(ts)}
        >
          <ThreadIcon /> Reply
        </button>
      )}
      <Menu
        label="More actions"
        testid="message-menu"
        actionId=""
        items={items}
        onPick={(key) => void pick(key)}
      />
      {forwarding && <Forward message={message} onDone={() => setForwarding(false)} />}
    </div>
  );
}

const plain = (text: string) => ({ type: "plain_text" as const, text });

/** The text of an own message while it is edited: Enter saves, Escape cancels. */
export function EditBox({ message, onDone }: { message: Message; onDone(): void }) {
  const users = useSelected((snap) => snap.users);
  const [text, setText] = useState(() => typedOf(message.text, users));
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    const box = area.current;
    box?.focus();
    box?.setSelectionRange(box.value.length, box.value.length);
  }, []);
  const save = async () => {
    if (!text.trim()) return;
    const answer = await edit(message.channel, message.ts, text.trim());
    if (answer.ok) onDone();
  };
  return (
    <div className="edit-box">
      <textarea
        ref={area}
        className="field"
        rows={Math.min(8, text.split("\n").length + 1)}
        value={text}
        aria-label="Edit the message"
        data-testid="edit-box"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") {
            event.stopPropagation();
            onDone();
          } else if (event.key === "Enter" && !event.shiftKey) {
            event.preventDefault();
            void save();
          }
        }}
      />
      <button type="button" className="button" onClick={onDone}>
        Cancel
      </button>{" "}
      <button type="button" className="button primary" data-testid="edit-save" onClick={() => void save()}>
        Save
      </button>
    </div>
  );
}

const ThreadIcon = () => (
  <svg viewBox="0 0 16 16" className="icon-16" aria-hidden="true">
    <path d="M2.5 3.5h11v7H7l-3 2.5v-2.5H2.5Z" />
  </svg>
);
