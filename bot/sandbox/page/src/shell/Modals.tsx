import { useCallback, useEffect, useMemo, useRef, useState, type FormEvent } from "react";
import { Blocks } from "../blocks/Blocks";
import { useNewSurface } from "../blocks/surface";
import { closeView, submitView } from "../state/server";
import { useSnap } from "../state/store";
import { Short } from "../text/Text";
import type { View } from "../types";
import { useQuestion } from "./confirm";
import { Dialog } from "./Dialog";

/** `under`: the modal to which this one goes back. */
function Modal({ view, under }: { view: View; under: View | undefined }) {
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [trouble, setTrouble] = useState("");
  const [sending, setSending] = useState(false);
  const origin = useMemo(() => ({ container: "view" as const, view_id: view.id }), [view.id]);
  const onSet = useCallback((block: string) => setErrors(({ [block]: _, ...others }) => others), []);
  const surface = useNewSurface(origin, view.blocks, errors, onSet);
  const close = () => void closeView(view.id, surface.values);
  const closeAll = () => void closeView(view.id, surface.values, true);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setSending(true);
    const answer = await submitView(view.id, surface.values);
    setErrors(answer.errors ?? {});
    setTrouble(answer.ok || answer.errors ? "" : (answer.error ?? "The sandbox gave no reason."));
    setSending(false);
  };
  const body = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!sending) body.current?.querySelector("[role=alert]")?.scrollIntoView({ block: "nearest" });
  }, [sending]);
  const hasInputs = view.blocks.some((block) => block.type === "input");
  return (
    <Dialog
      label={view.title?.text ?? "Dialog"}
      testid="modal"
      className="modal"
      attributes={{ "data-view-id": view.id }}
      onClose={close}
    >
      <form onSubmit={(event) => void submit(event)} noValidate>
        <header>
          {under && (
            <button
              type="button"
              className="close back"
              aria-label={`Back to ${under.title?.text ?? "the window before"}`}
              data-testid="modal-back"
              onClick={close}
            >
              ←
            </button>
          )}
          <h2>
            <Short value={view.title} />
          </h2>
          <button type="button" className="close" aria-label="Close" data-testid="modal-x" onClick={closeAll}>
            ✕
          </button>
        </header>
        <div className="dialog-body" ref={body}>
          <Blocks blocks={view.blocks} surface={surface} />
        </div>
        {trouble && (
          <p className="dialog-trouble" role="alert" data-testid="modal-trouble">
            {trouble}
          </p>
        )}
        <footer>
          <button type="button" className="button" data-testid="modal-close" onClick={close}>
            {view.close ? <Short value={view.close} /> : hasInputs ? "Cancel" : "Close"}
          </button>
          {(view.submit ?? hasInputs) && (
            <button
              type="submit"
              className="button primary"
              data-testid="modal-submit"
              disabled={sending}
              aria-busy={sending}
            >
              <span className="button-text">{view.submit ? <Short value={view.submit} /> : "Submit"}</span>
              {sending && <span className="spinner" aria-hidden="true" />}
            </button>
          )}
        </footer>
      </form>
    </Dialog>
  );
}

/** Draws the complete stack, so that input in lower modals is kept when the top one closes. */
export function Modals() {
  const { modals, me } = useSnap();
  return (modals[me] ?? []).map((view, at, stack) => (
    <Modal key={view.id} view={view} under={stack[at - 1]} />
  ));
}

export function Question() {
  const question = useQuestion();
  if (!question) return null;
  const { confirm, answer } = question;
  return (
    <Dialog
      label={confirm.title?.text ?? "Are you sure?"}
      testid="confirm"
      className="narrow"
      onClose={() => answer(false)}
    >
      <header>
        <h2>{confirm.title ? <Short value={confirm.title} /> : "Are you sure?"}</h2>
      </header>
      <div className="dialog-body">
        <p>
          <Short value={confirm.text} />
        </p>
      </div>
      <footer>
        <button type="button" className="button" data-testid="confirm-deny" onClick={() => answer(false)}>
          {confirm.deny ? <Short value={confirm.deny} /> : "Cancel"}
        </button>
        <button
          type="button"
          className={`button ${confirm.style ?? "primary"}`}
          data-testid="confirm-yes"
          onClick={() => answer(true)}
        >
          {confirm.confirm ? <Short value={confirm.confirm} /> : "Yes"}
        </button>
      </footer>
    </Dialog>
  );
}
