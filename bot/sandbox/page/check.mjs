// Rebuilds the page in another folder and compares it with dist; fails if the lock contains addresses.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "vite";

const files = (dir) =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length))
    .sort();

function differences(built, kept) {
  const names = [...new Set([...files(built), ...files(kept)])].sort();
  return names.filter((name) => {
    try {
      return !readFileSync(join(built, name)).equals(readFileSync(join(kept, name)));
    } catch {
      return true;
    }
  });
}

const aside = mkdtempSync(join(tmpdir(), "page-"));
const faults = [];
try {
  await build({ logLevel: "warn", build: { outDir: aside, emptyOutDir: true } });
  for (const name of differences(aside, new URL("dist", import.meta.url).pathname)) {
    faults.push(`dist${name} is not what the source builds: run \`npm run build\` and commit dist.`);
  }
} finally {
  rmSync(aside, { recursive: true, force: true });
}
if (/:\/\//.test(readFileSync(new URL("package-lock.json", import.meta.url), "utf8"))) {
  faults.push("package-lock.json holds addresses: run `npm run lock`.");
}
for (const fault of faults) console.error(fault);
if (faults.length === 0) console.log("dist is what the source builds; the lock holds no addresses.");
process.exitCode = faults.length === 0 ? 0 : 1;
