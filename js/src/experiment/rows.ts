/**
 * The rows of an experiment as the kernel sends them, and which of them are shown in which order.
 */
export type RowState = "pending" | "running" | "done" | "reused" | "failed" | "cancelled";

export const STATES: readonly RowState[] = ["running", "failed", "done", "reused", "pending", "cancelled"];

export interface Row {
  readonly number: number;
  readonly state: RowState;
  readonly input: string;
  /** The answer, or why there is none. */
  readonly text: string;
  readonly cost: number | null;
  readonly tokens: number;
  readonly seconds: number;
}

export type Column = "number" | "state" | "input" | "text" | "cost" | "tokens" | "seconds";

export interface Order {
  readonly column: Column;
  readonly descending: boolean;
}

export interface Choice {
  readonly words: string;
  readonly state: RowState | "";
  readonly order: Order;
}

const isState = (value: unknown): value is RowState => STATES.includes(value as RowState);
const numberOr = (value: unknown, other: number): number => (typeof value === "number" && Number.isFinite(value) ? value : other);

/** A row as it is sent: a list, whose places are those of `Row`. Null for anything else. */
export function rowFrom(sent: unknown): Row | null {
  if (!Array.isArray(sent)) return null;
  const [number, state, input, text, cost, tokens, seconds] = sent as readonly unknown[];
  if (typeof number !== "number" || !Number.isInteger(number) || number < 0 || !isState(state)) return null;
  return {
    number,
    state,
    input: String(input ?? ""),
    text: String(text ?? ""),
    cost: typeof cost === "number" ? cost : null,
    tokens: numberOr(tokens, 0),
    seconds: numberOr(seconds, 0),
  };
}

function compared(a: Row, b: Row, column: Column): number {
  if (column === "state") return STATES.indexOf(a.state) - STATES.indexOf(b.state);
  const [one, other] = [a[column] ?? -1, b[column] ?? -1];
  return typeof one === "string" ? one.localeCompare(String(other)) : one - (other as number);
}

export class Rows {
  readonly #rows = new Map<number, Row>();
  readonly #texts = new Map<number, string>();
  #version = 0;
  #known: { readonly key: string; readonly rows: readonly Row[] } | null = null;

  get version(): number {
    return this.#version;
  }

  get size(): number {
    return this.#rows.size;
  }

  get(number: number): Row | undefined {
    return this.#rows.get(number);
  }

  reset(): void {
    this.#rows.clear();
    this.#texts.clear();
    this.#version += 1;
  }

  add(sent: unknown): void {
    if (!Array.isArray(sent)) return;
    for (const each of sent) {
      const row = rowFrom(each);
      if (!row) continue;
      this.#rows.set(row.number, row);
      this.#texts.delete(row.number);
    }
    this.#version += 1;
  }

  /** How many rows have each state. */
  counts(): Record<RowState, number> {
    const counts = { pending: 0, running: 0, done: 0, reused: 0, failed: 0, cancelled: 0 };
    for (const { state } of this.#rows.values()) counts[state] += 1;
    return counts;
  }

  /** The rows that are chosen, in their order; equal ones by their numbers. */
  chosen({ words, state, order }: Choice): readonly Row[] {
    const key = `${this.#version} ${state} ${order.column} ${order.descending} ${words}`;
    if (this.#known?.key === key) return this.#known.rows;
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...this.#rows.values()].filter((row) => (state === "" || row.state === state) && this.#has(row, wanted));
    const sign = order.descending ? -1 : 1;
    rows.sort((a, b) => sign * compared(a, b, order.column) || a.number - b.number);
    this.#known = { key, rows };
    return rows;
  }

  #has(row: Row, words: readonly string[]): boolean {
    if (words.length === 0) return true;
    let text = this.#texts.get(row.number);
    if (text === undefined) {
      text = `${row.number} ${row.input} ${row.text}`.toLowerCase();
      this.#texts.set(row.number, text);
    }
    return words.every((word) => (text as string).includes(word));
  }
}
