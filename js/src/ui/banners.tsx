/** Between the header and the tree: what must not be missed, and what can be done about it. */
import { asksForTools, causesOf, isCause } from "../store/display";
import type { View } from "../store/view";
import { CommandButton } from "./command_button";
import { clip, formatDuration, plural } from "./format";
import { Icon } from "./icons";
import { LinkedText } from "./linked_text";

const LONGEST_ERROR = 4000;
const MOST_CAUSES = 2;
const LONGEST_CAUSE = 160;

/** Why the run failed, unless tasks that did say it: then a banner leads to them, and the cell's own error follows. */
function runError(view: View): string {
  const isSaid = view.can("retry") && view.tree.count("failed") > 0;
  return isSaid ? "" : view.run.error;
}

/** Why the run failed, or why a command did not work. */
export function Alerts({ view }: { view: View }) {
  const { commands } = view.store;
  const error = runError(view);
  const refused = commands.error.value;
  if (error === "" && refused === "") return null;
  return (
    <div class="rn-alert" role="alert" tabIndex={0}>
      {error !== "" && <p dir="auto"><LinkedText text={clip(error, LONGEST_ERROR)} /></p>}
      {refused !== "" && (
        <p>
          <LinkedText text={clip(refused, LONGEST_ERROR)} />{" "}
          <button type="button" class="rn-link" onClick={() => commands.dismiss()}>
            Dismiss
          </button>
        </p>
      )}
    </div>
  );
}

/** Plans and tool calls that wait for approval; they do not run before it. */
function Approvals({ view }: { view: View }) {
  const waiting = view.can("approve") ? [...view.tree.awaiting] : [];
  const first = waiting[0] === undefined ? undefined : view.tree.node(waiting[0]);
  if (!first) return null;
  const tools = asksForTools(first);
  const others = waiting.length > 1 ? ` (and ${waiting.length - 1} more)` : "";
  return (
    <div class="rn-banner rn-banner-approve">
      <Icon name="approve" />
      <p>
        {tools ? "Tool calls wait" : "A plan waits"} for your approval: <b>{clip(first.title)}</b>
        {others}
      </p>
      <button
        type="button"
        class="rn-button rn-primary"
        aria-haspopup="dialog"
        onClick={() => view.openDialog({ kind: "approve", id: first.id, tools })}
      >
        {tools ? "Review calls" : "Review plan"}
      </button>
    </div>
  );
}

function firstFailure(view: View): string | undefined {
  let deepest: { id: string; depth: number } | undefined;
  for (const node of view.tree.nodes()) {
    const { id } = node;
    const depth = view.tree.depth(id);
    if (isCause(node) && (!deepest || depth > deepest.depth)) deepest = { id, depth };
  }
  return deepest?.id;
}

/** What was wrong; what occurred several times is said once. */
function causesText(view: View): string {
  const causes = causesOf(view.tree.nodes());
  const shown = causes.slice(0, MOST_CAUSES).map(([reason, times]) => clip(reason, LONGEST_CAUSE) + (times > 1 ? ` (${times} times)` : ""));
  const more = causes.length - shown.length;
  return shown.join("; ") + (more > 0 ? `; and ${plural(more, "other cause")}` : "");
}

/** The ways to continue after failures, a spent budget or a cancellation. */
function WaysOn({ view }: { view: View }) {
  if (["running", "paused"].includes(view.run.status)) return null;
  const canRetry = view.can("retry") && view.tree.count("failed") + view.tree.count("cancelled") > 0;
  const canAnswer = view.can("answer");
  if (!canRetry && !canAnswer) return null;
  const failed = view.tree.count("failed");
  const cancelled = view.tree.count("cancelled");
  const causes = failed > 0 ? ": " + causesText(view) : "";
  const counts = [failed > 0 && `${plural(failed, "node")} failed${causes}`, cancelled > 0 && `${plural(cancelled, "node")} cancelled`];
  const facts = counts.filter((count) => count !== false).join(", ") || `the run is ${view.run.status}`;
  const show = (): void => {
    const id = firstFailure(view);
    if (id !== undefined) view.reveal(id);
  };
  return (
    <div class="rn-banner">
      <p>{facts}</p>
      <div class="rn-banner-actions">
        {failed > 0 && (
          <button type="button" class="rn-button" onClick={show}>
            <Icon name="search" />
            Show why
          </button>
        )}
        {canRetry && (
          <CommandButton view={view} command={{ op: "retry" }} label={failed > 0 ? "Retry all failed" : "Run the cancelled again"} busyLabel="Retrying…" icon="retry" />
        )}
        {canAnswer && (
          <CommandButton view={view} command={{ op: "answer" }} label="Answer with what there is" busyLabel="Answering…" icon="answer" />
        )}
      </div>
    </div>
  );
}

/** Explains why the clock stands still. */
function Silence({ view }: { view: View }) {
  if (!view.store.client.isSilent) return null;
  return (
    <div class="rn-banner rn-banner-silent" role="status">
      <Icon name="waiting" />
      <p>No news from the kernel: it is busy or was shut down. This is the state at {formatDuration(view.worked.value)}.</p>
    </div>
  );
}

function Notes({ notes }: { notes: readonly string[] }) {
  return notes.length === 0 ? null : <p class="rn-notes">{notes.map((note) => clip(note)).join(" · ")}</p>;
}

/** The page was loaded again before the run ended: its outputs below are not those of this run. */
function Elsewhere({ view }: { view: View }) {
  if (!view.isElsewhere.value || view.run.status !== "done") return null;
  return (
    <div class="rn-banner rn-banner-elsewhere" role="status">
      <Icon name="answer" />
      <p>The answer is here; run the cell again to put it below (no calls).</p>
    </div>
  );
}

export function Banners({ view }: { view: View }) {
  return (
    <>
      <Notes notes={view.run.notes} />
      <Silence view={view} />
      <Elsewhere view={view} />
      <Approvals view={view} />
      <WaysOn view={view} />
    </>
  );
}
