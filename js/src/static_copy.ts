/**
 * A saved notebook holds a static copy of the tree, for readers without a kernel. While the widget
 * lives, it hides the copy of its own run.
 */
export function hideStaticCopy(document: Document, runId: string): () => void {
  if (runId === "") return () => undefined;
  const style = document.createElement("style");
  style.textContent = `[data-rlm-run="${CSS.escape(runId)}"]{display:none}`;
  document.head.append(style);
  return () => style.remove();
}

/** How often a page is checked, in milliseconds; updates of its outputs may take as long to arrive. */
const CHECK_INTERVAL = 1000;

interface Shown {
  readonly run_id: string;
  readonly version: string;
  readonly answers: boolean;
}

/**
 * Tells whether the outputs around a view are those of another state of the run than its end. A page that is loaded
 * again while a cell runs, or before a change in the tree, gets no updates of outputs: then the static copy of the run
 * in the same cell is not of this version, and neither is the answer.
 */
export function watchStaticCopy(element: HTMLElement, shown: () => Shown, tell: (isElsewhere: boolean) => void): () => void {
  let misses = 0;
  const check = (): void => {
    const { run_id, version, answers } = shown();
    const outputs = element.closest(".jp-OutputArea");
    const copies = [...(outputs?.querySelectorAll<HTMLElement>(`[data-rlm-run="${CSS.escape(run_id)}"]`) ?? [])];
    const isOther = answers && version !== "" && copies.length > 0 && copies.every((copy) => copy.dataset["rlmVersion"] !== version);
    misses = isOther ? misses + 1 : 0;
    if (misses !== 1) tell(isOther);
  };
  const timer = setInterval(check, CHECK_INTERVAL);
  return () => clearInterval(timer);
}

/**
 * Whether this is a page that nbconvert, Sphinx or the like made: it holds the saved state of widgets, and no kernel
 * answers there. The static copy is what it shows, if the page has it.
 */
export function isExported(document: Document, runId: string): boolean {
  return (
    runId !== "" &&
    document.querySelector('script[type="application/vnd.jupyter.widget-state+json"]') !== null &&
    document.querySelector(`[data-rlm-run="${CSS.escape(runId)}"]`) !== null
  );
}
