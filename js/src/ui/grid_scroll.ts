/** What keeps the right row in sight and in focus while rows come and go. */
import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Row as RowShape } from "../store/rows";
import type { View } from "../store/view";
import { HEADER_HEIGHT } from "./grid_header";
import { ROW_HEIGHT } from "./row";

function scrollIntoView(grid: HTMLElement, index: number): void {
  const top = index * ROW_HEIGHT;
  const room = grid.clientHeight - HEADER_HEIGHT - ROW_HEIGHT;
  if (top < grid.scrollTop) grid.scrollTop = top;
  else if (top > grid.scrollTop + room) grid.scrollTop = top - room;
}

/** Gives the focus to the row of the tree that would have it, from an element beside the tree. */
export function focusActiveRow(from: EventTarget | null): void {
  const root = from instanceof Element ? from.closest(".rn") : null;
  root?.querySelector<HTMLElement>('.rn-rows [tabindex="0"], .rn-grid[tabindex="0"]')?.focus();
}

/** Focus follows the active row, if focus was in the tree. */
export function useFocusOnActive(view: View, grid: RefObject<HTMLDivElement | null>, active: string | undefined): void {
  useLayoutEffect(() => {
    const element = grid.current;
    if (!element || active === undefined || view.active.peek() === null) return;
    const root = element.getRootNode() as Document | ShadowRoot;
    const focused = root.activeElement;
    if (!focused || !element.contains(focused)) return;
    scrollIntoView(element, view.rowIndex.peek().get(active) ?? 0);
    element.querySelector<HTMLElement>('[role="row"][tabindex="0"]')?.focus({ preventScroll: true });
  }, [active]);
}

/** Scrolls to a node that is revealed from elsewhere (a breadcrumb, a reference in a text). */
export function useReveal(view: View, grid: RefObject<HTMLDivElement | null>): void {
  const revealed = view.revealed.value;
  useLayoutEffect(() => {
    const index = view.rowIndex.peek().get(view.active.peek() ?? "");
    if (revealed > 0 && grid.current && index !== undefined) scrollIntoView(grid.current, index);
  }, [revealed]);
}

/**
 * Rows that arrive above the ones being read must not push them away. The place is the one that was
 * told last: asking the element would lay out the page in the middle of drawing it.
 */
export function useScrollAnchor(
  view: View,
  grid: RefObject<HTMLDivElement | null>,
  rows: readonly RowShape[],
  scrollTop: number,
): void {
  const anchor = useRef<{ id: string; index: number } | null>(null);
  const index = Math.floor(scrollTop / ROW_HEIGHT);
  useLayoutEffect(() => {
    const element = grid.current;
    const before = anchor.current;
    if (!element || !before || scrollTop === 0) return;
    const after = view.rowIndex.peek().get(before.id);
    if (after !== undefined && after !== before.index) element.scrollTop += (after - before.index) * ROW_HEIGHT;
  }, [rows]);
  useLayoutEffect(() => {
    const id = rows[index]?.id;
    anchor.current = id === undefined ? null : { id, index };
  });
}
