import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

/** Where the focus goes when the element that had it is gone. */
const FALLBACKS = ['.rn-rows [tabindex="0"]', ".rn-commands button"];

function isFocusInside(element: HTMLElement): boolean {
  const { activeElement } = element.getRootNode() as Document | ShadowRoot;
  return activeElement !== null && element.contains(activeElement);
}

/**
 * Never loses the focus to the page because a row or a button went away: the notebook would take the
 * next key for a command of its own.
 */
export function useKeepFocus(element: RefObject<HTMLElement | null>): void {
  const hadFocus = useRef(false);
  useEffect(() => {
    const root = element.current;
    const enter = (): void => void (hadFocus.current = true);
    // An element that is removed while it has the focus is left without going anywhere.
    const leave = (event: FocusEvent): void => {
      const target = event.target as Node;
      queueMicrotask(() => target.isConnected && root && !isFocusInside(root) && (hadFocus.current = false));
    };
    root?.addEventListener("focusin", enter);
    root?.addEventListener("focusout", leave);
    return () => {
      root?.removeEventListener("focusin", enter);
      root?.removeEventListener("focusout", leave);
    };
  }, []);
  useLayoutEffect(() => {
    const root = element.current;
    if (!root || !hadFocus.current || isFocusInside(root)) return;
    const fallback = FALLBACKS.map((selector) => root.querySelector<HTMLElement>(selector)).find((found) => found !== null);
    fallback?.focus({ preventScroll: true });
  });
}
