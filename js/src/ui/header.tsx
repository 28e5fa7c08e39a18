/** What one wants to know of a run at a glance, and the commands the kernel accepts now. */
import type { Run } from "../protocol/messages";
import { COMPLETE, PROGRESS_ORDER } from "../store/display";
import type { View } from "../store/view";
import { clip, formatCost, formatDuration, formatRough, formatTokens } from "./format";
import { CommandButton } from "./command_button";
import { Icon } from "./icons";

/** Seconds; less than that is the time of a replay. */
const SHORTEST_NOW = 0.05;

function Progress({ view, complete }: { view: View; complete: number }) {
  const { tree } = view;
  return (
    <div
      class="rn-progress"
      role="progressbar"
      aria-label="Nodes done"
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

const HOW_TO_PRICE = (model: string): string =>
  `The price of a model is not known. To give it, in dollars per million tokens read and written: %config RLMMagics.prices = {${JSON.stringify(model || "NAME")}: (0.25, 2.0)}`;

/** The cost and the budget. An unknown price is not shown as zero, nor zero as unknown. */
function Cost({ run }: { run: Run }) {
  const limit = run.budget.usd;
  if (limit === undefined && run.calls === 0 && !run.cost) return null;
  if (limit === undefined && run.cost === null) {
    return (
      <span class="rn-metric rn-unpriced" title={HOW_TO_PRICE(run.model)}>
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

const OVER_ALL = "Over all executions of the run, as in %rlm runs; “now” is this execution";

function Calls({ run }: { run: Run }) {
  const limit = run.budget.calls;
  if (run.calls === 0) return null;
  return (
    <span class="rn-metric rn-calls" title={OVER_ALL}>
      <b>{run.calls}</b> {limit !== undefined && `of ${limit} `}
      {run.calls === 1 ? "call" : "calls"}
      {run.calls_now !== run.calls && " in all"}
    </span>
  );
}

function Tokens({ run }: { run: Run }) {
  const limit = run.budget.tokens;
  const reused = run.reused_tokens > 0 ? `, ${formatTokens(run.reused_tokens)} reused` : "";
  return (
    <span class="rn-metric" title={reused === "" ? undefined : "Tokens of this run, and of the results that it has from another one"}>
      <b>{formatTokens(run.tokens)}</b> {limit !== undefined && `of ${formatTokens(limit)} `}tokens{reused}
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
      {view.can("redo") && (
        <CommandButton view={view} command={{ op: "redo", args: { version: view.run.version } }} label="Redo" busyLabel="Redoing…" icon="redo" hint="Go forward to the version that was undone; no model is called" />
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
      aria-label={collapsed ? "Show tree" : "Hide tree"}
      title={collapsed ? undefined : "Hide tree"}
      onClick={toggle}
    >
      {collapsed && "Show tree"}
      <Icon name="unfold" />
    </button>
  );
}

const TIME = "Time: in which calls were under way, over all executions of the run, as in %rlm runs; “now” is this execution, which the bars show.";

/** As in every view of the run: over all its executions; what this one took is said where it differs. */
function timeText(view: View): string {
  const before = view.run.worked_before;
  const whole = view.workedInAll;
  const now = whole - before;
  return formatDuration(whole) + (before > 0 && now >= SHORTEST_NOW ? ` (${formatDuration(now)} now)` : "");
}

/** "waiting for you" where nothing else goes on until then, too. */
function waitingText({ tree }: View): string {
  return tree.awaiting.size > 0 ? "waiting for you" : "";
}

function leftText(view: View): string {
  const left = view.timeLeft.value;
  if (!left) return "";
  const [low, high] = [formatRough(left.low), formatRough(left.high)];
  return low === high ? `about ${low} left` : `about ${low} to ${high} left`;
}

function statusLine(view: View): string {
  const { status, label, notice, forked } = view.run;
  const silence = view.store.client.isSilent ? "no news from the kernel" : "";
  const time = timeText(view);
  return [status, time, waitingText(view), leftText(view), silence, forked, notice, label].filter((part) => part !== "").map((part) => clip(part)).join(" · ");
}

export function Header({ view }: { view: View }) {
  const { run, tree } = view;
  const complete = COMPLETE.reduce((sum, state) => sum + tree.count(state), 0);
  const line = statusLine(view);
  return (
    <header class="rn-header">
      <span class="rn-pulse" aria-hidden="true" />
      <div class="rn-heading">
        <b>{clip(run.title) || "Recursive run"}</b>
        <span title={`${line}\n${TIME}`}>{line}</span>
      </div>
      <div class="rn-glance">
        <Progress view={view} complete={complete} />
        <span class="rn-done-count">
          {complete}
          <span>/{tree.size}</span>
        </span>
        <span class="rn-separator" />
        <Calls run={run} />
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
