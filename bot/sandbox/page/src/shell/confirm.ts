/** Slack's confirmation dialog, one at a time. */

import { useSyncExternalStore } from "react";
import type { Confirm } from "../types";

interface Question {
  confirm: Confirm;
  answer(yes: boolean): void;
}

let question: Question | undefined;
const listeners = new Set<() => void>();

function show(next: Question | undefined): void {
  question = next;
  for (const listener of listeners) listener();
}

/** Whether the person confirmed. */
export function ask(confirm: Confirm): Promise<boolean> {
  question?.answer(false);
  return new Promise((done) => {
    show({
      confirm,
      answer(yes) {
        show(undefined);
        done(yes);
      },
    });
  });
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export const useQuestion = (): Question | undefined => useSyncExternalStore(subscribe, () => question);
