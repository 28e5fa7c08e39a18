/**
 * The lexer of marked, without what the widget never asks of it: 9 KB gzipped instead of 15.
 *
 * marked is published as one minified file, of which no bundler can drop a part. Its source map
 * holds the modules behind that file; they are bundled here with the options of the widget filled
 * in as constants, and with rules as plain constants, so that what is unused falls away.
 */
import { readFileSync } from "node:fs";
import { Lexer } from "marked";

/** What the widget sets, or leaves alone; the branches of other values are dropped. */
const OPTIONS = { gfm: true, breaks: false, pedantic: false, silent: false, extensions: undefined, hooks: undefined };

const RULES_IMPORT = ["block", "inline", "other"].map((set) => `import * as ${set} from "./rules/${set}";`).join("\n");

/** A replacement that must find something: another release of marked may look different. */
function replace(source, pattern, replacement) {
  const result = source.replace(pattern, replacement);
  if (result === source) throw new Error(`marked looks different now, adapt marked_lexer.mjs: ${pattern}`);
  return result;
}

/** marked's modules by name. */
function originalModules() {
  const map = JSON.parse(readFileSync(new URL(`${import.meta.resolve("marked")}.map`), "utf8"));
  return new Map(map.sources.map((path, index) => [path.replace(/^.*\//, "./"), map.sourcesContent[index]]));
}

/** Rules are composed when marked is loaded; here that has happened already. */
function composedRules(rules) {
  return Object.entries(rules).map(([name, rule]) => `export const ${name} = ${rule};`).join("\n");
}

/** `other` is an object of expressions, one per line: each becomes a constant of its own. */
function otherRules(source) {
  const [declaration, members] = source.match(/^export const other = \{\n([^]*?)^\};/m);
  const constants = replace(members, /^ {2}(\w+): (.*),$/gm, "export const $1 = /* @__PURE__ */ $2;");
  const [cachedIndentRegex] = source.match(/^function cachedIndentRegex[^]*?^\}/m);
  const [tag] = source.slice(source.indexOf(declaration)).match(/^const _tag = [^;]*;/m);
  return [cachedIndentRegex, tag, constants].join("\n");
}

function withConstants(source) {
  const options = new RegExp(`\\bthis\\.options\\.(${Object.keys(OPTIONS).join("|")})\\b`, "g");
  let result = replace(source, options, (_, name) => `${OPTIONS[name]}`);
  result = replace(result, /^import \{ _defaults \} .*$/m, "");
  result = replace(result, / \|\| _defaults\b/, "");
  return replace(result, /\b(?:this\.)?(?:tokenizer\.)?rules\.(block|inline|other)\b/g, "$1");
}

function lexer(source) {
  let result = replace(source, /^import .* from '.\/rules.ts';$/m, RULES_IMPORT);
  result = replace(result, /^ {4}const rules = \{[^]*?\.rules = rules;$/m, "");
  result = replace(result, /^ {2}static [^]*?^ {2}\}$/gm, "");
  return replace(withConstants(result), /const \{ (.*) \} = inline;/, (_, names) =>
    names.split(", ").map((name) => `const ${name} = inline.${name};`).join("\n"),
  );
}

function tokenizer(source) {
  return withConstants(`${RULES_IMPORT}\n${source}`);
}

/** Text of the modules behind `import { Lexer } from "marked"`. */
function modules() {
  const original = originalModules();
  return new Map([
    ["marked", 'export { _Lexer as Lexer } from "./Lexer.ts";'],
    ["./Lexer.ts", lexer(original.get("./Lexer.ts"))],
    ["./Tokenizer.ts", tokenizer(original.get("./Tokenizer.ts"))],
    ["./helpers.ts", replace(original.get("./helpers.ts"), /^import \{ other \} .*$/m, RULES_IMPORT)],
    ["./rules/block", composedRules(Lexer.rules.block.gfm)],
    ["./rules/inline", composedRules(Lexer.rules.inline.gfm)],
    ["./rules/other", otherRules(original.get("./rules.ts"))],
  ]);
}

export const markedLexer = {
  name: "marked-lexer",
  setup({ onResolve, onLoad }) {
    const texts = modules();
    const resolve = ({ path }) => ({ path, namespace: "marked" });
    onResolve({ filter: /^marked$/ }, resolve);
    onResolve({ filter: /.*/, namespace: "marked" }, resolve);
    onLoad({ filter: /.*/, namespace: "marked" }, ({ path }) => ({ contents: texts.get(path), loader: "ts" }));
  },
};
