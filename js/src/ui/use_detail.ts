import { useEffect } from "preact/hooks";
import type { DetailField, TreeNode } from "../protocol/messages";
import { versionOf, type Detail } from "../store/details";
import type { View } from "../store/view";

/** A long field of a node: asked for when it is first looked at, and again when the node changed. */
export function useDetail(view: View, node: TreeNode, field: DetailField): Detail {
  useEffect(() => view.store.details.request(node, [field]), [node.id, versionOf(node), field]);
  return view.store.details.read(node.id, field);
}
