/** What the cells of a code node asked for, in one line. */
import type { TreeNode } from "../protocol/messages";
import type { Tree } from "./tree";

/** Such as "llm_query × 200, 3 failed"; empty for any other node. */
export function queriesOf(tree: Tree, node: TreeNode): string {
  if (node.decision !== "PROGRAM") return "";
  const counts = new Map<string, { all: number; failed: number }>();
  for (const id of tree.children(node.id)) {
    const child = tree.node(id);
    if (!child || child.query === "" || child.state === "superseded") continue;
    const count = counts.get(child.query) ?? { all: 0, failed: 0 };
    count.all += 1;
    if (child.state === "failed") count.failed += 1;
    counts.set(child.query, count);
  }
  const parts = [...counts].map(
    ([query, { all, failed }]) => `${query} × ${all.toLocaleString("en")}${failed > 0 ? `, ${failed} failed` : ""}`,
  );
  return parts.join("; ");
}
