/**
 * What keys mean in the tree, after the treegrid pattern of the ARIA Authoring Practices. It only
 * decides; the grid acts. No single key changes or stops a run.
 */
export interface KeyContext {
  /** The active row; -1 when there are no rows. */
  readonly index: number;
  readonly count: number;
  readonly pageSize: number;
  readonly hasChildren: boolean;
  readonly isOpen: boolean;
  /** -1 for a root. */
  readonly parentIndex: number;
  readonly previousFailure: number;
  readonly nextFailure: number;
}

export type KeyAction =
  | { readonly type: "move"; readonly index: number }
  | { readonly type: "fold" }
  | { readonly type: "unfold" }
  | { readonly type: "unfoldSiblings" }
  | { readonly type: "open" }
  | { readonly type: "search" }
  | { readonly type: "criticalPath" }
  | { readonly type: "help" }
  | { readonly type: "escape" };

type Command = (context: KeyContext) => KeyAction | null;

const move = (context: KeyContext, index: number): KeyAction | null => {
  if (context.count === 0 || index < 0) return null;
  return { type: "move", index: Math.min(index, context.count - 1) };
};

const always =
  (type: "open" | "search" | "criticalPath" | "help" | "escape" | "unfoldSiblings"): Command =>
  () => ({ type });

const COMMANDS: Readonly<Record<string, Command>> = {
  ArrowUp: (context) => move(context, Math.max(0, context.index - 1)),
  ArrowDown: (context) => move(context, context.index + 1),
  PageUp: (context) => move(context, Math.max(0, context.index - context.pageSize)),
  PageDown: (context) => move(context, context.index + context.pageSize),
  Home: (context) => move(context, 0),
  End: (context) => move(context, context.count - 1),
  ArrowRight: (context) => {
    if (!context.hasChildren) return null;
    return context.isOpen ? move(context, context.index + 1) : { type: "unfold" };
  },
  ArrowLeft: (context) =>
    context.hasChildren && context.isOpen ? { type: "fold" } : move(context, context.parentIndex),
  "[": (context) => move(context, context.previousFailure),
  "]": (context) => move(context, context.nextFailure),
  "*": always("unfoldSiblings"),
  Enter: always("open"),
  " ": always("open"),
  "/": always("search"),
  "?": always("help"),
  c: always("criticalPath"),
  Escape: always("escape"),
};

export function keyAction(key: string, context: KeyContext): KeyAction | null {
  return Object.hasOwn(COMMANDS, key) ? (COMMANDS[key]?.(context) ?? null) : null;
}

/** Milliseconds after which a letter begins a new word. */
const TYPING_PAUSE = 700;

/** Puts together the letters that are typed to get to a row. Keys that mean something begin no word. */
export class TypeAhead {
  #typed = "";
  #at = -Infinity;

  /** What has been typed so far; null if the key is not typing. */
  add(key: string, at: number): string | null {
    const before = at - this.#at <= TYPING_PAUSE ? this.#typed : "";
    const isCharacter = [...key].length === 1;
    if (!isCharacter || (before === "" && Object.hasOwn(COMMANDS, key))) return null;
    this.#typed = before + key;
    this.#at = at;
    return this.#typed;
  }
}

/** One letter goes on to the next row, more stay as long as the row fits; -1 when none does. */
export function typeAheadIndex(count: number, active: number, typed: string, title: (index: number) => string): number {
  const wanted = typed.toLowerCase();
  const first = typed.length === 1 ? active + 1 : Math.max(0, active);
  for (let step = 0; step < count; step += 1) {
    const index = (first + step) % count;
    if (title(index).toLowerCase().startsWith(wanted)) return index;
  }
  return -1;
}
