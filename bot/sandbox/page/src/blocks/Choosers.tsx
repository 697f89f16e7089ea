import { useId } from "react";
import { channelsOf, titleOf } from "../state/messages";
import { useSnap } from "../state/store";
import { Short } from "../text/Text";
import type { Element, ElementState, Option, OptionGroup, Snapshot } from "../types";
import { optionsOf, useElement, wordsOf, type Props } from "./element";

interface Source {
  options: Option[];
  groups?: OptionGroup[] | undefined;
  chosen(held: ElementState): string[];
  state(values: string[]): Omit<ElementState, "type">;
}

const asOption = (value: string, text: string): Option => ({ value, text: { type: "plain_text", text } });

const peopleOf = (snap: Snapshot): Option[] => snap.users.map((user) => asOption(user.id, user.real_name));

function roomsOf(snap: Snapshot, element: Element): Option[] {
  const onlyChannels = element.type.endsWith("channels_select");
  const kinds = element.filter?.include;
  const wanted = (kind: "channel" | "im") =>
    onlyChannels ? kind === "channel" : !kinds || kinds.includes(kind === "im" ? "im" : "public");
  return channelsOf(snap)
    .filter((channel) => wanted(channel.kind))
    .map((channel) =>
      asOption(channel.id, channel.kind === "channel" ? `#${channel.name}` : titleOf(snap, channel)),
    );
}

const listed = (value: string | null | undefined): string[] => (value ? [value] : []);

/** Where a select's options come from, and how its state stores the chosen ones. */
function sourceOf(snap: Snapshot, element: Element): Source {
  switch (element.type) {
    case "users_select":
      return {
        options: peopleOf(snap),
        chosen: (held) => listed(held.selected_user),
        state: ([value]) => ({ selected_user: value ?? null }),
      };
    case "channels_select":
      return {
        options: roomsOf(snap, element),
        chosen: (held) => listed(held.selected_channel),
        state: ([value]) => ({ selected_channel: value ?? null }),
      };
    case "conversations_select":
      return {
        options: roomsOf(snap, element),
        chosen: (held) => listed(held.selected_conversation),
        state: ([value]) => ({ selected_conversation: value ?? null }),
      };
    case "multi_users_select":
      return {
        options: peopleOf(snap),
        chosen: (held) => held.selected_users ?? [],
        state: (selected_users) => ({ selected_users }),
      };
    case "multi_channels_select":
      return {
        options: roomsOf(snap, element),
        chosen: (held) => held.selected_channels ?? [],
        state: (selected_channels) => ({ selected_channels }),
      };
    case "multi_conversations_select":
      return {
        options: roomsOf(snap, element),
        chosen: (held) => held.selected_conversations ?? [],
        state: (selected_conversations) => ({ selected_conversations }),
      };
    default: {
      const options = optionsOf(element);
      const of = (values: string[]) =>
        values.flatMap((value) => options.find((each) => each.value === value) ?? []);
      const many = element.type.startsWith("multi_");
      return {
        options,
        groups: element.option_groups,
        chosen: (held) =>
          many
            ? (held.selected_options ?? []).map((each) => each.value)
            : listed(held.selected_option?.value),
        state: (values) =>
          many ? { selected_options: of(values) } : { selected_option: of(values)[0] ?? null },
      };
    }
  }
}

const draw = (each: Option) => (
  <option key={each.value} value={each.value}>
    {wordsOf(each.text)}
  </option>
);

/** The browser's own select, which works with keyboards, phones and screen readers. */
function Native({
  value,
  busy,
  source,
  placeholder,
  attributes,
  onPick,
}: {
  value: string;
  busy: boolean;
  source: Pick<Source, "options" | "groups">;
  placeholder: string;
  attributes: ReturnType<typeof useElement>["attributes"];
  onPick(value: string): void;
}) {
  return (
    <span className={busy ? "select busy" : "select"}>
      <select
        {...attributes}
        data-testid="select"
        aria-label={attributes["aria-labelledby"] ? undefined : placeholder || "Choose"}
        value={value}
        disabled={busy}
        aria-busy={busy}
        onChange={(event) => onPick(event.target.value)}
      >
        <option value="" disabled hidden>
          {placeholder || "Choose an option"}
        </option>
        {source.groups
          ? source.groups.map((group, at) => (
              <optgroup key={at} label={wordsOf(group.label)}>
                {group.options.map(draw)}
              </optgroup>
            ))
          : source.options.map(draw)}
      </select>
    </span>
  );
}

export function Select(props: Props) {
  const { element } = props;
  const { held, pending, choose, attributes } = useElement(props);
  const source = sourceOf(useSnap(), element);
  const [value = ""] = source.chosen(held);
  const described = source.options.find((each) => each.value === value)?.description;
  return (
    <>
      <Native
        value={value}
        busy={pending}
        source={source}
        placeholder={wordsOf(element.placeholder)}
        attributes={attributes}
        onPick={(chosen) => choose(source.state([chosen]))}
      />
      {described && (
        <span className="input-hint">
          <Short value={described} />
        </span>
      )}
    </>
  );
}

/** A select of several: the chosen ones as tags, and a select of the others. */
export function MultiSelect(props: Props) {
  const { element } = props;
  const { held, pending, choose, attributes } = useElement(props);
  const source = sourceOf(useSnap(), element);
  const chosen = source.chosen(held);
  const isOpen = (option: Option) => !chosen.includes(option.value);
  const left = {
    options: source.options.filter(isOpen),
    groups: source.groups?.map((group) => ({ ...group, options: group.options.filter(isOpen) })),
  };
  const isFull = chosen.length >= (element.max_selected_items ?? Infinity) || left.options.length === 0;
  return (
    <div className="multi">
      {chosen.map((value) => {
        const name = wordsOf(source.options.find((each) => each.value === value)?.text) || value;
        return (
          <button
            key={value}
            type="button"
            className="tag"
            data-testid="tag"
            aria-label={`Remove ${name}`}
            onClick={() => choose(source.state(chosen.filter((each) => each !== value)))}
          >
            {name} <span aria-hidden="true">✕</span>
          </button>
        );
      })}
      {!isFull && (
        <Native
          value=""
          busy={pending}
          source={left}
          placeholder={wordsOf(element.placeholder) || (chosen.length ? "Add another" : "")}
          attributes={attributes}
          onPick={(value) => choose(source.state([...chosen, value]))}
        />
      )}
    </div>
  );
}

/** Checkboxes and radio buttons. */
export function Choices(props: Props) {
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
