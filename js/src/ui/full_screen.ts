/** The widget on the whole screen, or where a host does not allow that, on the whole page. */
import { useEffect } from "preact/hooks";
import type { RefObject } from "preact";
import type { View } from "../store/view";

const rootOf = (element: EventTarget | null): HTMLElement | null =>
  element instanceof Element ? element.closest<HTMLElement>(".rn") : null;

/** A popover is above everything else on the page, whatever contains it. */
function setPopover(root: HTMLElement, view: View, open: boolean): void {
  root.popover = open ? "manual" : null;
  if (open) root.showPopover();
  view.fullScreen.value = open;
}

export async function toggleFullScreen(view: View, from: EventTarget | null): Promise<void> {
  const root = rootOf(from);
  if (!root) return;
  view.touch();
  if (document.fullscreenElement !== null) return document.exitFullscreen();
  if (view.fullScreen.value) return setPopover(root, view, false);
  try {
    await root.requestFullscreen();
  } catch {
    setPopover(root, view, true);
  }
}

/** Follows the browser, which ends the full screen by itself, too. */
export function useFullScreen(view: View, root: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const follow = (): void => {
      const { fullscreenElement } = root.current?.getRootNode() as Document | ShadowRoot;
      view.fullScreen.value = fullscreenElement === root.current;
    };
    document.addEventListener("fullscreenchange", follow);
    return () => document.removeEventListener("fullscreenchange", follow);
  }, []);
}
