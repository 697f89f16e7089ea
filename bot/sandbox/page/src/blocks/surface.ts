/** What the blocks of one message, modal or Home tab share: the values of inputs, and how actions are sent. */

import { createContext, useContext, useMemo, useRef, useState } from "react";
import { act, type ActionDone, type ActionOrigin } from "../state/server";
import { currentRoute } from "../state/route";
import type { Block, Confirm, Element, ElementState, Values } from "../types";
import { ask } from "../shell/confirm";

export interface Surface {
  container: ActionOrigin["container"];
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
  const here = element.default_to_current_conversation ? currentRoute().channel : undefined;
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
      return { type, selected_user: element.initial_user ?? null };
    case "channels_select":
      return { type, selected_channel: element.initial_channel ?? null };
    case "conversations_select":
      return { type, selected_conversation: element.initial_conversation ?? here ?? null };
    case "multi_users_select":
      return { type, selected_users: element.initial_users ?? [] };
    case "multi_channels_select":
      return { type, selected_channels: element.initial_channels ?? [] };
    case "multi_conversations_select":
      return { type, selected_conversations: element.initial_conversations ?? (here ? [here] : []) };
    case "datepicker":
      return { type, selected_date: element.initial_date ?? null };
    case "timepicker":
      return { type, selected_time: element.initial_time ?? null };
    case "datetimepicker":
      return { type, selected_date_time: element.initial_date_time ?? null };
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
      const edited = edits[id]?.[element.action_id];
      (values[id] ??= {})[element.action_id] = edited?.type === state.type ? edited : state;
    }
  }
  return values;
}

const NO_ERRORS = {};

/** `errors`: sentences by block_id; `onSet` is called when an input of this block_id is changed. */
export function useNewSurface(
  origin: ActionOrigin,
  blocks: Block[],
  errors: Record<string, string> = NO_ERRORS,
  onSet?: (blockId: string) => void,
): Surface {
  const [edits, setEdits] = useState<Values>({});
  const [pending, setPending] = useState<ReadonlySet<string>>(new Set());
  // An updated modal keeps the value of each input with the same block_id and action_id: a new initial value of such
  // an input has no effect, as in Slack.
  const before = useRef<Values>({});
  return useMemo(() => {
    const values = collect(blocks, origin.container === "view" ? merged(before.current, edits) : edits);
    before.current = values;
    return {
      container: origin.container,
      values,
      errors,
      pending,
      set(block, action, state) {
        setEdits((old) => ({ ...old, [block]: { ...old[block], [action]: state } }));
        onSet?.(block);
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
  }, [origin, blocks, errors, edits, pending, onSet]);
}

/** The values of both; those of `over` replace those of `under`. */
export function merged(under: Values, over: Values): Values {
  const ids = [...Object.keys(under), ...Object.keys(over)];
  return Object.fromEntries(ids.map((id) => [id, { ...under[id], ...over[id] }]));
}

const confirmed = async (confirm: Confirm | undefined): Promise<boolean> => !confirm || ask(confirm);
