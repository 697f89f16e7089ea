const DAY = 86_400_000;

export function moment(ts: string): Date {
  return new Date(Number.parseFloat(ts) * 1000);
}

const startOfDay = (at: Date): number => new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();

export function sameDay(a: Date, b: Date): boolean {
  return startOfDay(a) === startOfDay(b);
}

export function clock(at: Date, seconds = false): string {
  return at.toLocaleTimeString([], {
    hour: "numeric",
    minute: "2-digit",
    ...(seconds ? { second: "2-digit" } : {}),
  });
}

/** "Today", "Yesterday", or the date. */
export function day(at: Date, now: Date): string {
  const days = Math.round((startOfDay(now) - startOfDay(at)) / DAY);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  const year = at.getFullYear() === now.getFullYear() ? {} : { year: "numeric" as const };
  return at.toLocaleDateString([], { weekday: "long", month: "long", day: "numeric", ...year });
}

function ago(at: Date, now: Date): string {
  const seconds = Math.round((now.getTime() - at.getTime()) / 1000);
  const [size, unit] =
    Math.abs(seconds) < 60
      ? [1, "second" as const]
      : Math.abs(seconds) < 3600
        ? [60, "minute" as const]
        : Math.abs(seconds) < 86400
          ? [3600, "hour" as const]
          : [86400, "day" as const];
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-Math.round(seconds / size), unit);
}

function token(name: string, at: Date, now: Date): string | undefined {
  const pretty = day(at, now);
  const relative = pretty === "Today" || pretty === "Yesterday" ? pretty.toLowerCase() : undefined;
  const form = (options: Intl.DateTimeFormatOptions) =>
    at.toLocaleDateString([], { year: "numeric", ...options });
  switch (name) {
    case "date_num":
      return form({ month: "2-digit", day: "2-digit" });
    case "date":
      return form({ month: "long", day: "numeric" });
    case "date_short":
      return form({ month: "short", day: "numeric" });
    case "date_long":
      return form({ weekday: "long", month: "long", day: "numeric" });
    case "date_pretty":
      return relative ?? form({ month: "long", day: "numeric" });
    case "date_short_pretty":
      return relative ?? form({ month: "short", day: "numeric" });
    case "date_long_pretty":
      return relative ?? form({ weekday: "long", month: "long", day: "numeric" });
    case "time":
      return clock(at);
    case "time_secs":
      return clock(at, true);
    case "ago":
      return ago(at, now);
    default:
      return undefined;
  }
}

/** Slack's date format, such as "{date_short} at {time}"; unknown tokens stay unchanged. */
export function formatDate(at: Date, format: string, now: Date): string {
  return format.replace(/\{(\w+)\}/g, (whole, name: string) => token(name, at, now) ?? whole);
}
