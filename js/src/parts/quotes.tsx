/** The quotes of a node with their places, states and passages: most runs have none. */
import { useEffect, useRef } from "preact/hooks";
import { isRecord } from "../protocol/messages";
import type { View } from "../store/view";
import styles from "./quotes.css?inline";

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const folded = (words: string): string => words.replace(/\s+/g, " ").trim();

const MEANINGS: Readonly<Record<string, string>> = {
  verified: "the source has these words at this place",
  moved: "the source has these words, but elsewhere than the answer said",
  altered: "the source has other words",
  "not found": "no source has these words",
};

function Passage({ quote }: { quote: Record<string, unknown> }) {
  if (text(quote["found"]) === "") return null;
  return (
    <p class="rn-passage" dir="auto">
      {text(quote["before"])}
      <mark>{text(quote["found"])}</mark>
      {text(quote["after"])}
    </p>
  );
}

function Quote({ view, quote, isCited }: { view: View; quote: Record<string, unknown>; isCited: boolean }) {
  const section = useRef<HTMLElement>(null);
  // After the layout effect of the panel, which scrolls to its first mark.
  useEffect(() => {
    if (!isCited || !section.current) return;
    // The words themselves have to be in sight: what is before them may fill the pane.
    section.current.scrollIntoView({ block: "nearest" });
    section.current.querySelector("mark")?.scrollIntoView({ block: "nearest" });
    section.current.focus({ preventScroll: true });
  }, [isCited]);
  const state = text(quote["state"]);
  const place = [quote["source"], quote["anchor"]].map(text).filter((part) => part !== "").join(" ");
  const cited = text(quote["cited"]);
  const node = text(quote["node"]);
  return (
    <section class="rn-message rn-cited" ref={section} tabIndex={-1} data-state={state} aria-label={`Quote: ${state}`}>
      <p dir="auto">“{text(quote["quote"])}”</p>
      <p class="rn-place">
        <b>{state}</b> · {place || "no place"}
        {cited !== "" && cited !== place && ` (the answer says ${cited})`}
        {node !== "" && view.tree.node(node) && (
          <>
            {" · quoted in "}
            <button type="button" class="rn-reference" onClick={() => view.reveal(node)}>
              [{node}]
            </button>
          </>
        )}
        {` · ${MEANINGS[state] ?? ""}`}
      </p>
      <Passage quote={quote} />
    </section>
  );
}

export function Quotes({ view, data }: { view: View; data: unknown }) {
  const quotes = Array.isArray(data) ? data.filter(isRecord) : [];
  const cited = quotes.findIndex((quote) => folded(text(quote["quote"])) === folded(view.cited.value));
  return (
    <>
      <style>{styles}</style>
      {quotes.map((quote, index) => (
        <Quote view={view} quote={quote} isCited={index === cited} />
      ))}
    </>
  );
}
