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
