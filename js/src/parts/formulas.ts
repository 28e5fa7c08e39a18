/**
 * Formulas as trees of MathML, which browsers draw by themselves. This part of the widget is not in the first bundle:
 * the kernel sends it when the first formula is shown.
 *
 * A formula is hostile text like all that a model writes. Commands that make links, styles, classes, identifiers or
 * images make an error, and what has errors is shown as its source. Of the rest, the elements, attributes and styles
 * listed here pass, with sizes that stay near the formula; everything else is dropped.
 */
import temml from "temml";
import type { MathTree, Typesetter } from "../ui/formulas";

const ELEMENTS = new Set(
  ("math mrow mi mo mn ms mtext mspace mfrac msqrt mroot msub msup msubsup munder mover munderover mmultiscripts " +
    "mprescripts none mtable mtr mtd mstyle mpadded mphantom menclose").split(" "),
);

const ATTRIBUTES = new Set(
  ("display displaystyle scriptlevel mathvariant stretchy fence separator form lspace rspace minsize maxsize symmetric " +
    "largeop movablelimits accent accentunder linethickness width height depth voffset columnalign rowalign " +
    "columnspacing rowspacing columnlines rowlines notation").split(" "),
);

/** What tables, boxes and spaces are made of. No colours: they could hide text from its reader. */
const STYLES = /^(padding|margin|border)(-\w+)?$|^(width|text-align|math-depth|math-style)$/;
const CLASSES = /^tml-(left|right|jot|tag|vec)$|^math(cal|scr)$/;
const PLAIN_VALUE = /^[\w\s.%+-]{0,60}$/;
/** Of any unit: a length beyond it would reach out of the formula. */
const LARGEST_LENGTH = 100;
const MOST_EXPANSIONS = 500;
const MOST_ELEMENTS = 4000;
const DEEPEST = 60;

/** The build tree of temml: an element, or a text. */
interface BuildNode {
  readonly type?: string;
  readonly text?: string;
  readonly attributes?: Readonly<Record<string, unknown>>;
  readonly classes?: readonly string[];
  readonly style?: Readonly<Record<string, unknown>>;
  readonly children?: readonly BuildNode[];
}

class TooMuch extends Error {}

const isHarmless = (value: string): boolean =>
  PLAIN_VALUE.test(value) && (value.match(/\d+(\.\d+)?/g) ?? []).every((length) => Number(length) <= LARGEST_LENGTH);

const hyphenated = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function attributesOf({ attributes = {}, classes = [], style = {} }: BuildNode): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const [name, value] of Object.entries(attributes)) {
    if (ATTRIBUTES.has(name) && isHarmless(String(value))) passed[name] = String(value);
  }
  const styles = Object.entries(style).map(([name, value]) => [hyphenated(name), String(value)] as const);
  const shown = styles.filter(([name, value]) => STYLES.test(name) && isHarmless(value) && !value.includes("-"));
  if (shown.length > 0) passed["style"] = shown.map(([name, value]) => `${name}:${value}`).join(";");
  const known = classes.filter((name) => CLASSES.test(name));
  if (known.length > 0) passed["class"] = known.join(" ");
  return passed;
}

/** Copies what may be shown; an element that is not known leaves its content. */
function gate(node: BuildNode, budget: { left: number }, depth = 0): MathTree[] {
  if (typeof node.text === "string") return [node.text];
  if ((budget.left -= 1) < 0 || depth > DEEPEST) throw new TooMuch();
  const children = (node.children ?? []).flatMap((child) => gate(child, budget, depth + 1));
  return node.type !== undefined && ELEMENTS.has(node.type) ? [[node.type, attributesOf(node), children]] : children;
}

/** The formula, or null if it has errors or is too much. */
export const typeset: Typesetter = (tex, display) => {
  const options = { displayMode: display, throwOnError: true, trust: false, maxSize: [20, 20] as [number, number], maxExpand: MOST_EXPANSIONS };
  try {
    const built = temml.__renderToMathMLTree(tex, options) as BuildNode;
    return gate(built, { left: MOST_ELEMENTS });
  } catch {
    return null;
  }
};
