/**
 * Builds the committed bundle `rlm_notebook/static/widget.js`.
 *
 * The first line of the bundle names a hash of everything it was made from, so that a test
 * without Node can tell whether the bundle is stale. Two builds of the same sources give the
 * same bytes.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, transform } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const BUNDLE = join(HERE, "..", "rlm_notebook", "static", "widget.js");
const BUNDLED_PACKAGES = ["preact", "@preact/signals", "@preact/signals-core", "marked"];

/** The inputs of the hash, as sorted paths relative to this folder with forward slashes. */
function hashedFiles() {
  const sources = readdirSync(join(HERE, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(HERE, join(entry.parentPath, entry.name)).split(sep).join("/"));
  return [...sources, "build.mjs", "package-lock.json"].sort();
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

/** The bundle carries other people's code: name them and repeat the licence they share. */
function notice() {
  const holders = BUNDLED_PACKAGES.map((name) => {
    const lines = licenseText(name).match(/^Copyright.*$/gm) ?? [];
    return `${name}: ${lines.join("; ")}`;
  });
  const terms = licenseText("preact");
  const permission = terms.slice(terms.indexOf("Permission is hereby granted")).trim();
  return ["Includes, under the MIT license:", ...holders, "", permission].join("\n");
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

/**
 * Only the lexer of marked is used, but the file also makes a whole `marked` when it is loaded,
 * which keeps the renderers alive. Without that last part they are dropped (3 KB gzipped).
 */
const markedLexerOnly = {
  name: "marked-lexer-only",
  setup({ onLoad }) {
    onLoad({ filter: /marked\.esm\.js$/ }, ({ path }) => {
      const source = readFileSync(path, "utf8");
      const cut = source.search(/var \w+=new \w+;function \w+\(\w+,\w+\)\{return \w+\.parse\(/);
      const [, lexer] = source.match(/(\w+) as Lexer\b/) ?? [];
      if (cut < 0 || !lexer) throw new Error(`${path} looks different now: adapt markedLexerOnly`);
      return { contents: `${source.slice(0, cut)}export{${lexer} as Lexer};`, loader: "js" };
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
  plugins: [inlineStyles, markedLexerOnly],
  legalComments: "none",
  absWorkingDir: HERE,
};

async function main() {
  const banner = `/* rlm_notebook widget, sources sha256:${sourceHash()} */\n/*\n${notice()}\n*/`;
  const result = await build({
    ...BUILD_OPTIONS,
    entryPoints: ["src/index.ts"],
    minify: true,
    write: false,
    banner: { js: banner },
  });
  const code = result.outputFiles[0].contents;
  mkdirSync(dirname(BUNDLE), { recursive: true });
  writeFileSync(BUNDLE, code);
  const kilobytes = (bytes) => `${(bytes / 1024).toFixed(1)} KB`;
  console.log(`widget.js ${kilobytes(code.length)}, gzipped ${kilobytes(gzipSync(code, { level: 9 }).length)}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
