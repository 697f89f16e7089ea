/** The text of a composer: a draft for each conversation and thread. */

import { useEffect, useLayoutEffect, useRef, useState } from "react";

// Drafts are kept when the conversation changes, and lost on a reload.
export const drafts = new Map<string, string>();
const fillers = new Map<string, (text: string) => void>();

/** Puts text into a conversation's composer, for the person to check and send. */
export function fill(id: string, text: string): void {
  fillers.get(id)?.(text);
}

/** Makes the box as high as its text. */
function fit(box: HTMLTextAreaElement): void {
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight}px`;
}

export function useDraft(id: string) {
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
