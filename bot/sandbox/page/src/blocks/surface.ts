/** What the blocks of one message, modal or Home tab share: the values of inputs, and how actions are sent. */

import { createContext, useContext, useMemo, useState } from "react";
import { act, type ActionDone, type ActionOrigin } from "../state/server";
import type { Block, Confirm, Element, ElementState, Values } from "../types";
import { ask } from "../shell/confirm";

export interface Surface {
  values: Values;
  errors: Record<string, string>;
  pending: ReadonlySet<string>;
  set(blockId: string, actionId: string, state: ElementState): void;
  send(blockId: string, element: Element, done: Omit<ActionDone, "type">): Promise<void>;
}

export const SurfaceContext = createContext<Surface | undefined>(undefined);

export function useSurface(): Surface {
  const surface = useContext(SurfaceContext);
  if (!surface) throw new Error("a block outside a surface");
  return surface;
}

export const pendingKey = (blockId: string, element: Element): string =>
  `${blockId} ${element.action_id ?? ""} ${element.value ?? ""}`;

/** The initial value of an element; undefined for elements without a value, such as buttons. */
export function initial(element: Element): ElementState | undefined {
  const { type } = element;
  switch (type) {
    case "plain_text_input":
    case "number_input":
    case "email_text_input":
    case "url_text_input":
      return { type, value: element.initial_value ?? null };
    case "static_select":
    case "radio_buttons":
      return { type, selected_option: element.initial_option ?? null };
    case "multi_static_select":
    case "checkboxes":
      return { type, selected_options: element.initial_options ?? [] };
    case "users_select":
      return { type, ...(element.initial_user ? { selected_user: element.initial_user } : {}) };
    case "channels_select":
      return { type, ...(element.initial_channel ? { selected_channel: element.initial_channel } : {}) };
    case "conversations_select":
      return {
        type,
        ...(element.initial_conversation ? { selected_conversation: element.initial_conversation } : {}),
      };
    case "datepicker":
      return { type, selected_date: element.initial_date ?? null };
    case "timepicker":
      return { type, selected_time: element.initial_time ?? null };
    default:
      return undefined;
  }
}

export const blockId = (block: Block, at: number): string => block.block_id ?? `block-${at}`;

/** `state.values` as Slack sends it: the present value of every element that has one. */
export function collect(blocks: Block[], edits: Values): Values {
  const values: Values = {};
  for (const [at, block] of blocks.entries()) {
    const id = blockId(block, at);
    const inline = block.type === "actions" ? (block.elements ?? []) : [];
    for (const element of [block.element, block.accessory, ...inline]) {
      const state = element && initial(element);
      if (!element?.action_id || !state) continue;
      (values[id] ??= {})[element.action_id] = edits[id]?.[element.action_id] ?? state;
    }
  }
  return values;
}

export function useNewSurface(
  origin: ActionOrigin,
  blocks: Block[],
  errors: Record<string, string>,
): Surface {
  const [edits, setEdits] = useState<Values>({});
  const [pending, setPending] = useState<ReadonlySet<string>>(new Set());
  return useMemo(() => {
    const values = collect(blocks, edits);
    return {
      values,
      errors,
      pending,
      set(block, action, state) {
        setEdits((old) => ({ ...old, [block]: { ...old[block], [action]: state } }));
      },
      async send(block, element, done) {
        if (!(await confirmed(element.confirm))) return;
        const key = pendingKey(block, element);
        const action = element.action_id ?? "";
        const state = { type: element.type, ...done };
        const now = initial(element) ? { ...values, [block]: { ...values[block], [action]: state } } : values;
        setPending((old) => new Set(old).add(key));
        await act(origin, block, action, state, now);
        setPending((old) => new Set([...old].filter((each) => each !== key)));
      },
    };
  }, [origin, blocks, errors, edits, pending]);
}

const confirmed = async (confirm: Confirm | undefined): Promise<boolean> => !confirm || ask(confirm);
