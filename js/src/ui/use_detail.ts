import { useEffect } from "preact/hooks";
import type { DetailField, TreeNode } from "../protocol/messages";
import { versionOf, type Detail } from "../store/details";
import type { View } from "../store/view";

/** A long field of a node: fetched when it is first shown, and again when the node changes. */
export function useDetail(view: View, node: TreeNode, field: DetailField): Detail {
  useEffect(() => view.store.details.request(node, [field]), [node.id, versionOf(node), field]);
  return view.store.details.read(node.id, field);
}
