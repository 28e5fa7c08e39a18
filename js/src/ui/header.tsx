/** What one wants to know of a run at a glance, and the commands the kernel accepts now. */
import type { Run } from "../protocol/messages";
import { PROGRESS_ORDER } from "../store/display";
import type { View } from "../store/view";
import { formatCost, formatDuration, formatTokens } from "./format";
import { Icon, type IconName } from "./icons";

interface CommandButton {
  readonly name: string;
  readonly label: string;
  readonly icon: IconName;
  readonly danger?: boolean;
}

const BUTTONS: readonly CommandButton[] = [
  { name: "pause", label: "Pause", icon: "pause" },
  { name: "resume", label: "Resume", icon: "play" },
  { name: "cancel", label: "Cancel", icon: "stop", danger: true },
];

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

/** What was spent, and of how much. A price that nobody knows is not shown as nothing. */
function Cost({ run }: { run: Run }) {
  const limit = run.budget.usd;
  if (!run.cost && limit === undefined) return null;
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

function Commands({ view }: { view: View }) {
  const { pending } = view.store.commands.value;
  const accepted = BUTTONS.filter((button) => view.run.can.includes(button.name));
  return (
    <>
      {accepted.map(({ name, label, icon, danger }) => (
        <button
          key={name}
          type="button"
          class={`rn-button${danger ? " rn-danger" : ""}`}
          disabled={pending.has(name)}
          onClick={() => view.store.command(name)}
        >
          <Icon name={icon} />
          {label}
        </button>
      ))}
    </>
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
      class={`rn-button rn-square${collapsed ? "" : " rn-open"}`}
      aria-expanded={!collapsed}
      aria-label={collapsed ? "Show tasks" : "Hide tasks"}
      title={collapsed ? "Show tasks" : "Hide tasks"}
      onClick={toggle}
    >
      <Icon name="unfold" />
    </button>
  );
}

function statusLine(view: View): string {
  const { status, label, notice } = view.run;
  const silence = view.store.client.isSilent ? "no news from the kernel" : "";
  const time = formatDuration(view.clock.value);
  return [status, time, silence, notice, label].filter((part) => part !== "").join(" · ");
}

export function Header({ view }: { view: View }) {
  const { run, tree } = view;
  const complete = tree.count("done") + tree.count("cached");
  const line = statusLine(view);
  return (
    <header class="rn-header">
      <span class="rn-pulse" aria-hidden="true" />
      <div class="rn-heading">
        <b>{run.title || "Recursive run"}</b>
        <span title={line}>{line}</span>
      </div>
      <Progress view={view} complete={complete} />
      <span class="rn-done-count">
        {complete}
        <span>/{tree.size}</span>
      </span>
      <span class="rn-separator" />
      <Tokens run={run} />
      <Cost run={run} />
      <span class="rn-space" />
      <Commands view={view} />
      <CollapseButton view={view} />
    </header>
  );
}

/** What a reader must not miss: why the run failed, or why a command did not work. */
export function Alerts({ view }: { view: View }) {
  const messages = [view.run.error, view.store.commands.value.error].filter((text) => text !== "");
  return messages.length === 0 ? null : (
    <div class="rn-alert" role="alert">
      {messages.map((text) => (
        <p>{text}</p>
      ))}
    </div>
  );
}
