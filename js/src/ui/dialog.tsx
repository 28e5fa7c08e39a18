/** The frame of all dialogs: modal, closed with Escape; the focus returns to the element that opened it. */
import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Icon } from "./icons";

export interface DialogProperties {
  readonly title: string;
  /** Makes the ids of label and description. */
  readonly name: string;
  readonly wide?: boolean;
  readonly footer?: ComponentChildren;
  readonly children: ComponentChildren;
  onClose(): void;
}

const FOCUSABLE = 'button, input, textarea, select, a[href], [tabindex]:not([tabindex="-1"])';

function focusable(dialog: HTMLElement): HTMLElement[] {
  return [...dialog.querySelectorAll<HTMLElement>(FOCUSABLE)].filter((element) => element.tabIndex >= 0);
}

const focusedIn = (element: HTMLElement): Element | null =>
  (element.getRootNode() as Document | ShadowRoot).activeElement;

/** Browsers let Tab leave for their own controls, from where it does not come back to the page at once. */
function wrapTab(event: KeyboardEvent, dialog: HTMLElement): void {
  const elements = focusable(dialog);
  const [leaving, entering] = event.shiftKey ? [elements[0], elements.at(-1)] : [elements.at(-1), elements[0]];
  if (focusedIn(dialog) !== leaving) return;
  event.preventDefault();
  entering?.focus();
}

export function Dialog({ title, name, wide = false, footer, children, onClose }: DialogProperties) {
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const dialog = element.current as HTMLDialogElement;
    dialog.showModal();
    // Closing gives the focus back, which removing alone would not.
    return () => dialog.close();
  }, []);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Tab") wrapTab(event, element.current as HTMLDialogElement);
    if (event.key !== "Escape") return;
    event.preventDefault();
    onClose();
  };
  const cancel = (event: Event): void => {
    event.preventDefault();
    onClose();
  };
  return (
    <dialog
      class={`rn-dialog${wide ? " rn-wide" : ""}`}
      ref={element}
      aria-labelledby={`${name}-title`}
      onKeyDown={onKeyDown}
      onCancel={cancel}
    >
      <header>
        <h2 id={`${name}-title`}>{title}</h2>
        <button type="button" class="rn-button rn-square" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <div class="rn-dialog-body">{children}</div>
      {footer && <footer>{footer}</footer>}
    </dialog>
  );
}
