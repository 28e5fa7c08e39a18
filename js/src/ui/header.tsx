/** What one wants to know of a run at a glance, and the commands the kernel accepts now. */
import type { Run } from "../protocol/messages";
import { PROGRESS_ORDER } from "../store/display";
import type { View } from "../store/view";
import { clip, formatCost, formatDuration, formatTokens } from "./format";
import { CommandButton } from "./command_button";
import { Icon } from "./icons";

function Progress({ view, complete }: { view: View; complete: number }) {
  const { tree } = view;
  return (
    <div
      class="rn-progress"
      role="progressbar"
      aria-label="Tasks done"
      aria-valuenow={complete}
      aria-valuemin={0}
      aria-valuemax={tree.size}
    >
      {PROGRESS_ORDER.map((state) => {
        const count = tree.count(state);
        return count > 0 ? (
          <i class={`rn-part rn-part-${state}`} style={{ flexGrow: count }} title={`${count} ${state}`} />
        ) : null;
      })}
    </div>
  );
}

/** The cost and the budget. An unknown price is not shown as zero, nor zero as unknown. */
function Cost({ run }: { run: Run }) {
  const limit = run.budget.usd;
  if (limit === undefined && run.calls === 0 && !run.cost) return null;
  if (limit === undefined && run.cost === null) {
    return (
      <span class="rn-metric" title="The price of a model is not known">
        cost unknown
      </span>
    );
  }
  return (
    <span class="rn-metric rn-budget" title="Cost">
      <b>{run.cost === null ? "–" : formatCost(run.cost)}</b>
      {limit !== undefined && (
        <>
          {" "}
          of {formatCost(limit)}
          <i>
            <i style={{ width: `${Math.min(100, ((run.cost ?? 0) / limit) * 100)}%` }} />
          </i>
        </>
      )}
    </span>
  );
}

function Tokens({ run }: { run: Run }) {
  const limit = run.budget.tokens;
  return (
    <span class="rn-metric">
      <b>{formatTokens(run.tokens)}</b> {limit !== undefined && `of ${formatTokens(limit)} `}tokens
    </span>
  );
}

/** Pause becomes Resume in place, so that the focus stays on the button. */
function Commands({ view }: { view: View }) {
  return (
    <>
      {view.can("resume") ? (
        <CommandButton key="pause" view={view} command={{ op: "resume" }} label="Resume" busyLabel="Resuming…" icon="play" />
      ) : (
        view.can("pause") && (
          <CommandButton key="pause" view={view} command={{ op: "pause" }} label="Pause" busyLabel="Pausing…" icon="pause" hint="Start no new calls; calls in flight finish" />
        )
      )}
      {view.can("undo") && (
        <CommandButton view={view} command={{ op: "undo", args: { version: view.run.version } }} label="Undo" busyLabel="Undoing…" icon="undo" hint={`Go back to the version before this change (${clip(view.run.forked)}); no model is called`} />
      )}
      {view.can("cancel") && (
        <CommandButton key="cancel" view={view} command={{ op: "cancel" }} label="Cancel" busyLabel="Cancelling…" icon="stop" look="danger" hint="Cancel the run; finished results are saved" />
      )}
    </>
  );
}

function HelpButton({ view }: { view: View }) {
  return (
    <button
      type="button"
      class="rn-button rn-square"
      aria-haspopup="dialog"
      aria-label="Help"
      title="Help (?)"
      onClick={() => view.openDialog({ kind: "help" })}
    >
      <Icon name="help" />
    </button>
  );
}

function CollapseButton({ view }: { view: View }) {
  const collapsed = view.collapsed.value;
  const toggle = (): void => {
    view.touch();
    view.collapsed.value = !collapsed;
  };
  return (
    <button
      type="button"
      class={`rn-button${collapsed ? "" : " rn-square rn-open"}`}
      aria-expanded={!collapsed}
      aria-label={collapsed ? "Show tasks" : "Hide tasks"}
      title={collapsed ? undefined : "Hide tasks"}
      onClick={toggle}
    >
      {collapsed && "Show tasks"}
      <Icon name="unfold" />
    </button>
  );
}

function statusLine(view: View): string {
  const { status, label, notice, forked } = view.run;
  const silence = view.store.client.isSilent ? "no news from the kernel" : "";
  const time = formatDuration(view.workedInAll);
  return [status, time, silence, forked, notice, label].filter((part) => part !== "").map((part) => clip(part)).join(" · ");
}

export function Header({ view }: { view: View }) {
  const { run, tree } = view;
  const complete = tree.count("done") + tree.count("cached");
  const line = statusLine(view);
  return (
    <header class="rn-header">
      <span class="rn-pulse" aria-hidden="true" />
      <div class="rn-heading">
        <b>{clip(run.title) || "Recursive run"}</b>
        <span title={line}>{line}</span>
      </div>
      <div class="rn-glance">
        <Progress view={view} complete={complete} />
        <span class="rn-done-count">
          {complete}
          <span>/{tree.size}</span>
        </span>
        <span class="rn-separator" />
        <Tokens run={run} />
        <Cost run={run} />
      </div>
      <div class="rn-commands">
        <Commands view={view} />
        <HelpButton view={view} />
        <CollapseButton view={view} />
      </div>
    </header>
  );
}
