import type { CSSProperties } from "react";
import { Menu } from "../shell/Menu";
import { Short } from "../text/Text";
import { safeUrl } from "../text/mrkdwn";
import { Button, Feedback, IconButton } from "./Button";
import { Choices, MultiSelect, Select } from "./Choosers";
import { Field, Picker } from "./Fields";
import { optionsOf, type Props } from "./element";
import { pendingKey, useSurface } from "./surface";

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
      return <IconButton {...props} />;
    case "feedback_buttons":
      return <Feedback {...props} />;
    case "static_select":
    case "users_select":
    case "channels_select":
    case "conversations_select":
      return <Select {...props} />;
    case "multi_static_select":
    case "multi_users_select":
    case "multi_channels_select":
    case "multi_conversations_select":
      return <MultiSelect {...props} />;
    case "checkboxes":
    case "radio_buttons":
      return <Choices {...props} />;
    case "plain_text_input":
    case "number_input":
    case "email_text_input":
    case "url_text_input":
      return <Field {...props} />;
    case "datepicker":
    case "timepicker":
    case "datetimepicker":
      return <Picker {...props} />;
    case "overflow":
      return <Overflow {...props} />;
    case "image":
      return <Picture url={element.image_url ?? ""} alt={element.alt_text ?? ""} />;
    default:
      return <span className="unknown">{element.type}: not drawn in the sandbox</span>;
  }
}
