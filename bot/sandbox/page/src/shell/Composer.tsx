import { useEffect, useId, useLayoutEffect, useRef, useState, type KeyboardEvent } from "react";
import { recall, typed } from "../state/remembered";
import { appName } from "../state/messages";
import { send, stop } from "../state/server";
import { useSnap } from "../state/store";
import type { Channel } from "../types";
import { hints, type Hint, type Hints } from "./hints";

// Drafts are kept when the conversation changes, and lost on a reload.
const drafts = new Map<string, string>();
const fillers = new Map<string, (text: string) => void>();

/** Puts text into a conversation's composer, for the person to check and send. */
export function fill(id: string, text: string): void {
  fillers.get(id)?.(text);
}

interface Props {
  channel: Channel;
  thread?: string;
  label: string;
  onSent?: (text: string) => void;
  onEscape?: () => void;
}

function HintList({
  id,
  list,
  active,
  onPick,
}: {
  id: string;
  list: Hint[];
  active: number;
  onPick(hint: Hint): void;
}) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    box.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [active]);
  return (
    <div className="hints" role="listbox" id={id} aria-label="Suggestions" data-testid="hints" ref={box}>
      {list.map((hint, at) => (
        <div
          key={hint.key}
          id={`${id}-${at}`}
          className="hint"
          role="option"
          aria-selected={at === active}
          data-testid="hint"
          onMouseDown={(event) => {
            event.preventDefault();
            onPick(hint);
          }}
        >
          <span className="hint-name">
            {hint.name} <span className="hint-rest">{hint.rest}</span>
          </span>
          <span className="hint-description">{hint.description}</span>
        </div>
      ))}
    </div>
  );
}

/** Makes the box as high as its text. */
function fit(box: HTMLTextAreaElement): void {
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
}

function useText(id: string) {
  const area = useRef<HTMLTextAreaElement>(null);
  const [text, setText] = useState(drafts.get(id) ?? "");
  const [cursor, setCursor] = useState(text.length);
  const wanted = useRef<number>(undefined);
  const put = (next: string, at = next.length) => {
    drafts.set(id, next);
    wanted.current = at;
    setText(next);
    setCursor(at);
  };
  useLayoutEffect(() => {
    const box = area.current;
    if (!box) return;
    fit(box);
    if (wanted.current !== undefined) box.setSelectionRange(wanted.current, wanted.current);
    wanted.current = undefined;
  }, [text]);
  // Another width breaks the lines elsewhere.
  useEffect(() => {
    const box = area.current;
    let width = box?.clientWidth;
    const observer = new ResizeObserver(() => {
      if (box && box.clientWidth !== width) fit(box);
      width = box?.clientWidth;
    });
    if (box) observer.observe(box);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    fillers.set(id, (next) => {
      put(next);
      area.current?.focus();
    });
    return () => void fillers.delete(id);
  });
  return { area, text, cursor, setCursor, put };
}

export function Composer({ channel, thread, label, onSent, onEscape }: Props) {
  const snap = useSnap();
  const draft = thread ? `${channel.id}/${thread}` : channel.id;
  const { area, text, cursor, setCursor, put } = useText(draft);
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

  const submit = async () => {
    if (!text.trim()) return;
    const sent = text.trim();
    edit("");
    setBack(0);
    area.current?.focus();
    const answer = await send(channel.id, sent, thread);
    if (answer.ok) {
      typed(sent);
      onSent?.(sent);
    } else if (!drafts.get(draft)) edit(sent);
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
      <form
        className="composer"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
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
          disabled={!text.trim()}
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
