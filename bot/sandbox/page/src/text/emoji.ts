import words from "virtual:emoji";

const ALIASES: Record<string, string> = {
  thumbsup: "+1",
  thumbsdown: "-1",
  simple_smile: "slightly_smiling_face",
};

let table: Map<string, string> | undefined;

function load(): Map<string, string> {
  const list = words.split(" ");
  const found = new Map<string, string>();
  for (let i = 0; i + 1 < list.length; i += 2) found.set(list[i] ?? "", list[i + 1] ?? "");
  return found;
}

/** The characters of a shortcode (without colons), or undefined if Slack has none of this name. */
export function emoji(name: string): string | undefined {
  table ??= load();
  const hex = table.get(ALIASES[name] ?? name);
  if (hex === undefined) return undefined;
  const points = hex.split("-").map((part) => Number.parseInt(part, 16));
  const text = String.fromCodePoint(...points);
  // Old symbols are drawn as text without the variation selector for pictures.
  return points.length === 1 && !/\p{Emoji_Presentation}/u.test(text) ? `${text}\ufe0f` : text;
}
