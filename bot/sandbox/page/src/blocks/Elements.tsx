import { useId, type CSSProperties } from "react";
import { Menu } from "../shell/Menu";
import { channelsOf } from "../state/messages";
import { useSnap } from "../state/store";
import { Short } from "../text/Text";
import { safeUrl } from "../text/mrkdwn";
import type { Element, ElementState, Option, TextObject } from "../types";
import { initial, pendingKey, useSurface } from "./surface";

interface Props {
  block: string;
  element: Element;
  /** In an input block, a change is sent when the modal is submitted; elsewhere immediately. */
  kept?: boolean;
  labelledBy?: string | undefined;
  describedBy?: string | undefined;
}

const wordsOf = (text: TextObject | string | undefined): string =>
  typeof text === "string" ? text : (text?.text ?? "");

const optionsOf = (element: Element): Option[] =>
  element.options ?? (element.option_groups ?? []).flatMap((group) => group.options);

/** An element's value, its setter, and its attributes for tests and screen readers. */
function useElement({ block, element, kept = false, labelledBy, describedBy }: Props) {
  const surface = useSurface();
  const action = element.action_id ?? "";
  const invalid = block in surface.errors;
  return {
    held: surface.values[block]?.[action] ?? initial(element) ?? { type: element.type },
    pending: surface.pending.has(pendingKey(block, element)),
    hold(state: Omit<ElementState, "type">) {
      surface.set(block, action, { type: element.type, ...state });
    },
    choose(state: Omit<ElementState, "type">) {
      surface.set(block, action, { type: element.type, ...state });
      if (!kept) void surface.send(block, element, state);
    },
    attributes: {
      "data-action-id": action,
      "data-block-id": block,
      ...(labelledBy ? { "aria-labelledby": labelledBy } : {}),
      ...(describedBy ? { "aria-describedby": describedBy } : {}),
      ...(invalid ? { "aria-invalid": true } : {}),
    },
  };
}

export function Button(props: Props) {
  const { block, element } = props;
  const surface = useSurface();
  const { pending } = useElement(props);
  const url = element.url ? safeUrl(element.url) : undefined;
  const click = () => {
    if (url) window.open(url, "_blank", "noopener,noreferrer");
    void surface.send(block, element, {
      ...(element.value === undefined ? {} : { value: element.value }),
      text: element.text,
    });
  };
  return (
    <button
      type="button"
      className={`button ${element.style ?? ""}`}
      data-testid="action-button"
      data-action-id={element.action_id}
      data-block-id={block}
      aria-label={element.accessibility_label}
      aria-busy={pending}
      disabled={pending}
      title={url}
      onClick={click}
    >
      <span className="button-text">
        <Short value={element.text} />
        {url && <span aria-hidden="true"> ↗</span>}
      </span>
      {pending && <span className="spinner" aria-hidden="true" />}
    </button>
  );
}

/** A native select, which works with keyboards, phones and screen readers. */
function Select(props: Props) {
  const { element } = props;
  const { held, pending, choose, attributes } = useElement(props);
  const snap = useSnap();
  const people = snap.users.map((user) => [user.id, user.real_name] as const);
  const rooms = channelsOf(snap).flatMap((channel) =>
    channel.kind === "channel" ? [[channel.id, `#${channel.name}`] as const] : [],
  );
  const byId: Record<string, readonly (readonly [string, string])[]> = {
    users_select: people,
    channels_select: rooms,
    conversations_select: rooms,
  };
  const ids = byId[element.type];
  const value =
    held.selected_option?.value ??
    held.selected_user ??
    held.selected_channel ??
    held.selected_conversation ??
    "";
  const pick = (chosen: string) => {
    if (!ids) choose({ selected_option: optionsOf(element).find((each) => each.value === chosen) ?? null });
    else if (element.type === "users_select") choose({ selected_user: chosen });
    else if (element.type === "channels_select") choose({ selected_channel: chosen });
    else choose({ selected_conversation: chosen });
  };
  const option = (each: Option) => (
    <option key={each.value} value={each.value}>
      {wordsOf(each.text)}
    </option>
  );
  return (
    <span className={pending ? "select busy" : "select"}>
      <select
        {...attributes}
        data-testid="select"
        aria-label={attributes["aria-labelledby"] ? undefined : wordsOf(element.placeholder) || "Choose"}
        value={value}
        disabled={pending}
        aria-busy={pending}
        onChange={(event) => pick(event.target.value)}
      >
        <option value="" disabled hidden>
          {wordsOf(element.placeholder) || "Choose an option"}
        </option>
        {ids?.map(([id, name]) => (
          <option key={id} value={id}>
            {name}
          </option>
        ))}
        {element.options?.map(option)}
        {element.option_groups?.map((group, at) => (
          <optgroup key={at} label={wordsOf(group.label)}>
            {group.options.map(option)}
          </optgroup>
        ))}
      </select>
    </span>
  );
}

/** Checkboxes, radio buttons, and multi-selects. */
function Choices(props: Props) {
  const { element } = props;
  const { held, choose, attributes } = useElement(props);
  const name = useId();
  const many = element.type !== "radio_buttons";
  const chosen = many ? (held.selected_options ?? []) : held.selected_option ? [held.selected_option] : [];
  const toggle = (option: Option, on: boolean) => {
    if (!many) choose({ selected_option: option });
    else {
      const others = chosen.filter((each) => each.value !== option.value);
      choose({ selected_options: on ? [...others, option] : others });
    }
  };
  return (
    <div {...attributes} className="choices" role={many ? "group" : "radiogroup"}>
      {optionsOf(element).map((option) => (
        <label key={option.value} className="choice">
          <input
            type={many ? "checkbox" : "radio"}
            name={name}
            value={option.value}
            checked={chosen.some((each) => each.value === option.value)}
            onChange={(event) => toggle(option, event.target.checked)}
          />
          <span>
            <Short value={option.text} />
            {option.description && (
              <small>
                <Short value={option.description} />
              </small>
            )}
          </span>
        </label>
      ))}
    </div>
  );
}

const KINDS: Record<string, string> = {
  number_input: "text",
  email_text_input: "email",
  url_text_input: "url",
  datepicker: "date",
  timepicker: "time",
};

function Field(props: Props) {
  const { element } = props;
  const { held, hold, choose, attributes } = useElement(props);
  const shared = {
    ...attributes,
    "data-testid": "field",
    className: "field",
    placeholder: wordsOf(element.placeholder),
    maxLength: element.max_length,
    value: held.value ?? held.selected_date ?? held.selected_time ?? "",
  };
  if (element.type === "datepicker" || element.type === "timepicker") {
    const key = element.type === "datepicker" ? "selected_date" : "selected_time";
    return (
      <input
        {...shared}
        type={KINDS[element.type]}
        onChange={(event) => choose({ [key]: event.target.value || null })}
      />
    );
  }
  const change = (value: string) => hold({ value: value || null });
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

function Overflow({ block, element }: Props) {
  const surface = useSurface();
  const pending = surface.pending.has(pendingKey(block, element));
  return (
    <Menu
      label={element.accessibility_label ?? "More actions"}
      busy={pending}
      actionId={element.action_id ?? ""}
      items={optionsOf(element).map((option) => ({ key: option.value, text: <Short value={option.text} /> }))}
      onPick={(value) => {
        const option = optionsOf(element).find((each) => each.value === value);
        const url = option?.url ? safeUrl(option.url) : undefined;
        if (url) window.open(url, "_blank", "noopener,noreferrer");
        if (option) void surface.send(block, element, { selected_option: option });
      }}
    />
  );
}

/** "Good answer", "Bad answer": two buttons that send one action each. */
function Feedback({ block, element }: Props) {
  const surface = useSurface();
  const held = surface.values[block]?.[element.action_id ?? ""]?.value;
  return [element.positive_button, element.negative_button].map(
    (each, at) =>
      each && (
        <button
          key={at}
          type="button"
          className="button quiet"
          data-testid="action-button"
          data-action-id={element.action_id}
          aria-pressed={held === each.value}
          onClick={() => {
            surface.set(block, element.action_id ?? "", { type: element.type, value: each.value });
            void surface.send(block, element, { value: each.value, text: each.text });
          }}
        >
          {at === 0 ? "👍" : "👎"} <Short value={each.text} />
        </button>
      ),
  );
}

/** A picture from this server, or none: the page loads nothing from other servers. */
export function Picture({ url, alt, style }: { url: string; alt: string; style?: CSSProperties }) {
  if (/^(data:image\/|\/(?!\/))/.test(url)) return <img src={url} alt={alt} style={style} />;
  const safe = safeUrl(url);
  return (
    <span className="picture">
      {safe ? (
        <a href={safe} target="_blank" rel="noopener noreferrer">
          {alt || "Image"}
        </a>
      ) : (
        alt || "Image"
      )}
    </span>
  );
}

export function ElementView(props: Props) {
  const { element } = props;
  switch (element.type) {
    case "button":
    case "workflow_button":
      return <Button {...props} />;
    case "icon_button":
      return (
        <Button {...props} element={{ ...element, text: wordsOf(element.text) || (element.icon ?? "") }} />
      );
    case "static_select":
    case "users_select":
    case "channels_select":
    case "conversations_select":
      return <Select {...props} />;
    case "multi_static_select":
    case "checkboxes":
    case "radio_buttons":
      return <Choices {...props} />;
    case "plain_text_input":
    case "number_input":
    case "email_text_input":
    case "url_text_input":
    case "datepicker":
    case "timepicker":
      return <Field {...props} />;
    case "overflow":
      return <Overflow {...props} />;
    case "feedback_buttons":
      return <Feedback {...props} />;
    case "image":
      return <Picture url={element.image_url ?? ""} alt={element.alt_text ?? ""} />;
    default:
      return <span className="unknown">{element.type}: not drawn in the sandbox</span>;
  }
}
