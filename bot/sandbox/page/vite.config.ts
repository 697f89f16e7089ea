import { readFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

const EMOJI = "virtual:emoji";

/** Slack's shortcodes as one string `name hex name hex …`, a third of the size of JSON. */
function emoji(): Plugin {
  return {
    name: "emoji",
    resolveId: (id) => (id === EMOJI ? `\0${EMOJI}` : undefined),
    load(id) {
      if (id !== `\0${EMOJI}`) return undefined;
      const file = new URL("node_modules/emojibase-data/en/shortcodes/iamcal.json", import.meta.url);
      const codes = JSON.parse(readFileSync(file, "utf8")) as Record<string, string | string[]>;
      const words = Object.entries(codes).flatMap(([hex, names]) =>
        [names].flat().flatMap((name) => [name, hex.toLowerCase()]),
      );
      return `export default ${JSON.stringify(words.join(" "))};`;
    },
    generateBundle() {
      const source = readFileSync(new URL("node_modules/emojibase-data/LICENSE", import.meta.url));
      this.emitFile({ type: "asset", fileName: "EMOJIBASE_LICENSE", source });
    },
  };
}

export default defineConfig({
  plugins: [emoji()],
  build: {
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    license: { fileName: "THIRD_PARTY.md" },
    rollupOptions: {
      output: { entryFileNames: "assets/page.js", assetFileNames: "assets/page.[ext]" },
    },
  },
});
