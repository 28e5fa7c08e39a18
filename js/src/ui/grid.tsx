/**
 * The tree of tasks: a treegrid of which only the rows in sight (and the focused one) exist.
 */
import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { TreeNode } from "../protocol/messages";
import type { Row as RowShape } from "../store/rows";
import { queriesOf } from "../store/queries";
import { isCause } from "../store/display";
import type { View } from "../store/view";
import { risers, TimelineOverlay, type Riser } from "./critical_overlay";
import { clip } from "./format";
import { labelPlace, type LabelPlace } from "./bar";
import { HEADER_HEIGHT, HeaderRow } from "./grid_header";
import { useFocusOnActive, useReveal, useScrollAnchor } from "./grid_scroll";
import { keyAction, TypeAhead, typeAheadIndex, type KeyAction, type KeyContext } from "./keyboard";
import { Row, ROW_HEIGHT, type RowActions } from "./row";

/** How many rows fit into a main area of so many pixels. */
export const rowsThatFit = (height: number): number => Math.floor((height - HEADER_HEIGHT) / ROW_HEIGHT);

const OVERSCAN = 6;
/** The most rows in the document, whatever size a host reports. */
const MOST_ROWS = 200;

interface Window {
  readonly first: number;
  readonly last: number;
}

function visibleWindow(scrollTop: number, height: number, count: number): Window {
  const first = Math.max(0, Math.floor(scrollTop / ROW_HEIGHT) - OVERSCAN);
  const fitting = Math.min(MOST_ROWS, Math.ceil(height / ROW_HEIGHT) + 2 * OVERSCAN);
  return { first, last: Math.min(count, first + fitting) };
}

/** The indexes to render: the window, and the active row so that focus is never lost. */
function renderedIndexes({ first, last }: Window, active: number): number[] {
  const indexes = Array.from({ length: Math.max(0, last - first) }, (_, offset) => first + offset);
  if (active >= 0 && active < first) indexes.unshift(active);
  if (active >= last) indexes.push(active);
  return indexes;
}

/** A node whose phases are over is drawn the same at any time, unless its label stands at now. */
function clockFor(node: TreeNode, place: LabelPlace, now: number): number {
  return place === "beyond" || node.phases.at(-1)?.[2] === null ? now : 0;
}

/** When the critical path passes the text of a row, on its way up or down. */
function crossingsOf(index: number, lines: readonly Riser[]): number[] {
  const [top, bottom] = [index * ROW_HEIGHT + 5, index * ROW_HEIGHT + 19];
  return lines.filter((line) => line.top < bottom && line.bottom > top).map(({ time }) => time);
}

function GridRow({ view, shape, index, active, lines, actions }: {
  view: View;
  shape: RowShape;
  index: number;
  active: number;
  lines: readonly Riser[];
  actions: RowActions;
}) {
  const { tree } = view;
  const node = tree.node(shape.id);
  if (!node) return null;
  const childCount = tree.children(node.id).length;
  const now = view.clock.value;
  const running = view.run.elapsed === null;
  const place = labelPlace(node, now, view.axis.value, view.timelineWidth.value, running, crossingsOf(index, lines));
  return (
    <Row
      node={node}
      shape={shape}
      index={index}
      isOpen={childCount > 0 ? view.isOpen(node.id) : undefined}
      isSelected={view.selected.value === node.id}
      isActive={index === active}
      childCount={childCount}
      completeChildren={tree.completeChildren(node.id)}
      queries={childCount > 0 && !view.isOpen(node.id) ? queriesOf(tree, node) : ""}
      now={clockFor(node, place, now)}
      axis={view.axis.value}
      labelPlace={place}
      dimmed={view.showsCriticalPath.value && !view.critical.value.ids.has(node.id)}
      words={view.wordPattern.value}
      hit={view.hitOf(node)}
      sharedTitle={view.sharedTitle(node.parent)}
      actions={actions}
    />
  );
}

function findFailure(view: View, from: number, step: 1 | -1): number {
  const rows = view.rows.peek();
  for (let index = from + step; index >= 0 && index < rows.length; index += step) {
    const row = rows[index];
    const node = row && view.tree.node(row.id);
    if (node && isCause(node)) return index;
  }
  return -1;
}

function keyContext(view: View, grid: HTMLElement): KeyContext {
  const rows = view.rows.peek();
  const index = activeIndex(view);
  const id = rows[index]?.id;
  const node = id === undefined ? undefined : view.tree.node(id);
  return {
    index,
    count: rows.length,
    pageSize: Math.max(1, rowsThatFit(grid.clientHeight) - 1),
    hasChildren: node !== undefined && view.tree.children(node.id).length > 0,
    isOpen: node !== undefined && view.isOpen(node.id),
    parentIndex: node?.parent ? (view.rowIndex.peek().get(node.parent) ?? -1) : -1,
    previousFailure: findFailure(view, index, -1),
    nextFailure: findFailure(view, index, 1),
  };
}

/** The row that has the keyboard, or would get it: the first one until another was visited. */
function activeIndex(view: View): number {
  const active = view.active.value;
  const index = active === null ? undefined : nearestRow(view, active);
  return index ?? (view.rows.value.length > 0 ? 0 : -1);
}

/** The row of a node, or of the closest branch above it that is shown. */
function nearestRow(view: View, id: string): number | undefined {
  const rowIndex = view.rowIndex.value;
  const own = rowIndex.get(id);
  if (own !== undefined) return own;
  const shown = view.store.tree.ancestors(id).find((ancestor) => rowIndex.has(ancestor.id));
  return shown && rowIndex.get(shown.id);
}

/** An open detail pane follows the keyboard. */
function moveTo(view: View, index: number): void {
  const id = view.rows.peek()[index]?.id;
  if (id === undefined) return;
  if (view.selected.peek() === null) view.active.value = id;
  else view.select(id);
}

function escape(view: View): void {
  if (view.selected.peek() !== null) view.closeDetails();
  else view.clearFilter();
}

function perform(view: View, action: KeyAction, focusSearch: () => void): void {
  const id = view.rows.peek()[activeIndex(view)]?.id;
  view.touch();
  switch (action.type) {
    case "move":
      return moveTo(view, action.index);
    case "fold":
      return id === undefined ? undefined : view.fold(id, true);
    case "unfold":
      return id === undefined ? undefined : view.fold(id, false);
    case "unfoldSiblings":
      return id === undefined ? undefined : view.unfoldSiblings(id);
    case "open":
      return id === undefined ? undefined : view.select(id);
    case "search":
      return focusSearch();
    case "help":
      return view.openDialog({ kind: "help" });
    case "criticalPath":
      view.showsCriticalPath.value = !view.showsCriticalPath.peek();
      return;
    case "escape":
      return escape(view);
  }
}

/** The next row whose title, or id, begins so, from the active one on and around. */
function typeAhead(view: View, typed: string): void {
  const rows = view.rows.peek();
  const { length } = rows;
  const titles = rows.map(({ id }) => (/^\d/.test(typed) ? id : (view.tree.node(id)?.title ?? "")));
  const index = typeAheadIndex(length, activeIndex(view), typed, (each) => titles[each] ?? "");
  if (index >= 0) moveTo(view, index);
}

function useHeight(grid: RefObject<HTMLDivElement | null>): number {
  const [height, setHeight] = useState(600);
  useEffect(() => {
    const element = grid.current;
    if (!element || typeof ResizeObserver === "undefined") return;
    const observer = new ResizeObserver(() => setHeight(element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return height;
}

/** A search or filter that leaves no row says so. */
function NothingFound({ view }: { view: View }) {
  const { words, search, states } = view;
  if (view.tree.size === 0) return null;
  const asking = search.status.value === "asking";
  const what = words.value.map((word) => `“${clip(word, 40)}”`).join(" and ");
  const where = search.status.value === "unanswered" ? "title" : "title, output, prompt or id";
  return (
    <div class="rn-nothing" role="row">
      <p role="gridcell">
        {asking ? "Searching…" : words.value.length === 0 ? "No node is in the chosen states." : `No node has ${what} in its ${where}${states.value.size > 0 ? " and is in the chosen states" : ""}.`}{" "}
        {!asking && (
          <button type="button" class="rn-button" onClick={() => view.clearFilter()}>
            Show all nodes
          </button>
        )}
      </p>
    </div>
  );
}

export function Grid({ view, theme, focusSearch }: { view: View; theme: string; focusSearch(): void }) {
  const grid = useRef<HTMLDivElement>(null);
  const [scrollTop, setScrollTop] = useState(0);
  const height = useHeight(grid);
  const rows = view.rows.value;
  const active = activeIndex(view);
  useScrollAnchor(view, grid, rows, scrollTop);
  useFocusOnActive(view, grid, rows[active]?.id);
  useReveal(view, grid);
  const actions = useRef<RowActions>({
    select: (id) => view.select(id),
    toggle: (id) => view.fold(id, view.isOpen(id)),
  });
  const typing = useRef(new TypeAhead());
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typed = typing.current.add(event.key, event.timeStamp);
    if (typed !== null) {
      event.preventDefault();
      view.touch();
      return typeAhead(view, typed);
    }
    const action = keyAction(event.key, keyContext(view, event.currentTarget as HTMLElement));
    if (!action) return;
    event.preventDefault();
    perform(view, action, focusSearch);
  };
  const lines = risers(view);
  const shown = visibleWindow(scrollTop, height, rows.length);
  return (
    <div
      class={`rn-grid${columnsLeftOut(view)}`}
      ref={grid}
      role="treegrid"
      aria-label="Nodes"
      aria-rowcount={rows.length + 1}
      tabIndex={rows.length === 0 ? 0 : undefined}
      onScroll={(event) => setScrollTop(event.currentTarget.scrollTop)}
      onKeyDown={onKeyDown}
      onPointerMove={() => view.pointAt()}
      onPointerLeave={() => view.pointAway()}
      onFocusIn={(event) => activate(view, event.target)}
    >
      <HeaderRow view={view} theme={theme} />
      {rows.length === 0 && <NothingFound view={view} />}
      <div class="rn-rows" role="presentation" style={{ height: `${rows.length * ROW_HEIGHT}px` }}>
        {renderedIndexes(shown, active).map((index) => {
          const shape = rows[index];
          return shape ? (
            <GridRow
              key={shape.id}
              view={view}
              shape={shape}
              index={index}
              active={active}
              lines={lines}
              actions={actions.current}
            />
          ) : null;
        })}
        <TimelineOverlay view={view} top={shown.first * ROW_HEIGHT} bottom={shown.last * ROW_HEIGHT} />
      </div>
    </div>
  );
}

/** Columns that would say the same in every row, or nothing, leave their room to the titles. */
function columnsLeftOut({ tree }: View): string {
  return `${tree.agents.size < 2 ? " rn-one-agent" : ""}${tree.hasCosts ? "" : " rn-no-costs"}`;
}

/** A row that got the focus by any way is the active one. */
function activate(view: View, target: EventTarget | null): void {
  const row = target instanceof Element ? target.closest<HTMLElement>("[data-node-id]") : null;
  const id = row?.dataset["nodeId"];
  if (id !== undefined) view.active.value = id;
}
