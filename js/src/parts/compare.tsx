/**
 * Two runs side by side: what changed, what was reused, what each cost. A part that the kernel sends on demand; the
 * other run is another version of the shown one, or any run that is saved beside it.
 */
import { useEffect, useState } from "preact/hooks";
import { isRecord } from "../protocol/messages";
import type { DisplayState } from "../store/display";
import type { View } from "../store/view";
import { clip, formatCost, formatDuration, formatTokens, plural } from "../ui/format";
import { StateIcon } from "../ui/icons";
import styles from "./compare.css?inline";
import { changedWords, type Piece } from "./word_diff";

interface Side {
  readonly id: string;
  readonly state: string;
  readonly mark: string;
  readonly tokens: number;
  readonly cost: number | null;
  readonly seconds: number;
}

interface PairRow {
  readonly kind: "same" | "changed" | "added" | "removed";
  readonly what: readonly string[];
  readonly depth: number;
  readonly title: string;
  readonly old: Side | null;
  readonly new: Side | null;
}

interface Total {
  readonly name: string;
  readonly status: string;
  readonly nodes: number;
  readonly calls: number;
  readonly tokens: number;
  readonly cost: number | null;
}

interface Compared {
  readonly rows: readonly PairRow[];
  readonly omitted: number;
  readonly changed: number;
  readonly added: number;
  readonly removed: number;
  readonly reused: number;
  readonly old: Total;
  readonly new: Total;
}

interface OtherRun {
  readonly key: string;
  readonly name: string;
  readonly status: string;
  readonly when?: number | null;
}

/** What the kernel answered, or why it did not. */
interface Answered<T> {
  readonly data: T | null;
  readonly error: string;
}

const NOTHING = { data: null, error: "" };

function useAnswer<T>(view: View, op: string, args: object | null): Answered<T> {
  const [answered, setAnswered] = useState<Answered<T>>(NOTHING);
  const key = JSON.stringify(args);
  // Another run in the place of this one has other pairs; a run under way gets its end.
  const version = `${view.store.client.position.e} ${view.run.status}`;
  useEffect(() => {
    if (args === null) return;
    let wanted = true;
    setAnswered(NOTHING);
    void view.store.commands.ask({ op, args }).then(({ ok, error, data }) => {
      if (wanted) setAnswered({ data: ok ? (data as T) : null, error });
    });
    return () => void (wanted = false);
  }, [op, key, version]);
  return answered;
}

const costOf = (cost: number | null): string => (cost === null ? "–" : formatCost(cost));

function difference(old: number | null, now: number | null): string {
  if (old === null || now === null) return "unknown";
  const more = now - old;
  return `${more < 0 ? "−" : "+"}${formatCost(Math.abs(more))}`;
}

function Summary({ compared }: { compared: Compared }) {
  const { changed, added, removed, reused } = compared;
  const counts = [`${changed} changed`, added > 0 && `${added} added`, removed > 0 && `${removed} removed`, `${reused} reused`];
  return (
    <p role="status">
      <b>{changed + added + removed === 0 ? "The same nodes and results" : counts.filter(Boolean).join(", ")}</b> · {plural(compared.old.calls, "call")} and{" "}
      {plural(compared.new.calls, "call")} · cost {costOf(compared.old.cost)} and {costOf(compared.new.cost)} ({difference(compared.old.cost, compared.new.cost)})
    </p>
  );
}

function SideCells({ side, isNew }: { side: Side | null; isNew: boolean }) {
  const edge = isNew ? " rn-new" : "";
  if (!side) {
    return (
      <>
        <td class={`rn-s${edge}`}>–</td>
        <td class="rn-n" />
        <td class="rn-n" />
      </>
    );
  }
  const isReused = side.mark !== "" && side.state === "done";
  const state = (isReused ? "cached" : side.state) as DisplayState;
  const word = isReused ? (side.mark === "cached" ? "cached" : "reused") : side.state;
  return (
    <>
      <td class={`rn-s${edge}`} title={`${word}, ${formatDuration(side.seconds)} of work`}>
        <StateIcon state={state} size={13} /> {word}
      </td>
      <td class="rn-n">{side.tokens > 0 ? formatTokens(side.tokens) : ""}</td>
      <td class="rn-n">{side.tokens > 0 || (side.cost ?? 0) > 0 ? costOf(side.cost) : ""}</td>
    </>
  );
}

const MARK = { same: "", changed: "", added: "added", removed: "removed" } as const;

function PairLine({ row, isOpen, toggle }: { row: PairRow; isOpen: boolean; toggle(): void }) {
  return (
    <tr class={`rn-${row.kind}${isOpen ? " rn-open" : ""}`}>
      <td style={{ paddingLeft: `${12 + row.depth * 16}px` }}>
        <button type="button" aria-expanded={isOpen} title={clip(row.title)} onClick={toggle}>
          <span class="rn-id">{row.new?.id ?? row.old?.id}</span> <bdi>{clip(row.title)}</bdi>
        </button>
      </td>
      <SideCells side={row.old} isNew={false} />
      <SideCells side={row.new} isNew />
      <td class="rn-w">{MARK[row.kind] || row.what.join(", ")}</td>
    </tr>
  );
}

function Pieces({ pieces, tag }: { pieces: readonly Piece[]; tag: "del" | "ins" }) {
  const Tag = tag;
  return (
    <p dir="auto">{pieces.map(({ text, changed }) => (changed ? <Tag>{text}</Tag> : text))}</p>
  );
}

function Texts({ view, row, withRun, names }: { view: View; row: PairRow; withRun: string; names: readonly [string, string] }) {
  const args = { with: withRun, old: row.old?.id ?? null, new: row.new?.id ?? null };
  const { data, error } = useAnswer<{ old: string | null; new: string | null }>(view, "outputs", args);
  if (!data) return <p class="rn-nothing">{error || "Loading…"}</p>;
  const [old, now] = changedWords(data.old ?? "", data.new ?? "");
  const isSame = data.old === data.new;
  return (
    <div class="rn-texts">
      <section tabIndex={0} aria-label={`Output in ${names[0]}`}>
        <h3 aria-level={2}>{names[0]}</h3>
        {data.old === null ? <p>There is no output.</p> : <Pieces pieces={old} tag="del" />}
      </section>
      <section tabIndex={0} aria-label={`Output in ${names[1]}`}>
        <h3 aria-level={2}>
          {names[1]}
          {isSame && data.new !== null ? " · the same" : ""}
        </h3>
        {data.new === null ? <p>There is no output.</p> : <Pieces pieces={now} tag="ins" />}
      </section>
    </div>
  );
}

/** What differs, with all that is above it. */
function withAncestors(rows: readonly PairRow[]): PairRow[] {
  const shown: PairRow[] = [];
  let depth = -1;
  for (const row of [...rows].reverse()) {
    if (row.kind === "same" && row.depth >= depth) continue;
    shown.push(row);
    depth = row.depth;
  }
  return shown.reverse();
}

function Pairs({ view, compared, withRun, onlyChanges }: { view: View; compared: Compared; withRun: string; onlyChanges: boolean }) {
  const [open, setOpen] = useState<string | null>(null);
  const rows = onlyChanges ? withAncestors(compared.rows) : compared.rows;
  const names = [compared.old.name, `${compared.new.name} (shown here)`] as const;
  return (
    <table class="rn-pairs" aria-label="Two runs, node by node">
      <thead>
        <tr>
          <th scope="col">Task</th>
          <th scope="col" class="rn-s" title={names[0]}>
            {clip(names[0])}
          </th>
          <th scope="col" class="rn-n">
            Tokens
          </th>
          <th scope="col" class="rn-n">
            Cost
          </th>
          <th scope="col" class="rn-s rn-new" title={names[1]}>
            {clip(compared.new.name)}
          </th>
          <th scope="col" class="rn-n">
            Tokens
          </th>
          <th scope="col" class="rn-n">
            Cost
          </th>
          <th scope="col" class="rn-w">
            Changed
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => {
          const key = `${row.old?.id} ${row.new?.id}`;
          const isOpen = key === open;
          return (
            <>
              <PairLine key={key} row={row} isOpen={isOpen} toggle={() => setOpen(isOpen ? null : key)} />
              {isOpen && (
                <tr key={`${key} texts`}>
                  <td colSpan={8} style={{ padding: 0 }}>
                    <Texts view={view} row={row} withRun={withRun} names={names} />
                  </td>
                </tr>
              )}
            </>
          );
        })}
      </tbody>
    </table>
  );
}

const whenText = (when: number | null | undefined): string =>
  typeof when === "number" ? ` · ${new Date(when * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}` : "";

export function Compare({ view }: { view: View }) {
  const runs = useAnswer<readonly OtherRun[]>(view, "runs", {});
  const [chosen, setChosen] = useState("");
  const [onlyChanges, setOnlyChanges] = useState(true);
  const others = Array.isArray(runs.data) ? runs.data : [];
  const withRun = others.some(({ key }) => key === chosen) ? chosen : (others[0]?.key ?? "");
  const compared = useAnswer<Compared>(view, "compare", withRun === "" ? null : { with: withRun });
  const data = isRecord(compared.data) ? compared.data : null;
  if (runs.error !== "") return <p class="rn-nothing">{runs.error}</p>;
  if (!runs.data) return <p class="rn-nothing">Loading…</p>;
  if (others.length === 0) {
    return (
      <p class="rn-nothing">
        There is no other run to compare with yet. Edit a task, retry it, or run another cell: what is saved beside this run is listed here.
      </p>
    );
  }
  return (
    <>
      <style>{styles}</style>
      <div class="rn-compare-bar">
        <label>
          Compare with
          <select value={withRun} onChange={(event) => setChosen(event.currentTarget.value)}>
            {others.map(({ key, name, status, when }) => (
              <option value={key}>
                {clip(name, 60)} · {status}
                {whenText(when)}
              </option>
            ))}
          </select>
        </label>
        <label>
          <input type="checkbox" checked={onlyChanges} onChange={(event) => setOnlyChanges(event.currentTarget.checked)} />
          only what differs
        </label>
        {data && <Summary compared={data as unknown as Compared} />}
      </div>
      {compared.error !== "" && <p class="rn-nothing">{compared.error}</p>}
      {data && <Pairs key={withRun} view={view} compared={data as unknown as Compared} withRun={withRun} onlyChanges={onlyChanges} />}
      {data && (data as unknown as Compared).omitted > 0 && (
        <p class="rn-nothing">{plural((data as unknown as Compared).omitted, "node")} of these large runs are left out, those that are the same first.</p>
      )}
    </>
  );
}
