import type { User } from "../types";

const initials = (name: string): string =>
  name
    .split(/[\s._-]+/)
    .slice(0, 2)
    .map((word) => word[0]?.toUpperCase() ?? "")
    .join("");

const colour = (user: User | undefined): string =>
  user?.color ? `#${user.color.replace(/^#/, "")}` : "#5b6472";

/** White or near-black, whichever is easier to read on the colour. */
function ink(background: string): string {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5]
    .map((at) => Number.parseInt(background.slice(at, at + 2), 16) / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#14171c" : "#ffffff";
}

export function Avatar({
  user,
  name,
  small = false,
}: {
  user: User | undefined;
  name: string;
  small?: boolean;
}) {
  const background = colour(user);
  return (
    <span
      className={small ? "avatar small" : "avatar"}
      style={{ backgroundColor: background, color: ink(background) }}
      aria-hidden="true"
    >
      {initials(name) || "?"}
    </span>
  );
}
