import { useEffect, useRef, type KeyboardEvent } from "react";
import type { ElementState } from "../types";
import { useElement, wordsOf, type Props } from "./element";

/** Time without a key before `on_character_entered` is sent, in milliseconds. */
const TYPED_PAUSE = 300;

const KINDS: Record<string, string> = {
  email_text_input: "email",
  url_text_input: "url",
  datepicker: "date",
  timepicker: "time",
  datetimepicker: "datetime-local",
};

/** Seconds since 1970 as the browser's field of a local date and time, and back. */
const localOf = (seconds: number | null | undefined): string => {
  if (!seconds) return "";
  const at = new Date(seconds * 1000);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};
const secondsOf = (local: string): number | null =>
  local ? Math.floor(new Date(local).getTime() / 1000) : null;

export function Picker(props: Props) {
  const { element } = props;
  const { held, choose, attributes } = useElement(props);
  const shown: Record<string, string> = {
    datepicker: held.selected_date ?? "",
    timepicker: held.selected_time ?? "",
    datetimepicker: localOf(held.selected_date_time),
  };
  const stateOf = (value: string): Omit<ElementState, "type"> =>
    element.type === "datepicker"
      ? { selected_date: value || null }
      : element.type === "timepicker"
        ? { selected_time: value || null }
        : { selected_date_time: secondsOf(value) };
  return (
    <input
      {...attributes}
      data-testid="field"
      className="field picker"
      type={KINDS[element.type]}
      value={shown[element.type] ?? ""}
      onChange={(event) => choose(stateOf(event.target.value))}
    />
  );
}

export function Field(props: Props) {
  const { element } = props;
  const { held, hold, dispatch, attributes } = useElement(props);
  const on = element.dispatch_action_config?.trigger_actions_on ?? ["on_enter_pressed"];
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const change = (text: string) => {
    const state = { value: text || null };
    hold(state);
    if (props.kept || !on.includes("on_character_entered")) return;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => dispatch(state), TYPED_PAUSE);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || props.kept || !on.includes("on_enter_pressed")) return;
    event.preventDefault();
    dispatch({ value: held.value ?? null });
  };
  const shared = {
    ...attributes,
    "data-testid": "field",
    className: "field",
    placeholder: wordsOf(element.placeholder),
    maxLength: element.max_length,
    value: held.value ?? "",
    onKeyDown,
  };
  if (element.multiline)
    return <textarea {...shared} rows={4} onChange={(event) => change(event.target.value)} />;
  return (
    <input
      {...shared}
      type={KINDS[element.type] ?? "text"}
      inputMode={element.type === "number_input" ? "decimal" : undefined}
      onChange={(event) => change(event.target.value)}
    />
  );
}
