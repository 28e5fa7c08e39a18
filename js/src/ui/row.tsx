/** One row of the tree. Everything it shows comes in as properties, so unchanged rows cost nothing. */
import type { Hit, TreeNode } from "../protocol/messages";
import { asksForTools, displayState, reasonOf } from "../store/display";
import type { Row as RowShape } from "../store/rows";
import type { TimeAxis } from "../store/time_axis";
import { Bar, type LabelPlace } from "./bar";
import { titleParts } from "../store/short_titles";
import { clip, formatCost, formatTokens, plural } from "./format";
import { Icon, StateIcon } from "./icons";
import { markedText } from "./linked_text";
import { memo } from "./memo";

export const ROW_HEIGHT = 25;
const INDENT = 18;
const FIRST_GUIDE = 19;

export interface RowActions {
  select(id: string): void;
  toggle(id: string): void;
}

export interface RowProperties {
  readonly node: TreeNode;
  readonly shape: RowShape;
  readonly index: number;
  /** Undefined for a leaf. */
  readonly isOpen: boolean | undefined;
  readonly isSelected: boolean;
  readonly isActive: boolean;
  readonly childCount: number;
  readonly completeChildren: number;
  /** What the cells of a code node asked for, such as "llm_query × 200, 3 failed". */
  readonly queries: string;
  /** Fixed for a node whose phases are all over, so that the clock does not draw it again. */
  readonly now: number;
  readonly axis: TimeAxis;
  readonly labelPlace: LabelPlace;
  readonly dimmed: boolean;
  /** Matches the words that are searched for. */
  readonly words: RegExp | null;
  /** Where the kernel found them, if the title does not show it. */
  readonly hit: Hit | undefined;
  /** How many characters the titles of all siblings begin with. */
  readonly sharedTitle: number;
  readonly actions: RowActions;
}

function Guides({ shape, isLeaf }: { shape: RowShape; isLeaf: boolean }) {
  if (shape.depth === 0) return null;
  const elbow = `rn-elbow${shape.isLast ? " rn-end" : ""}${isLeaf ? " rn-leaf" : ""}`;
  return (
    <>
      {shape.guides.map((passes, level) =>
        passes ? <span class="rn-guide" style={{ left: `${level * INDENT + FIRST_GUIDE}px` }} /> : null,
      )}
      <span class={elbow} style={{ left: `${(shape.depth - 1) * INDENT + FIRST_GUIDE}px` }} />
    </>
  );
}

/** The roles of the row are for screen readers; the button is for the mouse only. */
function Fold({ id, isOpen, actions }: { id: string; isOpen: boolean | undefined; actions: RowActions }) {
  if (isOpen === undefined) return <span class="rn-fold" />;
  const toggle = (event: Event): void => {
    event.stopPropagation();
    actions.toggle(id);
  };
  return (
    <span class={`rn-fold${isOpen ? " rn-open" : ""}`} onClick={toggle} aria-hidden="true">
      <Icon name="chevron" size={12} />
    </span>
  );
}

function Title({ title: whole, shared, words }: { title: string; shared: number; words: RegExp | null }) {
  const title = clip(whole);
  const marked = markedText(title, words);
  return (
    <span class="rn-title" title={title} dir="auto">
      {marked === title ? <Shortened title={title} shared={shared} /> : marked}
    </span>
  );
}

/** Where there is no room for the whole, what all siblings have in common makes room first. */
function Shortened({ title, shared }: { title: string; shared: number }) {
  const parts = titleParts(title, shared);
  if (!parts) return <>{title}</>;
  const [start, common, rest] = parts;
  return (
    <span class="rn-parts">
      <span>{start}</span>
      <span class="rn-common">{common}</span>
      <span class="rn-rest">{rest}</span>
    </span>
  );
}

/** Where the words are that were searched for: the field, and what is around them. */
function Found({ hit: [, field, excerpt], words }: { hit: Hit; words: RegExp | null }) {
  return (
    <span class="rn-tail rn-hit" title={`${field}: ${excerpt}`}>
      <b>{field}</b> <bdi>{markedText(excerpt, words)}</bdi>
    </span>
  );
}

function ChildCount({ complete, total, queries }: { complete: number; total: number; queries: string }) {
  if (total === 0) return null;
  return (
    <span class="rn-children" title={`${complete} of ${plural(total, "sub-task")} done`}>
      <span class="rn-pie" style={{ "--share": complete / total }} />
      {complete}/{total} {queries}
    </span>
  );
}

function Attempts({ count }: { count: number }) {
  if (count < 2) return null;
  return (
    <span class="rn-attempts" title={`${count} attempts`}>
      <Icon name="retry" size={11} />
      {count}
    </span>
  );
}

/** That a person changed it; the details have what it was before. */
function Edited({ what }: { what: string }) {
  if (what === "") return null;
  return (
    <span class="rn-edited" title={clip(what)}>
      <Icon name="edit" size={11} />
      <span>edited</span>
    </span>
  );
}

/** Why it failed, or that it is not whole: beside the title there is more room than beside the bar. */
function Reason({ node }: { node: TreeNode }) {
  const isWhole = node.state !== "failed" && !(node.state === "done" && node.ended_early);
  if (isWhole || node.note === "" || node.phases.length === 0) return null;
  const reason = clip(reasonOf(node));
  return (
    <span class={`rn-tail rn-reason${node.state === "done" ? " rn-early" : ""}`} title={reason}>
      {reason}
    </span>
  );
}

function TaskCell(properties: RowProperties) {
  const { node, shape, isOpen, childCount, completeChildren, queries, words, hit, sharedTitle, actions } = properties;
  return (
    <div class="rn-task-cell" role="gridcell" style={{ "--depth": shape.depth }}>
      <Guides shape={shape} isLeaf={isOpen === undefined} />
      <Fold id={node.id} isOpen={isOpen} actions={actions} />
      <StateIcon state={displayState(node)} />
      <span class="rn-id">{markedText(node.id, words)}</span>
      <Title title={node.title} shared={sharedTitle} words={words} />
      {hit && <Found hit={hit} words={words} />}
      {!hit && node.tail !== "" && <span class="rn-tail">…{clip(node.tail)}</span>}
      {!hit && <Reason node={node} />}
      <ChildCount complete={completeChildren} total={childCount} queries={queries} />
      <Attempts count={node.attempts} />
      <Edited what={node.edited} />
      {node.awaiting !== "" && (
        <span class="rn-awaiting">waiting for you{asksForTools(node) && ": tool calls"}</span>
      )}
      <span class="rn-hidden">{displayState(node)}</span>
    </div>
  );
}

/** A dash means that tokens were used at an unknown price. */
function costText({ cost, tokens_in, tokens_out }: TreeNode): string {
  if (cost === null) return tokens_in + tokens_out > 0 ? "–" : "";
  return cost > 0 ? formatCost(cost) : "";
}

function rowClass({ shape, isSelected, node }: RowProperties): string {
  const root = shape.depth === 0 ? " rn-root" : "";
  return `rn-row rn-row-${displayState(node)}${root}${isSelected ? " rn-selected" : ""}`;
}

export const Row = memo((properties: RowProperties) => {
  const { node, shape, index, isOpen, isSelected, isActive, actions } = properties;
  const tokens = node.tokens_in + node.tokens_out;
  return (
    <div
      class={rowClass(properties)}
      role="row"
      style={{ top: `${index * ROW_HEIGHT}px` }}
      data-node-id={node.id}
      data-state={node.state}
      tabIndex={isActive ? 0 : -1}
      aria-level={shape.depth + 1}
      aria-posinset={shape.position}
      aria-setsize={shape.siblings}
      aria-rowindex={index + 2}
      aria-expanded={isOpen}
      aria-selected={isSelected}
      onClick={() => actions.select(node.id)}
      onDblClick={() => actions.toggle(node.id)}
    >
      <TaskCell {...properties} />
      <div class="rn-agent" role="gridcell">
        {clip(node.agent)}
      </div>
      <div class="rn-number" role="gridcell">
        {tokens > 0 && formatTokens(tokens)}
      </div>
      <div class="rn-number rn-cost" role="gridcell">
        {costText(node)}
      </div>
      <div class="rn-time" role="gridcell">
        <Bar
          node={node}
          now={properties.now}
          axis={properties.axis}
          place={properties.labelPlace}
          dimmed={properties.dimmed}
        />
      </div>
    </div>
  );
});
