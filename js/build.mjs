/**
 * Builds the committed bundle `rlm_notebook/static/widget.js`, the parts that the kernel sends on demand
 * (`parts/NAME.js` beside it), and the licenses of what they include.
 *
 * The first line of each names a hash of everything it was made from, so that a test
 * without Node can tell whether it is stale. Two builds of the same sources give the
 * same bytes.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
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
 * The modules of `src/parts` that are built on their own, and the packages that each includes. What they import of the
 * widget's sources is included, too; Preact alone is that of the first bundle, because there may be only one.
 */
const PARTS = { compare: [], dialogs: [], formulas: ["temml"], quotes: [] };
const HOST_NAMES = "h, Component, createContext, Fragment, jsx, jsxs, useContext, useEffect, useLayoutEffect, useMemo, useRef, useState";

/** The view of experiments is a bundle of its own: notebooks without experiments never load it. */
const EXPERIMENT = join(dirname(BUNDLE), "experiment.js");
const PARTS_FOLDER = join(dirname(BUNDLE), "parts");

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

const partSource = (name) => [`src/parts/${name}.tsx`, `src/parts/${name}.ts`].find((path) => existsSync(join(HERE, path)));

/** A part with packages is made of one module and of them: it is not stale because another module has changed. */
function partHash(name) {
  if (PARTS[name].length === 0) return sourceHash();
  const { devDependencies } = JSON.parse(readFileSync(join(HERE, "package.json"), "utf8"));
  const source = readFileSync(join(HERE, partSource(name)), "utf8").replaceAll("\r\n", "\n");
  const packages = PARTS[name].map((each) => `${each}@${devDependencies[each]}\0`).join("");
  return createHash("sha256").update(`${source}\0${packages}`).digest("hex");
}

/** Replaces Preact in a part by what the widget hands over as `host` (`HOST` in `src/store/parts.ts`). */
const hostPreact = {
  name: "host-preact",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^preact(\/.*)?$/ }, ({ path }) => ({ path, namespace: "host" }));
    onLoad({ filter: /.*/, namespace: "host" }, () => ({
      contents: `const { ${HOST_NAMES} } = host; export { ${HOST_NAMES} };`,
    }));
  },
};

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

const report = (name, code) => console.log(`${name} ${code.length} bytes, gzipped ${gzipSync(code, { level: 9 }).length}`);

/** Where the packages of a part are not installed, its committed form stays, if it is not stale. */
async function buildPart(name) {
  const path = join(PARTS_FOLDER, `${name}.js`);
  const mark = `/* rlm_notebook widget, part ${name}, sources sha256:${partHash(name)} */`;
  const isInstalled = PARTS[name].every((each) => existsSync(join(HERE, "node_modules", each)));
  if (!isInstalled && existsSync(path) && readFileSync(path, "utf8").startsWith(mark)) return;
  const terms = PARTS[name].map((each) => `Includes ${each}:\n\n${licenseText(each).trim()}`).join("\n\n");
  const result = await build({
    ...BUILD_OPTIONS,
    plugins: [inlineStyles, hostPreact, markedLexer],
    entryPoints: [partSource(name)],
    format: "iife",
    globalName: "part",
    minify: true,
    write: false,
    banner: { js: `${mark}\n${terms && `/*\n${terms}\n*/\n`}export default function (host) {` },
    footer: { js: "return part;\n}" },
  });
  const code = result.outputFiles[0].contents;
  mkdirSync(PARTS_FOLDER, { recursive: true });
  writeFileSync(path, code);
  report(`parts/${name}.js`, code);
}

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
  report("widget.js", code);
  for (const name of Object.keys(PARTS)) await buildPart(name);
  await buildExperiment();
}

async function buildExperiment() {
  const result = await build({
    ...BUILD_OPTIONS,
    entryPoints: ["src/experiment/index.tsx"],
    minify: true,
    write: false,
    banner: { js: `/* rlm_notebook widget, experiment, sources sha256:${sourceHash()} */\n/*\n${notice()}\n*/` },
  });
  const code = result.outputFiles[0].contents;
  writeFileSync(EXPERIMENT, code);
  report("experiment.js", code);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
