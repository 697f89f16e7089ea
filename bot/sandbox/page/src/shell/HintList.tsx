import { useEffect, useRef } from "react";
import type { Hint } from "./hints";

/** The suggestions above the composer. */
export function HintList({
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
