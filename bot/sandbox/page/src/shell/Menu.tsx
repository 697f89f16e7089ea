import {
  useEffect,
  useId,
  useLayoutEffect,
  useRef,
  useState,
  type KeyboardEvent,
  type ReactNode,
} from "react";

interface Props {
  label: string;
  actionId: string;
  testid?: string;
  busy?: boolean;
  items: { key: string; text: ReactNode }[];
  onPick(key: string): void;
}

/** A "…" button and its menu: arrows move, Enter picks, Escape and a click elsewhere close. */
export function Menu({ label, actionId, testid = "overflow", busy = false, items, onPick }: Props) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLSpanElement>(null);
  const trigger = useRef<HTMLButtonElement>(null);
  const id = useId();

  // Fixed to the window, because a scrolling parent would cut it off; above the button if there is no space below.
  useLayoutEffect(() => {
    const list = root.current?.querySelector<HTMLElement>("[role=menu]");
    const box = trigger.current?.getBoundingClientRect();
    if (!open || !list || !box) return;
    const below = box.bottom + 4;
    const top = below + list.offsetHeight > innerHeight - 8 ? box.top - 4 - list.offsetHeight : below;
    const left = Math.max(8, Math.min(box.left, innerWidth - list.offsetWidth - 8));
    list.style.top = `${top}px`;
    list.style.left = `${left}px`;
  }, [open]);

  useEffect(() => {
    if (!open) return undefined;
    root.current?.querySelector<HTMLElement>("[role=menuitem]")?.focus();
    const outside = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    const away = () => setOpen(false);
    document.addEventListener("pointerdown", outside);
    document.addEventListener("scroll", away, true);
    addEventListener("resize", away);
    return () => {
      document.removeEventListener("pointerdown", outside);
      document.removeEventListener("scroll", away, true);
      removeEventListener("resize", away);
    };
  }, [open]);

  const close = () => {
    setOpen(false);
    trigger.current?.focus();
  };
  const move = (event: KeyboardEvent) => {
    const all = [...(root.current?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 };
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (event.key === "Tab") setOpen(false);
    else if (event.key in to) {
      event.preventDefault();
      all[((to[event.key] ?? 0) + all.length) % all.length]?.focus();
    }
  };

  return (
    <span className="menu" ref={root} onKeyDown={open ? move : undefined}>
      <button
        ref={trigger}
        type="button"
        className="button icon"
        data-testid={testid}
        data-action-id={actionId}
        aria-label={label}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={id}
        aria-busy={busy}
        disabled={busy}
        onClick={() => setOpen(!open)}
      >
        {busy ? <span className="spinner" aria-hidden="true" /> : <span aria-hidden="true">⋯</span>}
      </button>
      {open && (
        <span className="menu-list" role="menu" id={id} aria-label={label}>
          {items.map((item) => (
            <button
              key={item.key}
              type="button"
              role="menuitem"
              tabIndex={-1}
              data-testid="menu-item"
              data-value={item.key}
              onClick={() => {
                close();
                onPick(item.key);
              }}
            >
              {item.text}
            </button>
          ))}
        </span>
      )}
    </span>
  );
}
