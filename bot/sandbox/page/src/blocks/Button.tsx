import { useState } from "react";
import { useSnap } from "../state/store";
import { Short } from "../text/Text";
import { safeUrl } from "../text/mrkdwn";
import type { Element } from "../types";
import { pendingKey, useSurface } from "./surface";
import { useElement, wordsOf, type Props } from "./element";

export function Button(props: Props) {
  const { block, element } = props;
  const surface = useSurface();
  const { me } = useSnap();
  const { pending } = useElement(props);
  const url = element.url ? safeUrl(element.url) : undefined;
  if (element.visible_to_user_ids && !element.visible_to_user_ids.includes(me)) return null;
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

/** A small button with a picture; its text is shown while the pointer is over it. */
function SignButton(props: {
  block: string;
  element: Element;
  sign: string;
  name: string;
  pressed?: boolean;
  onPress(): void;
}) {
  const { block, element, sign, name, pressed, onPress } = props;
  return (
    <button
      type="button"
      className="button sign"
      data-testid="action-button"
      data-action-id={element.action_id}
      data-block-id={block}
      aria-label={name}
      aria-pressed={pressed}
      title={name}
      onClick={onPress}
    >
      <span className="emoji" aria-hidden="true">
        {sign}
      </span>
    </button>
  );
}

const ICONS: Record<string, string> = { trash: "🗑️" };

export function IconButton({ block, element }: Props) {
  const surface = useSurface();
  const { me } = useSnap();
  if (element.visible_to_user_ids && !element.visible_to_user_ids.includes(me)) return null;
  const name = wordsOf(element.text);
  return (
    <SignButton
      block={block}
      element={element}
      sign={ICONS[element.icon ?? ""] ?? "•"}
      name={element.accessibility_label ?? name}
      onPress={() => {
        if (surface.pending.has(pendingKey(block, element))) return;
        void surface.send(block, element, {
          ...(element.value === undefined ? {} : { value: element.value }),
          text: element.text,
        });
      }}
    />
  );
}

/** "Good answer", "Bad answer": two buttons that send one action each. */
export function Feedback({ block, element }: Props) {
  const surface = useSurface();
  const [held, setHeld] = useState<string>();
  const one = (each: Element["positive_button"], sign: string) =>
    each && (
      <SignButton
        block={block}
        element={element}
        sign={sign}
        name={each.accessibility_label ?? wordsOf(each.text)}
        pressed={held === each.value}
        onPress={() => {
          setHeld(each.value);
          void surface.send(block, element, { value: each.value, text: each.text });
        }}
      />
    );
  return (
    <>
      {one(element.positive_button, "👍")}
      {one(element.negative_button, "👎")}
    </>
  );
}
