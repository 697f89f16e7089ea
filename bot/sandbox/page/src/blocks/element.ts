/** What the interactive elements have in common. */

import type { Element, ElementState, Option, TextObject } from "../types";
import { initial, pendingKey, useSurface } from "./surface";

export interface Props {
  block: string;
  element: Element;
  /** In an input block, a change is sent when the modal is submitted; elsewhere immediately. */
  kept?: boolean;
  labelledBy?: string | undefined;
  describedBy?: string | undefined;
}

export const wordsOf = (text: TextObject | string | undefined): string =>
  typeof text === "string" ? text : (text?.text ?? "");

export const optionsOf = (element: Element): Option[] =>
  element.options ?? (element.option_groups ?? []).flatMap((group) => group.options);

/** An element's value, its setters, and its attributes for tests and screen readers. */
export function useElement({ block, element, kept = false, labelledBy, describedBy }: Props) {
  const surface = useSurface();
  const action = element.action_id ?? "";
  const invalid = block in surface.errors;
  const hold = (state: Omit<ElementState, "type">) =>
    surface.set(block, action, { type: element.type, ...state });
  const dispatch = (state: Omit<ElementState, "type">) => {
    if (!kept) void surface.send(block, element, state);
  };
  return {
    held: surface.values[block]?.[action] ?? initial(element) ?? { type: element.type },
    pending: surface.pending.has(pendingKey(block, element)),
    /** Stores a value; the app is not told. */
    hold,
    /** Tells the app, if the element does so before the modal is submitted. */
    dispatch,
    choose(state: Omit<ElementState, "type">) {
      hold(state);
      dispatch(state);
    },
    attributes: {
      "data-action-id": action,
      "data-block-id": block,
      ...(element.focus_on_load ? { "data-focus": true } : {}),
      ...(labelledBy ? { "aria-labelledby": labelledBy } : {}),
      ...(describedBy ? { "aria-describedby": describedBy } : {}),
      ...(invalid ? { "aria-invalid": true } : {}),
    },
  };
}
