import { useEffect, useId, useState, type ClipboardEvent, type DragEvent, type KeyboardEvent } from "react";
import { recall, typed } from "../state/remembered";
import { appName } from "../state/messages";
import { send, sendFiles, stop } from "../state/server";
import { useSnap } from "../state/store";
import type { Channel } from "../types";
import { AttachButton, Attached, read, useAttached } from "./Attached";
import { drafts, useDraft } from "./draft";
import { HintList } from "./HintList";
import { hints, type Hint, type Hints } from "./hints";

interface Props {
  channel: Channel;
  thread?: string;
  label: string;
  onSent?: (text: string) => void;
  onEscape?: () => void;
}

export function Composer({ channel, thread, label, onSent, onEscape }: Props) {
  const snap = useSnap();
  const draft = thread ? `${channel.id}/${thread}` : channel.id;
  const { area, text, cursor, setCursor, put } = useDraft(draft);
  const [closed, setClosed] = useState(false);
  const [moved, setMoved] = useState<number>();
  const [back, setBack] = useState(0);

  // Focused when a conversation opens, but not on a touch screen, where the keyboard would appear.
  useEffect(() => {
    if (matchMedia("(hover: hover)").matches) area.current?.focus();
  }, [area]);

  const listId = useId();
  const isWorking = thread !== undefined && snap.sessions[`${channel.id}:${thread}`]?.status === "processing";

  const found: Hints = hints(snap, channel.members, thread !== undefined, text, cursor);
  const open = !closed && found.items.length > 0;
  const active = Math.min(moved ?? found.active, found.items.length - 1);

  const edit = (next: string, at?: number) => {
    put(next, at);
    setClosed(false);
    setMoved(undefined);
  };
  const pick = (hint: Hint | undefined) => {
    if (!hint) return;
    edit(hint.text, hint.cursor);
    area.current?.focus();
  };

  const attached = useAttached();
  const canSend = text.trim() !== "" || attached.files.length > 0;
  const takeFiles = (event: ClipboardEvent | DragEvent, files: FileList | undefined) => {
    if (!files?.length) return;
    event.preventDefault();
    attached.add([...files]);
  };

  const submit = async () => {
    if (!canSend) return;
    const sent = text.trim();
    const files = attached.files;
    edit("");
    attached.clear();
    setBack(0);
    area.current?.focus();
    const answer = await (files.length > 0
      ? sendFiles(channel.id, sent, await Promise.all(files.map(read)), thread)
      : send(channel.id, sent, thread));
    if (answer.ok) {
      if (sent) typed(sent);
      onSent?.(sent);
    } else if (!drafts.get(draft)) {
      edit(sent);
      attached.add(files);
    }
  };

  const older = (step: number) => {
    const all = recall();
    const at = Math.max(0, Math.min(all.length, back + step));
    setBack(at);
    put(at === 0 ? "" : (all[all.length - at] ?? ""));
    setClosed(true);
  };

  const onKeyDown = (event: KeyboardEvent<HTMLTextAreaElement>) => {
    if (event.nativeEvent.isComposing) return;
    const plain = !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey;
    const take = () => {
      event.preventDefault();
      event.stopPropagation();
    };
    if (open && plain && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      take();
      const step = event.key === "ArrowDown" ? 1 : -1;
      const from = active < 0 && step < 0 ? 0 : active;
      setMoved((from + step + found.items.length) % found.items.length);
    } else if (open && plain && event.key === "Tab") {
      take();
      pick(found.items[Math.max(active, 0)]);
    } else if (open && plain && event.key === "Enter" && active >= 0) {
      take();
      pick(found.items[active]);
    } else if (event.key === "Escape") {
      if (open) {
        take();
        setClosed(true);
      } else onEscape?.();
    } else if (event.key === "Enter" && plain) {
      take();
      void submit();
    } else if (event.key === "ArrowUp" && plain && (text === "" || back > 0)) {
      take();
      older(1);
    } else if (event.key === "ArrowDown" && plain && back > 0) {
      take();
      older(-1);
    }
  };

  const prefix = thread ? "thread-" : "";
  return (
    <div className="composer-frame">
      {open && <HintList id={listId} list={found.items} active={active} onPick={pick} />}
      {!open && !closed && found.usage && (
        <div className="usage" data-testid="usage">
          {found.usage}
        </div>
      )}
      <Attached files={attached.files} onRemove={attached.remove} />
      <form
        className="composer"
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => takeFiles(event, event.dataTransfer.files)}
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <AttachButton testid={`${prefix}attach`} onFiles={attached.add} />
        <textarea
          ref={area}
          rows={1}
          value={text}
          placeholder={label}
          aria-label={label}
          aria-autocomplete="list"
          aria-controls={open ? listId : undefined}
          aria-activedescendant={open && active >= 0 ? `${listId}-${active}` : undefined}
          data-testid={`${prefix}composer`}
          onChange={(event) => {
            setBack(0);
            edit(event.target.value, event.target.selectionEnd);
          }}
          onSelect={(event) => setCursor(event.currentTarget.selectionEnd)}
          onKeyDown={onKeyDown}
          onPaste={(event) => takeFiles(event, event.clipboardData.files)}
        />
        {isWorking && (
          <button
            type="button"
            className="send stop"
            aria-label="Stop"
            title={`Stop ${appName(snap)}`}
            data-testid="stop"
            onClick={() => void stop(channel.id, thread)}
          >
            <span className="stop-sign" aria-hidden="true" />
          </button>
        )}
        <button
          type="submit"
          className="send"
          aria-label="Send"
          title="Send (Enter)"
          data-testid={`${prefix}send`}
          disabled={!canSend}
        >
          <svg viewBox="0 0 16 16" className="icon-16" aria-hidden="true">
            <path d="M8 13V3.5M3.8 7.5 8 3.3l4.2 4.2" />
          </svg>
        </button>
      </form>
      <div className="composer-foot" aria-hidden="true">
        <span>
          <kbd>Enter</kbd> sends
        </span>
        <span>
          <kbd>Shift</kbd> <kbd>Enter</kbd> new line
        </span>
        {!thread && (
          <span>
            <kbd>/</kbd> commands
          </span>
        )}
        <span>
          <kbd>↑</kbd> last one
        </span>
      </div>
    </div>
  );
}
