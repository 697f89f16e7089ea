import { useLayoutEffect, useRef, type ReactNode } from "react";

interface Props {
  label: string;
  testid: string;
  className?: string;
  attributes?: Record<string, string>;
  onClose(): void;
  children: ReactNode;
}

/** The browser's own modal dialog: it holds the focus, and Escape closes it. */
export function Dialog({ label, testid, className = "", attributes, onClose, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const box = dialog.current;
    box?.showModal();
    // The browser would focus the button that closes the dialog. Without inputs, the dialog itself has the focus.
    box?.focus();
    const first = ":is(input, textarea, select):not(:disabled)";
    const wanted = box?.querySelector<HTMLElement>(`[data-focus]${first}, [data-focus] ${first}`);
    const input = wanted ?? box?.querySelector<HTMLElement>(`.dialog-body ${first}`);
    if (matchMedia("(hover: hover)").matches) input?.focus();
    return () => box?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      tabIndex={-1}
      className={`dialog ${className}`}
      aria-label={label}
      data-testid={testid}
      {...attributes}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      {children}
    </dialog>
  );
}
