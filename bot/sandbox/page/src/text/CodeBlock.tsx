import { useEffect, useState } from "react";

async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers withhold the clipboard from pages that are not https or loopback.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

export function CodeBlock({ text, language }: { text: string; language?: string | undefined }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <div className="code-block">
      <pre data-language={language} tabIndex={0}>
        <code>{text}</code>
      </pre>
      <button
        type="button"
        className="copy"
        data-testid="copy"
        aria-label={copied ? "Copied" : "Copy the code"}
        onClick={() => void copy(text).then(() => setCopied(true))}
      >
        {copied ? "Copied" : "Copy"}
      </button>
    </div>
  );
}
