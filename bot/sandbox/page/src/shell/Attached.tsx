/** The files that a person adds to a message before it is sent. */

import { useRef, useState } from "react";
import type { NewFile } from "../types";
import { sizeOf } from "./Files";

export function useAttached() {
  const [files, setFiles] = useState<File[]>([]);
  return {
    files,
    add: (more: File[]) => setFiles((old) => [...old, ...more]),
    remove: (file: File) => setFiles((old) => old.filter((each) => each !== file)),
    clear: () => setFiles([]),
  };
}

/** The file's content in the form of the page's API. */
export const read = (file: File): Promise<NewFile> =>
  new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onerror = () => failed(reader.error ?? new Error(`${file.name} cannot be read`));
    reader.onload = () => {
      const url = String(reader.result);
      done({ name: file.name, mimetype: file.type, content: url.slice(url.indexOf(",") + 1) });
    };
    reader.readAsDataURL(file);
  });

export function AttachButton({ testid, onFiles }: { testid: string; onFiles(files: File[]): void }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button
        type="button"
        className="attach"
        aria-label="Attach files"
        title="Attach files"
        onClick={() => input.current?.click()}
      >
        <svg viewBox="0 0 16 16" className="icon-16" aria-hidden="true">
          <path d="M8 3v10M3 8h10" />
        </svg>
      </button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        data-testid={testid}
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])]);
          event.target.value = "";
        }}
      />
    </>
  );
}

export function Attached({ files, onRemove }: { files: File[]; onRemove(file: File): void }) {
  if (files.length === 0) return null;
  return (
    <div className="attached" aria-label="Attached files">
      {files.map((file, at) => (
        <button
          key={at}
          type="button"
          className="tag"
          data-testid="attached"
          aria-label={`Remove ${file.name}`}
          onClick={() => onRemove(file)}
        >
          {file.name} <small>{sizeOf(file.size)}</small> <span aria-hidden="true">✕</span>
        </button>
      ))}
    </div>
  );
}
