/** The files of a message. */

import { CodeBlock } from "../text/CodeBlock";
import type { FileData } from "../types";

const KB = 1000;

export function sizeOf(bytes: number): string {
  if (bytes < KB) return `${bytes} B`;
  return bytes < KB * KB ? `${Math.round(bytes / KB)} kB` : `${(bytes / KB / KB).toFixed(1)} MB`;
}

/** Images that a browser draws; SVG is not among them, because it may contain scripts. */
const DRAWN = /^image\/(png|jpeg|gif|webp)$/;

function FileView({ file }: { file: FileData }) {
  const name = file.title ?? file.name ?? "";
  if (file.mode === "tombstone") return <p className="file-gone">This file was deleted.</p>;
  if (file.mode === "hidden_by_limit")
    return <p className="file-gone">This file is hidden by the plan&apos;s limit.</p>;
  const about = [file.pretty_type, file.size === undefined ? "" : sizeOf(file.size)]
    .filter(Boolean)
    .join(" · ");
  const isImage = DRAWN.test(file.mimetype ?? "") && file.mode === "hosted";
  return (
    <figure className="file" data-testid="file" data-file-id={file.id}>
      <figcaption>
        <span className="file-name">{name}</span> <span className="file-about">{about}</span>
      </figcaption>
      {isImage && <img src={`/page/file/${encodeURIComponent(file.id)}`} alt={name} />}
      {file.preview && (
        <div className="file-preview">
          <CodeBlock text={file.preview} />
          {file.preview_is_truncated && <span className="file-about">… {file.lines} lines in all</span>}
        </div>
      )}
    </figure>
  );
}

export function Files({ files }: { files: FileData[] }) {
  if (files.length === 0) return null;
  return (
    <div className="files">
      {files.map((file) => (
        <FileView key={file.id} file={file} />
      ))}
    </div>
  );
}
