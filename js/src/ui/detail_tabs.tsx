/** What the tabs of the detail pane show once their field has arrived. */
import type { ComponentChild } from "preact";
import { useEffect } from "preact/hooks";
import { isRecord, type PhaseKind, type TabField, type TreeNode } from "../protocol/messages";
import type { Detail } from "../store/details";
import { isActive, isFinished } from "../store/display";
import type { View } from "../store/view";
import { PHASE_NAMES } from "./bar";
import { clip, formatDuration, formatMoment } from "./format";
import { LinkedText } from "./linked_text";
import { Markdown } from "./markdown";
import { PlainText } from "./plain_text";
import { Value } from "./value";

/** Text that still grows is laid out as Markdown up to this length only: it is done each frame. */
const LONGEST_LIVE_MARKDOWN = 20_000;

const LONGEST_EVENT = 4000;

const records = (data: unknown): Record<string, unknown>[] => (Array.isArray(data) ? data.filter(isRecord) : []);
const text = (value: unknown): string => (typeof value === "string" ? value : "");

function Empty({ children }: { children: ComponentChild }) {
  return <p class="rn-empty">{children}</p>;
}

interface TabProperties {
  readonly data: unknown;
  readonly node: TreeNode;
  readonly view: View;
}

function LiveOutput({ view, node }: { view: View; node: TreeNode }) {
  const streamed = view.streamedText(node.id) || node.tail;
  if (streamed === "") return <Empty>No text yet.</Empty>;
  if (streamed.length > LONGEST_LIVE_MARKDOWN) return <PlainText text={streamed} />;
  return <Markdown text={streamed} />;
}

function Output({ data, node }: TabProperties) {
  if (text(data) !== "") return <Markdown text={text(data)} />;
  // The reason is shown above, with the state.
  return <Empty>{isFinished(node) ? "There is no output." : "There is no output yet."}</Empty>;
}

/** The passages that the quotes were found in; without a kernel, their plain values. */
function Quotes({ data, view }: TabProperties) {
  const part = view.store.parts.read("quotes");
  useEffect(() => view.store.parts.request("quotes"), []);
  return part ? <part.Quotes view={view} data={data} /> : <Value value={data} />;
}

function Prompt({ data }: { data: unknown }) {
  const messages = records(data);
  if (messages.length === 0) return <Empty>No prompt was sent.</Empty>;
  return (
    <>
      {messages.map((message) => (
        <section class="rn-message">
          <h4 aria-level={3}>{clip(text(message["role"]))}</h4>
          <Value value={message["content"]} />
        </section>
      ))}
    </>
  );
}

function Plan({ data }: { data: unknown }) {
  return isRecord(data) ? <Value value={data} /> : <Empty>This node was not planned.</Empty>;
}

function toolDuration(call: Record<string, unknown>): string {
  const { started, ended } = call;
  return typeof started === "number" && typeof ended === "number" ? formatDuration(ended - started) : "";
}

function Tools({ data }: { data: unknown }) {
  const calls = records(data);
  if (calls.length === 0) return <Empty>No tool was called.</Empty>;
  return (
    <>
      {calls.map((call) => (
        <details class={`rn-tool${call["ok"] === false ? " rn-failed" : ""}`}>
          <summary>
            <b>{clip(text(call["name"]))}</b> {call["asks"] === true ? "waiting for you" : call["ok"] === false && "failed"} <span>{toolDuration(call)}</span>
          </summary>
          <h4 aria-level={3}>Arguments</h4>
          <Value value={call["arguments"]} />
          {call["result"] !== null && (
            <>
              <h4 aria-level={3}>Result</h4>
              <Value value={call["result"]} />
            </>
          )}
        </details>
      ))}
    </>
  );
}

/** What a cell printed, its value and its error, below its code. */
function Cells({ data }: { data: unknown }) {
  const cells = records(data);
  if (cells.length === 0) return <Empty>No cell was written.</Empty>;
  return (
    <>
      {cells.map((cell, index) => (
        <section class={`rn-cell${typeof cell["error"] === "string" ? " rn-failed" : ""}`}>
          <h4 aria-level={3}>
            Cell {index + 1}
            <span>{typeof cell["seconds"] === "number" ? formatDuration(cell["seconds"]) : "runs"}</span>
          </h4>
          {text(cell["code"]) === "" ? <Empty>A reply without code.</Empty> : <PlainText text={text(cell["code"])} />}
          {text(cell["output"]) !== "" && <PlainText text={text(cell["output"])} />}
          {text(cell["value"]) !== "" && <PlainText text={`=> ${text(cell["value"])}`} />}
          {text(cell["error"]) !== "" && <PlainText text={text(cell["error"])} />}
          {text(cell["note"]) !== "" && <p class="rn-empty">{clip(text(cell["note"]))}</p>}
        </section>
      ))}
    </>
  );
}

function Events({ data }: { data: unknown }) {
  const events = records(data);
  if (events.length === 0) return <Empty>Nothing has happened yet.</Empty>;
  return (
    <ol class="rn-events">
      {events.map((event) => (
        <li>
          <time>{typeof event["at"] === "number" ? formatMoment(event["at"]) : ""}</time>
          <b>{clip(PHASE_NAMES[text(event["type"]) as PhaseKind] ?? text(event["type"]))}</b>
          <span dir="auto">
            <LinkedText text={clip(text(event["text"]), LONGEST_EVENT)} />
          </span>
        </li>
      ))}
    </ol>
  );
}

export const TAB_NAMES: Record<TabField, string> = {
  output: "Output",
  quotes: "Quotes",
  cells: "Cells",
  prompt: "Prompt",
  plan: "Plan",
  tools: "Tools",
  events: "Events",
};

const TABS: Record<TabField, (properties: TabProperties) => ComponentChild> = {
  output: Output,
  quotes: Quotes,
  prompt: Prompt,
  plan: Plan,
  tools: Tools,
  cells: Cells,
  events: Events,
};

export function TabContent({ view, node, field, detail }: {
  view: View;
  node: TreeNode;
  field: TabField;
  detail: Detail;
}) {
  if (field === "output" && isActive(node)) return <LiveOutput view={view} node={node} />;
  if (detail.status === "loading") return <Empty>Loading…</Empty>;
  if (detail.status === "unavailable") return <Unavailable />;
  const Tab = TABS[field];
  return <Tab data={detail.data} node={node} view={view} />;
}

function Unavailable() {
  return <Empty>The kernel that holds this run does not answer. Run the cell again to load it.</Empty>;
}
