/** The edge between the tree and the details: dragged, or moved with the arrow keys, it changes their widths. */
import { LEAST_PANE, LEAST_TREE, type View } from "../store/view";

const STEP = 24;

function widthBeside(edge: Element): number {
  return edge.closest(".rn-main")?.clientWidth ?? 0;
}

/** Both sides keep the room that they need at least. */
function setWidth(view: View, wanted: number, whole: number): void {
  const most = Math.max(LEAST_PANE, whole - LEAST_TREE);
  view.paneWidth.value = Math.round(Math.min(most, Math.max(LEAST_PANE, wanted)));
}

type EdgeEvent<E extends Event> = E & { readonly currentTarget: HTMLElement };

export function PaneEdge({ view }: { view: View }) {
  const drag = (event: EdgeEvent<PointerEvent>): void => {
    const edge = event.currentTarget;
    if (!edge.hasPointerCapture(event.pointerId)) return;
    const right = edge.closest(".rn-main")?.getBoundingClientRect().right ?? 0;
    setWidth(view, right - event.clientX, widthBeside(edge));
  };
  const onKeyDown = (event: EdgeEvent<KeyboardEvent>): void => {
    const most = widthBeside(event.currentTarget);
    const width = event.currentTarget.parentElement?.offsetWidth ?? 0;
    const wanted: Record<string, number> = { ArrowLeft: width + STEP, ArrowRight: width - STEP, Home: most, End: LEAST_PANE };
    if (event.key === "Enter") view.paneIsWhole.value = true;
    else if (Object.hasOwn(wanted, event.key)) setWidth(view, wanted[event.key] as number, most);
    else return;
    event.preventDefault();
  };
  return (
    <div
      class="rn-edge"
      role="separator"
      tabIndex={0}
      aria-orientation="vertical"
      aria-label="Width of the details"
      title="Drag to change the width; double click for the whole width"
      aria-valuenow={view.paneWidth.value ?? LEAST_PANE}
      aria-valuemin={LEAST_PANE}
      onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove={drag}
      onDblClick={() => (view.paneIsWhole.value = true)}
      onKeyDown={onKeyDown}
    />
  );
}
