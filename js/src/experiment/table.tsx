/**
 * The view of an experiment: how far it is, and its rows, of which only those in sight are elements.
 */
import { useState } from "preact/hooks";
import { isRecord } from "../protocol/messages";
import { formatCost, formatDuration, formatTokens } from "../ui/format";
import { Arms, armsFrom, type Arm } from "./arms";
import { STATES, type Choice, type Column, type Row, type Rows, type RowState } from "./rows";

export const ROW_HEIGHT = 26;
const MARGIN = 8;
const ICONS: Record<RowState, string> = { done: "✓", reused: "↺", failed: "✕", running: "◐", pending: "·", cancelled: "⊘" };
const COLUMNS: readonly { readonly column: Column; readonly name: string; readonly isNumber?: boolean }[] = [
  { column: "number", name: "Row", isNumber: true },
  { column: "state", name: "State" },
  { column: "input", name: "Input" },
  { column: "text", name: "Answer" },
  { column: "cost", name: "Cost", isNumber: true },
  { column: "tokens", name: "Tokens", isNumber: true },
  { column: "seconds", name: "Time", isNumber: true },
];

/** What the kernel says of the whole. */
export interface Head {
  readonly title: string;
  readonly status: string;
  readonly rows: number;
  readonly done: number;
  readonly failed: number;
  readonly reused: number;
  readonly calls: number;
  readonly tokens: number;
  readonly cost: number | null;
  readonly limit: string;
  readonly left: string;
  readonly note: string;
  readonly hidden: number;
  readonly canRetry: boolean;
  /** Of a study; empty for a map. */
  readonly arms: readonly Arm[];
}

const EMPTY: Head = {
  title: "", status: "loading", rows: 0, done: 0, failed: 0, reused: 0, calls: 0, tokens: 0, cost: null, limit: "", left: "",
  note: "", hidden: 0, canRetry: false, arms: [],
};

export function headFrom(sent: unknown): Head {
  if (!isRecord(sent)) return EMPTY;
  const known = Object.entries(EMPTY).map(([name, usual]) => {
    const value = name === "arms" ? armsFrom(sent[name]) : sent[name];
    return [name, typeof value === typeof usual || (name === "cost" && (value === null || typeof value === "number")) ? value : usual];
  });
  return Object.fromEntries(known) as Head;
}

export interface Shown {
  readonly rows: Rows;
  readonly head: Head;
  readonly theme: string;
  readonly host: string;
  readonly open: number | null;
  readonly error: string;
  readonly height: number;
  send(message: object): void;
  setOpen(row: number | null): void;
}

const count = (value: number): string => value.toLocaleString("en");

function Summary({ head }: { head: Head }) {
  const parts = [
    head.failed > 0 && `${count(head.failed)} failed`,
    head.reused > 0 && `${count(head.reused)} reused`,
    `${count(head.calls)} ${head.calls === 1 ? "call" : "calls"}`,
    head.tokens > 0 && `${formatTokens(head.tokens)} tokens`,
    `${head.cost === null ? "cost unknown" : formatCost(head.cost)}${head.limit}`,
    head.left,
  ];
  return (
    <p class="rx-summary">
      <b>
        {count(head.done)} of {count(head.rows)} {head.arms.length > 0 ? "runs" : "rows"} done
      </b>{" "}
      · {parts.filter(Boolean).join(" · ")}
    </p>
  );
}

function Bar({ head }: { head: Head }) {
  const share = (part: number): string => `${(100 * part) / Math.max(1, head.rows)}%`;
  const ended = head.done + head.failed;
  return (
    <div class="rx-bar" role="progressbar" aria-label="Rows that have ended" aria-valuemin={0} aria-valuemax={head.rows} aria-valuenow={ended}>
      <span class="rx-reused" style={{ width: share(Math.min(head.reused, head.done)) }} />
      <span class="rx-done" style={{ width: share(Math.max(0, head.done - head.reused)) }} />
      <span class="rx-failed" style={{ width: share(head.failed) }} />
    </div>
  );
}

function Controls({ head, send }: Pick<Shown, "head" | "send">) {
  const isUnderWay = head.status === "running" || head.status === "paused";
  return (
    <>
      {head.status === "running" && (
        <button type="button" onClick={() => send({ t: "pause" })}>
          Pause
        </button>
      )}
      {head.status === "paused" && (
        <button type="button" onClick={() => send({ t: "resume" })}>
          Resume
        </button>
      )}
      {isUnderWay && (
        <button type="button" onClick={() => send({ t: "cancel" })}>
          Cancel
        </button>
      )}
      {!isUnderWay && head.canRetry && head.done < head.rows && (
        <button type="button" onClick={() => send({ t: "retry" })}>
          Run the others again
        </button>
      )}
    </>
  );
}

/** A row often costs less than formatCost tells. */
const costOf = (cost: number | null): string => (!cost ? "" : cost < 0.0005 ? "<$0.001" : formatCost(cost));

function Line({ row, isOpen, setOpen }: { row: Row; isOpen: boolean; setOpen(row: number | null): void }) {
  const word = row.state;
  return (
    <tr class={isOpen ? "rx-open" : ""} data-state={word} data-row={row.number} style={{ height: `${ROW_HEIGHT}px` }}>
      <td class="rx-n">
        <button
          type="button"
          aria-expanded={isOpen}
          aria-label={`The tree of row ${row.number}`}
          onClick={() => setOpen(isOpen ? null : row.number)}
        >
          {row.number}
        </button>
      </td>
      <td class={`rx-state rx-${word}`}>
        <span aria-hidden="true">{ICONS[word]}</span> {word}
      </td>
      <td title={row.input}>
        <bdi>{row.input}</bdi>
      </td>
      <td title={row.text} class={word === "failed" ? "rx-failed" : ""}>
        <bdi>{row.text}</bdi>
      </td>
      <td class="rx-n">{costOf(row.cost)}</td>
      <td class="rx-n">{row.tokens > 0 ? formatTokens(row.tokens) : ""}</td>
      <td class="rx-n">{row.seconds > 0 ? formatDuration(row.seconds) : ""}</td>
    </tr>
  );
}

const FIRST: Choice = { words: "", state: "", order: { column: "number", descending: false } };

export function Table(shown: Shown) {
  const { rows, head, open, setOpen, send } = shown;
  const [choice, setChoice] = useState(FIRST);
  const [top, setTop] = useState(0);
  const chosen = rows.chosen(choice);
  const counts = rows.counts();
  const visible = Math.ceil(shown.height / ROW_HEIGHT) + 2 * MARGIN;
  const last = Math.max(0, chosen.length - visible);
  const first = Math.min(last, Math.max(0, Math.floor(top / ROW_HEIGHT) - MARGIN));
  const below = chosen.length - Math.min(chosen.length, first + visible);
  const { order } = choice;
  const sort = (column: Column): void =>
    setChoice({ ...choice, order: { column, descending: order.column === column ? !order.descending : false } });
  return (
    <div class="rn rx" data-theme={shown.theme} data-host={shown.host} data-status={head.status}>
      <div class="rx-head">
        <div class="rx-line">
          <b class="rx-title">{head.title}</b>
          <span class={`rx-status rx-${head.status}`}>{head.status}</span>
          <Controls head={head} send={send} />
        </div>
        <Bar head={head} />
        <Summary head={head} />
        <Arms arms={head.arms} chosen={choice.words} choose={(words) => setChoice({ ...choice, words })} />
        {head.note !== "" && <p class="rx-note">{head.note}</p>}
        {shown.error !== "" && (
          <p class="rx-note" role="alert">
            {shown.error}
          </p>
        )}
        <div class="rx-line">
          <input
            type="search"
            aria-label="Filter the rows"
            placeholder="Filter rows"
            value={choice.words}
            onInput={(event) => setChoice({ ...choice, words: event.currentTarget.value })}
          />
          <select
            aria-label="Rows in this state"
            value={choice.state}
            onChange={(event) => setChoice({ ...choice, state: event.currentTarget.value as RowState | "" })}
          >
            <option value="">all states</option>
            {STATES.filter((state) => counts[state] > 0 || state === choice.state).map((state) => (
              <option value={state}>
                {state} ({count(counts[state])})
              </option>
            ))}
          </select>
          <span class="rx-count" role="status">
            {count(chosen.length)} {chosen.length === 1 ? "row" : "rows"}{head.hidden > 0 ? ` of the first ${count(rows.size)}; ${count(head.hidden)} more are in .frame` : ""}
          </span>
        </div>
      </div>
      <div
        class="rx-scroll"
        role="region"
        aria-label="The rows"
        tabIndex={0}
        style={{ maxHeight: `${shown.height}px` }}
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      >
        <table aria-rowcount={chosen.length + 1}>
          <thead>
            <tr>
              {COLUMNS.map(({ column, name, isNumber }) => (
                <th
                  scope="col"
                  class={`rx-c-${column}${isNumber ? " rx-n" : ""}`}
                  aria-sort={order.column === column ? (order.descending ? "descending" : "ascending") : "none"}
                >
                  <button type="button" onClick={() => sort(column)}>
                    {name}
                    <span aria-hidden="true">{order.column === column ? (order.descending ? " ↓" : " ↑") : ""}</span>
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {first > 0 && (
              <tr aria-hidden="true" style={{ height: `${first * ROW_HEIGHT}px` }}>
                <td colSpan={COLUMNS.length} />
              </tr>
            )}
            {chosen.slice(first, first + visible).map((row) => (
              <Line key={row.number} row={row} isOpen={row.number === open} setOpen={setOpen} />
            ))}
            {below > 0 && (
              <tr aria-hidden="true" style={{ height: `${below * ROW_HEIGHT}px` }}>
                <td colSpan={COLUMNS.length} />
              </tr>
            )}
          </tbody>
        </table>
      </div>
    </div>
  );
}
