/**
 * Builds the committed bundle `rlm_notebook/static/widget.js`, and the licenses beside it.
 *
 * The first line of the bundle names a hash of everything it was made from, so that a test
 * without Node can tell whether the bundle is stale. Two builds of the same sources give the
 * same bytes.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, transform } from "esbuild";
import { markedLexer } from "./marked_lexer.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const BUNDLE = join(HERE, "..", "rlm_notebook", "static", "widget.js");
const LICENSES = join(dirname(BUNDLE), "THIRD_PARTY_LICENSES.txt");
const BUNDLED_PACKAGES = ["preact", "@preact/signals-core", "marked"];

/**
 * The order of the modules is worth 900 bytes: compression looks back 32 KB only, so what resembles
 * each other, like components and styles, must not have the rules of marked in between.
 */
const ENTRY = 'import "marked"; import "./src/ui/widget"; export { default } from "./src/index";';

/** The inputs of the hash, as sorted paths relative to this folder with forward slashes. */
function hashedFiles() {
  const sources = readdirSync(join(HERE, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(HERE, join(entry.parentPath, entry.name)).split(sep).join("/"));
  return [...sources, "build.mjs", "marked_lexer.mjs", "package-lock.json"].sort();
}

/** Line ends are normalised, so that a checkout on Windows hashes the same. */
export function sourceHash() {
  const hash = createHash("sha256");
  for (const path of hashedFiles()) {
    const text = readFileSync(join(HERE, path), "utf8").replaceAll("\r\n", "\n");
    hash.update(`${path}\0${text}\0`);
  }
  return hash.digest("hex");
}

function licenseText(name) {
  const folder = join(HERE, "node_modules", name);
  const file = readdirSync(folder).find((entry) => /^licen[sc]e/i.test(entry));
  return readFileSync(join(folder, file), "utf8");
}

/** The bundle carries other people's code: whose, and where to read under which terms. */
function notice() {
  const holders = BUNDLED_PACKAGES.map((name) => {
    const lines = licenseText(name).match(/^Copyright.*$/gm) ?? [];
    return `${name}: ${lines.join("; ")}`;
  });
  return [`Includes, under the licenses in ${basename(LICENSES)} beside this file:`, ...holders].join("\n");
}

function licenses() {
  const texts = BUNDLED_PACKAGES.map((name) => `${name}\n${"=".repeat(name.length)}\n\n${licenseText(name).trim()}\n`);
  return `widget.js includes the following packages.\n\n${texts.join("\n\n")}`.replaceAll("\r\n", "\n");
}

/** `import css from "./file.css?inline"` gives minified text (vitest knows the same suffix). */
const inlineStyles = {
  name: "inline-styles",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /\.css\?inline$/ }, ({ path, resolveDir }) => ({
      path: join(resolveDir, path.replace("?inline", "")),
      namespace: "inline-styles",
    }));
    onLoad({ filter: /.*/, namespace: "inline-styles" }, async ({ path }) => {
      const source = readFileSync(path, "utf8");
      const { code } = await transform(source, { loader: "css", minify: true, target: "es2022" });
      return { contents: code.trim(), loader: "text" };
    });
  },
};

/** What the bundle and the development page are both built with. */
export const BUILD_OPTIONS = {
  bundle: true,
  format: "esm",
  target: "es2022",
  charset: "utf8",
  jsx: "automatic",
  jsxImportSource: "preact",
  plugins: [inlineStyles, markedLexer],
  legalComments: "none",
  absWorkingDir: HERE,
};

async function main() {
  const banner = `/* rlm_notebook widget, sources sha256:${sourceHash()} */\n/*\n${notice()}\n*/`;
  const result = await build({
    ...BUILD_OPTIONS,
    stdin: { contents: ENTRY, resolveDir: HERE },
    minify: true,
    write: false,
    banner: { js: banner },
  });
  const code = result.outputFiles[0].contents;
  mkdirSync(dirname(BUNDLE), { recursive: true });
  writeFileSync(BUNDLE, code);
  writeFileSync(LICENSES, licenses());
  console.log(`widget.js ${code.length} bytes, gzipped ${gzipSync(code, { level: 9 }).length}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
