/** The pane about the selected node. */
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { isRecord, TAB_FIELDS, type DetailField, type TabField, type TreeNode } from "../protocol/messages";
import { nodeEnd, nodeStart, phaseEnd } from "../store/critical_path";
import { versionOf } from "../store/details";
import { displayState, isAnsweredByHand, isFinished, noteOf } from "../store/display";
import type { Tree } from "../store/tree";
import type { View } from "../store/view";
import { Actions } from "./actions";
import { TAB_NAMES, TabContent } from "./detail_tabs";
import { toggleFullScreen } from "./full_screen";
import { clip, formatCost, formatDuration, formatMoment, formatTokens, plural } from "./format";
import { focusActiveRow } from "./grid_scroll";
import { Icon, type IconName } from "./icons";
import { LinkedText } from "./linked_text";
import { PaneEdge } from "./pane_edge";
import { Value } from "./value";

function Crumbs({ view, node }: { view: View; node: TreeNode }) {
  const path = view.tree.ancestors(node.id).reverse();
  return (
    <nav class="rn-crumbs" aria-label="Ancestors">
      {path.map((ancestor, index) => (
        <>
          {index > 0 && <Icon name="chevron" size={10} />}
          <button type="button" onClick={() => view.reveal(ancestor.id)} title={clip(ancestor.title)}>
            {ancestor.parent === null ? "Root" : clip(ancestor.title)}
          </button>
        </>
      ))}
    </nav>
  );
}

function Chips({ view, node }: { view: View; node: TreeNode }) {
  const state = displayState(node);
  const isCritical = view.showsCriticalPath.value && view.critical.value.ids.has(node.id);
  return (
    <div class="rn-chips">
      <span class="rn-chip" title={`The id of the node: [${node.id}] in a text leads here`}>
        {node.id}
      </span>
      <span class={`rn-chip rn-chip-${state}`}>
        <Icon name={state} size={12} />
        {state}
      </span>
      {node.edited !== "" && state !== "edited" && (
        <span class="rn-chip rn-chip-edited">
          <Icon name="edit" size={12} />
          edited
        </span>
      )}
      {node.decision && !isAnsweredByHand(node) && (
        <span class="rn-chip rn-chip-planning">
          <Icon name={node.decision === "RECURSE" ? "recurse" : "execute"} size={12} />
          {node.decision.toLowerCase()}
        </span>
      )}
      {isCritical && (
        <span class="rn-chip rn-chip-critical">
          <Icon name="path" size={12} />
          critical path
        </span>
      )}
    </div>
  );
}

function Fact({ name, width, title, children }: {
  name: string;
  width?: "full";
  title?: string;
  children: ComponentChildren;
}) {
  return (
    <div class={width ? `rn-${width}` : undefined} title={title}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function countDescendants(tree: Tree, id: string): number {
  let count = 0;
  const pending = [...tree.children(id)];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    count += 1;
    for (const child of tree.children(next)) pending.push(child);
  }
  return count;
}

/** Seconds; less is not worth saying that it was waited. */
const SHORTEST_WAIT = 0.05;

/** How long a call of it, or a tool, was under way: no wait for parts, turns or people. */
function workOf(node: TreeNode, now: number, worked: (moment: number) => number): number {
  const phases = node.phases.filter(([kind]) => kind !== "wait");
  return phases.reduce((sum, phase) => sum + worked(phaseEnd(phase, now)) - worked(phase[1]), 0);
}

function Facts({ view, node }: { view: View; node: TreeNode }) {
  const now = view.clock.value;
  const start = nodeStart(node);
  const end = nodeEnd(node, now);
  const ran = start !== null && end !== null;
  const { worked } = view.axis.value;
  const atWork = workOf(node, now, worked);
  const waits = ran && worked(end) - worked(start) - atWork > SHORTEST_WAIT;
  const { tree } = view;
  const below = useMemo(() => countDescendants(tree, node.id), [node.id, tree.shape]);
  return (
    <dl class="rn-facts">
      <Fact name="Duration" title="From its first call to its end, without pauses">
        {ran ? formatDuration(worked(end) - worked(start)) : "–"}
        {waits && <span> · {formatDuration(atWork)} at work</span>}
      </Fact>
      <Fact name="Tokens">
        {formatTokens(node.tokens_in)}
        <span> in</span> {formatTokens(node.tokens_out)}
        <span> out</span>
      </Fact>
      <Fact name="Cost">{node.cost === null ? "–" : formatCost(node.cost)}</Fact>
      <Fact name="Subtree">{below > 0 ? plural(below, "node") : "leaf"}</Fact>
      <Fact name="Agent">
        {clip(node.agent)} {node.model !== "" && <span>· {clip(node.model)}</span>}
      </Fact>
      <Fact name="Ran">
        {ran ? `${formatMoment(worked(start))} – ${formatMoment(worked(end))}` : "–"}
      </Fact>
      {node.depends_on.length > 0 && (
        <Fact name="After" width="full">
          {node.depends_on.map((id) => (
            <>
              <LinkedText text={`[${id}]`} /> {clip(view.tree.node(id)?.title ?? "")}{" "}
            </>
          ))}
        </Fact>
      )}
    </dl>
  );
}

function count(view: View, node: TreeNode, field: TabField): number {
  const { data } = view.store.details.read(node.id, field);
  return Array.isArray(data) ? data.length : 0;
}

/** Only a code node has cells, and few nodes have quotes. */
function tabsOf(view: View, node: TreeNode): readonly TabField[] {
  const has: Partial<Record<TabField, boolean>> = { cells: node.decision === "PROGRAM", quotes: count(view, node, "quotes") > 0 };
  return TAB_FIELDS.filter((field) => has[field] ?? true);
}

/** The tab that is shown: the chosen one, if this node has it. */
const shownTab = (view: View, node: TreeNode): TabField =>
  tabsOf(view, node).includes(view.tab.value) ? view.tab.value : "output";

function nextTab(key: string, current: TabField, fields: readonly TabField[]): TabField | null {
  const index = fields.indexOf(current);
  const steps: Record<string, number> = { ArrowRight: index + 1, ArrowLeft: index - 1, Home: 0, End: -1 };
  const target = Object.hasOwn(steps, key) ? steps[key] : undefined;
  return target === undefined ? null : (fields.at(target % fields.length) ?? null);
}

function Tabs({ view, node, panel }: { view: View; node: TreeNode; panel: string }) {
  const fields = tabsOf(view, node);
  const shown = shownTab(view, node);
  const onKeyDown = (event: KeyboardEvent & { currentTarget: HTMLElement }): void => {
    const tab = nextTab(event.key, shown, fields);
    if (!tab) return;
    event.preventDefault();
    view.tab.value = tab;
    event.currentTarget.querySelector<HTMLElement>(`[data-tab="${tab}"]`)?.focus();
  };
  return (
    <div class="rn-tabs" role="tablist" aria-label="Details" onKeyDown={onKeyDown}>
      {fields.map((field) => {
        const counted = field === "tools" || field === "quotes" ? count(view, node, field) : 0;
        return (
          <button
            type="button"
            role="tab"
            data-tab={field}
            aria-selected={shown === field}
            aria-controls={panel}
            tabIndex={shown === field ? 0 : -1}
            onClick={() => (view.tab.value = field)}
          >
            {TAB_NAMES[field]}
            {counted > 0 && <b>{counted}</b>}
          </button>
        );
      })}
    </div>
  );
}

/** Fetches the shown fields, and subscribes to the text of a node that is streaming. */
function useNodeData(view: View, node: TreeNode): void {
  const tab = shownTab(view, node);
  useEffect(() => {
    view.store.details.request(node, [...new Set<DetailField>(["output", "quotes", "tools", "task", ...(node.edited ? (["before"] as const) : []), tab])]);
  }, [node.id, versionOf(node), tab]);
  const streams = !isFinished(node);
  useEffect(() => {
    view.store.subscribe(view, streams ? [node.id] : []);
    return () => view.store.subscribe(view, []);
  }, [node.id, streams]);
}

/** What the parts that a person edited were before. */
function Before({ view, node }: { view: View; node: TreeNode }) {
  const { data } = view.store.details.read(node.id, "before");
  const parts = Array.isArray(data) ? data.filter(isRecord) : [];
  return (
    <details class="rn-before">
      <summary>
        {clip(node.edited)}: what it was before
      </summary>
      {parts.map((part) => (
        <>
          <h4>{clip(String(part["part"]))}</h4>
          <Value value={part["text"]} />
        </>
      ))}
    </details>
  );
}

function NodeDetails({ view, node }: { view: View; node: TreeNode }) {
  useNodeData(view, node);
  const field = shownTab(view, node);
  const panel = `rn-panel-${view.key}`;
  const close = (event: Event): void => {
    view.paneIsWhole.value = false;
    // The row exists again after the next drawing.
    const { target } = event;
    queueMicrotask(() => focusActiveRow(target));
    view.closeDetails();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== "Escape") return;
    if (view.paneIsWhole.value) view.paneIsWhole.value = false;
    else close(event);
  };
  return (
    <aside class="rn-details" aria-label="Details of the selected node" onKeyDown={onKeyDown}>
      <PaneEdge view={view} />
      <PaneButtons view={view} close={close} />
      <Crumbs view={view} node={node} />
      <h3 dir="auto" aria-level={2}>
        <LinkedText text={clip(node.title)} />
      </h3>
      <Chips view={view} node={node} />
      {node.note !== "" && node.note !== node.edited && (
        <p class={`rn-note rn-note-${node.state}`} dir="auto">
          <LinkedText text={clip(noteOf(node), 4000)} />
        </p>
      )}
      {node.edited !== "" && <Before view={view} node={node} />}
      <Facts view={view} node={node} />
      <Actions view={view} node={node} />
      <Tabs view={view} node={node} panel={panel} />
      <div class="rn-panel" id={panel} ref={useFirstMark(view, node, field)} role="tabpanel" aria-label={TAB_NAMES[field]} tabIndex={0}>
        <TabContent view={view} node={node} field={field} detail={view.store.details.read(node.id, field)} />
      </div>
    </aside>
  );
}

function PaneButton({ icon, label, pressed, onClick }: { icon: IconName; label: string; pressed?: boolean; onClick(event: Event): void }) {
  return (
    <button type="button" class="rn-button rn-square" aria-label={label} title={label} aria-pressed={pressed} onClick={onClick}>
      <Icon name={icon} />
    </button>
  );
}

function PaneButtons({ view, close }: { view: View; close(event: Event): void }) {
  const whole = view.paneIsWhole.value;
  const full = view.fullScreen.value;
  return (
    <div class="rn-pane-buttons">
      <PaneButton icon="widen" label="Whole width" pressed={whole} onClick={() => (view.paneIsWhole.value = !whole)} />
      <PaneButton icon={full ? "shrink" : "full"} label="Full screen" pressed={full} onClick={(event) => toggleFullScreen(view, event.target)} />
      <PaneButton icon="close" label="Close details" onClick={close} />
    </div>
  );
}

/** Scrolls to the first word that was searched for, once the text is there. */
function useFirstMark(view: View, node: TreeNode, field: TabField) {
  const panel = useRef<HTMLDivElement>(null);
  const { status } = view.store.details.read(node.id, field);
  useLayoutEffect(() => {
    const mark = panel.current?.querySelector("mark");
    if (!panel.current || !mark) return;
    const { top } = mark.getBoundingClientRect();
    panel.current.scrollTop += top - panel.current.getBoundingClientRect().top - panel.current.clientHeight / 3;
  }, [node.id, field, status, view.wordPattern.value]);
  return panel;
}

export function Details({ view }: { view: View }) {
  const id = view.selected.value;
  const node = id === null ? undefined : view.tree.node(id);
  if (node) return <NodeDetails view={view} node={node} />;
  if (id === null) return null;
  return (
    <aside class="rn-details" aria-label="Details of the selected node">
      <p class="rn-nothing">Node {id} is not there yet.</p>
    </aside>
  );
}
